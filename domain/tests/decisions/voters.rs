//! Who votes: an odd number, over zones, never fewer before a successor is there.

use std::collections::BTreeSet;

use domain::NodeId;
use domain::decide::voters::{Candidate, choose, wanted};
use proptest::prelude::*;

fn candidate(id: u64, zone: &str, live: bool, votes: bool) -> Candidate {
    Candidate {
        id: NodeId(id),
        zone: zone.into(),
        live,
        votes,
        leads: false,
        leaving: false,
        caught_up: live,
    }
}

fn ids(set: Option<BTreeSet<NodeId>>) -> Option<Vec<u64>> {
    set.map(|s| s.into_iter().map(|n| n.0).collect())
}

#[test]
fn a_growing_cluster_gets_three_voters_when_the_third_has_caught_up() {
    let two = [candidate(1, "a", true, true), candidate(2, "b", true, false)];
    assert_eq!(choose(&two), None);
    let mut three = two.to_vec();
    three.push(candidate(3, "c", true, false));
    assert_eq!(ids(choose(&three)), Some(vec![1, 2, 3]));
    three[2].caught_up = false;
    assert_eq!(choose(&three), None, "two voters are no safer than one");
}

#[test]
fn a_dead_voter_stays_until_a_successor_is_there() {
    let mut nodes =
        vec![candidate(1, "a", true, true), candidate(2, "b", false, true), candidate(3, "c", true, true)];
    assert_eq!(choose(&nodes), None);
    nodes.push(candidate(4, "b", true, false));
    assert_eq!(ids(choose(&nodes)), Some(vec![1, 3, 4]));
}

#[test]
fn of_nine_nodes_five_vote_and_a_learner_takes_a_dead_voters_place_in_its_zone() {
    let zone = |i: u64| ["a", "b", "c"][i as usize % 3];
    let mut nine: Vec<_> = (1..=9).map(|i| candidate(i, zone(i), true, i == 1)).collect();
    let voters = choose(&nine).unwrap();
    assert_eq!(voters.len(), 5);
    for c in &mut nine {
        c.votes = voters.contains(&c.id);
    }
    assert_eq!(choose(&nine), None, "four learn, and nothing is to change");
    let dead = nine.iter().position(|c| c.votes && c.id != NodeId(1)).unwrap();
    (nine[dead].live, nine[dead].caught_up) = (false, false);
    let after = choose(&nine).unwrap();
    assert_eq!(after.len(), 5);
    assert!(voters.difference(&after).eq([&nine[dead].id]), "only the dead one goes: {voters:?} {after:?}");
    let zones = |ids: &BTreeSet<NodeId>| ids.iter().map(|id| zone(id.0)).collect::<BTreeSet<_>>().len();
    assert_eq!((zones(&voters), zones(&after)), (3, 3));
    assert_eq!([7, 9, 30, 1_000].map(wanted), [5; 4]);
}

#[test]
fn the_leader_stays_among_the_voters_of_its_zone() {
    let mut nodes: Vec<_> =
        (1..=4).map(|i| candidate(i, ["a", "b", "c", "a"][i as usize - 1], true, i != 2)).collect();
    nodes[3].leads = true;
    assert_eq!(ids(choose(&nodes)), Some(vec![2, 3, 4]), "2 is back and 1 gives way");
    nodes[3].leads = false;
    assert_eq!(ids(choose(&nodes)), Some(vec![1, 2, 3]));
}

#[test]
fn who_leaves_gives_up_its_vote_even_where_that_makes_the_group_smaller() {
    let leaves = |c: &mut Candidate| (c.live, c.leaving) = (false, true);
    let mut three: Vec<_> =
        (1..=3).map(|i| candidate(i, ["a", "b", "c"][i as usize - 1], true, true)).collect();
    leaves(&mut three[2]);
    assert_eq!(ids(choose(&three)), Some(vec![1]), "two nodes have one voter");
    let mut five: Vec<_> = (1..=5).map(|i| candidate(i, "a", true, true)).collect();
    leaves(&mut five[4]);
    assert_eq!(ids(choose(&five)), Some(vec![1, 2, 3]));
    // With a node to take the vote over, nobody leaves before it has caught up.
    let mut four = three.clone();
    four.push(Candidate { caught_up: false, ..candidate(4, "d", true, false) });
    assert_eq!(choose(&four), None);
    four[3].caught_up = true;
    assert_eq!(ids(choose(&four)), Some(vec![1, 2, 4]));
}

#[test]
fn a_leader_that_leaves_does_not_leave_the_last_vote_to_a_node_that_died_a_moment_ago() {
    let mut three: Vec<_> = (1..=3).map(|i| candidate(i, "a", true, true)).collect();
    (three[2].live, three[2].leaving, three[2].leads) = (false, true, true);
    // Its lease is good still.
    three[0].caught_up = false;
    assert_eq!(ids(choose(&three)), Some(vec![2]));
    three[1].caught_up = false;
    assert_eq!(choose(&three), None, "the leader was cut off, and has heard of nobody yet");
}

#[test]
fn voters_spread_over_zones_and_present_ones_are_preferred() {
    let nodes: Vec<_> =
        (1..=6).map(|i| candidate(i, ["a", "a", "a", "b", "b", "c"][i as usize - 1], true, i == 2)).collect();
    let chosen = choose(&nodes).unwrap();
    assert_eq!(chosen.len(), 5);
    assert!(chosen.contains(&NodeId(2)) && chosen.contains(&NodeId(6)));
    assert_eq!((wanted(1), wanted(2), wanted(3), wanted(4), wanted(5), wanted(100)), (1, 1, 3, 3, 5, 5));
}

proptest! {
    #[test]
    fn a_choice_is_stable_and_never_gives_up_a_majority_of_live_voters(
        nodes in proptest::collection::vec((0..3u8, any::<bool>(), any::<bool>()), 1..9)
    ) {
        let zones = ["a", "b", "c"];
        let mut all: Vec<_> = nodes.iter().enumerate()
            .map(|(i, (z, live, votes))| candidate(i as u64 + 1, zones[*z as usize], *live, *votes)).collect();
        if let Some(chosen) = choose(&all) {
            prop_assert!(!chosen.is_empty());
            let live_voters = all.iter().filter(|c| c.votes && c.live).count();
            let dead_kept = all.iter().filter(|c| chosen.contains(&c.id) && !c.live).count();
            prop_assert!(dead_kept <= chosen.len() - live_voters.min(chosen.len()));
            prop_assert!(dead_kept * 2 < chosen.len(), "dead nodes cannot outvote the others");
            for c in &mut all { c.votes = chosen.contains(&c.id); }
            prop_assert_eq!(choose(&all), None, "asked again it stays");
        }
    }
}
