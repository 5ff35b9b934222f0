//! Nodes that come, go, move and lose their disks.

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::Error;
use consensus::mem::Crash;
use domain::NodeId;
use domain::decide::voters::{Candidate, choose};

use crate::world::{World, put};

fn ids<const N: usize>(ids: [u64; N]) -> BTreeSet<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

#[tokio::test(start_paused = true)]
async fn a_learner_follows_and_becomes_a_voter() {
    let mut world = World::with_voters(40, 3).await;
    put(&world.node(1), 1).await;
    let fourth = world.join(4).await;
    assert_eq!(world.converge().await, 1);
    assert_eq!(*world.seen(4).learners, ids([4]));
    put(&fourth, 2).await;
    let leader = world.leader().await;
    leader.set_voters(ids([1, 2, 3, 4])).await.unwrap();
    assert_eq!(leader.status().voters, ids([1, 2, 3, 4]));
    assert!(!leader.status().changing);
    assert_eq!(world.converge().await, 2);
}

/// Who could vote, as a leader sees its cluster; `dead` is known to be lost.
fn candidates(status: &consensus::Status, dead: NodeId) -> Vec<Candidate> {
    let all = status.voters.iter().chain(&status.learners);
    let candidate = |id: &NodeId| Candidate {
        id: *id,
        zone: String::new(),
        live: *id != dead,
        leaving: false,
        votes: status.voters.contains(id),
        leads: status.leader == Some(*id),
        caught_up: status.matched.get(id).is_some_and(|at| *at == status.last_log),
    };
    all.map(candidate).collect()
}

#[tokio::test(start_paused = true)]
async fn of_nine_nodes_five_vote_and_four_follow_and_one_of_these_takes_a_dead_voters_place() {
    let mut world = World::with_voters(46, 5).await;
    for id in 6..=9 {
        world.join(id).await;
    }
    for number in 0..20 {
        put(&world.node(6 + number % 4), number).await;
    }
    world.until("the learners follow", |w| (6..=9).all(|id| w.seen(id).state.keys.len() == 20)).await;
    let leader = world.leader().await;
    assert_eq!((leader.status().voters, leader.status().learners), (ids([1, 2, 3, 4, 5]), ids([6, 7, 8, 9])));
    assert_eq!(choose(&candidates(&leader.status(), NodeId(0))), None, "nothing is to change");

    let victim = world.follower().await.id();
    world.crash(victim.0, Crash::KeepsAll).await;
    put(&world.node(9), 20).await;
    world.until("all others follow", |w| (6..=9).all(|id| w.seen(id).state.keys.len() == 21)).await;
    world.until("the leader knows", |_| choose(&candidates(&leader.status(), victim)).is_some()).await;
    let voters = choose(&candidates(&leader.status(), victim)).unwrap();
    leader.set_voters(voters.clone()).await.unwrap();
    let status = leader.status();
    assert_eq!((status.voters.len(), status.learners.len()), (5, 4));
    assert!(!voters.contains(&victim) && voters.iter().filter(|id| id.0 > 5).count() == 1, "{voters:?}");

    // The new voter counts: with two more gone there is a majority of three still.
    let gone: Vec<_> = voters.iter().filter(|id| **id != leader.id() && id.0 <= 5).take(2).copied().collect();
    for id in &gone {
        world.crash(id.0, Crash::KeepsAll).await;
    }
    put(&leader, 21).await;
    world.until("the learners follow on", |w| (6..=9).all(|id| w.seen(id).state.keys.len() == 22)).await;
}

#[tokio::test(start_paused = true)]
async fn the_leader_tells_who_is_behind_and_who_is_silent() {
    let world = World::with_voters(45, 3).await;
    put(&world.node(1), 1).await;
    world.converge().await;
    let leader = world.leader().await;
    let silent = world.follower().await.id();
    world.crash(silent.0, Crash::LosesAll).await;
    put(&leader, 2).await;
    world
        .until("it was silent for long", |_| {
            leader.status().heard_ms.get(&silent).is_some_and(|ms| *ms > 5_000)
        })
        .await;
    let status = leader.status();
    let lively = status.voters.iter().find(|id| **id != silent && **id != leader.id()).unwrap();
    assert!(status.heard_ms[lively] < 1_000, "{status:#?}");
    assert!(
        status.matched[lively] == status.last_log && status.matched[&silent] < status.last_log,
        "{status:#?}"
    );
    assert!(status.quorum_ms.unwrap() < 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_wiped_voter_is_removed_and_comes_back_as_a_new_node() {
    let mut world = World::with_voters(41, 3).await;
    for number in 0..20 {
        put(&world.node(1), number).await;
    }
    let leader = world.leader().await;
    let victim = world.follower().await.id();
    world.crash(victim.0, Crash::LosesAll).await;
    world.members.remove(&victim);
    world.join(4).await;
    world.until("the new node has caught up", |w| w.seen(4).state.keys.len() == 20).await;
    let mut voters = leader.status().voters;
    voters.remove(&victim);
    voters.insert(NodeId(4));
    leader.set_voters(voters.clone()).await.unwrap();
    leader.remove(victim).await.unwrap();
    put(&world.node(4), 20).await;
    assert_eq!(world.converge().await, 21);
    assert_eq!(*world.seen(4).voters, voters);
    assert!(!world.seen(4).addrs.contains_key(&victim));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_removed_hands_over() {
    let world = World::with_voters(42, 3).await;
    put(&world.node(1), 1).await;
    let leader = world.leader().await;
    leader.remove(leader.id()).await.unwrap();
    world
        .until("another one leads", |w| {
            w.statuses().iter().any(|s| s.leader.is_some_and(|l| l != leader.id()))
        })
        .await;
    let other = world.follower_of_others(leader.id()).await;
    put(&other, 2).await;
    assert_eq!(other.status().voters.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn changes_that_make_no_sense_are_refused() {
    let world = World::with_voters(43, 3).await;
    let leader = world.leader().await;
    assert!(matches!(leader.set_voters(ids([1, 9])).await, Err(Error::Refused { .. })));
    assert!(matches!(leader.set_voters(ids([])).await, Err(Error::Refused { .. })));
    assert!(matches!(world.follower().await.set_voters(ids([1])).await, Err(Error::NotLeader { .. })));
    leader.remove(NodeId(77)).await.unwrap();
    leader.set_voters(ids([leader.id().0])).await.unwrap();
    assert!(matches!(leader.remove(leader.id()).await, Err(Error::Refused { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_node_tells_its_new_address_from_where_it_is() {
    let world = World::with_voters(44, 3).await;
    let follower = world.follower().await;
    let id = follower.id();
    let addr = world.move_away(id);
    follower.set_addr(id, &addr).await.unwrap();
    follower.set_addr(id, &addr).await.unwrap();
    world
        .until("everyone knows", |w| (1..=3).all(|n| w.seen(n).addrs.get(&id).is_some_and(|a| *a == addr)))
        .await;
    assert!(matches!(
        follower.set_addr(NodeId(9), "x:1").await,
        Err(Error::Refused { .. } | Error::Unavailable { .. })
    ));
    put(&follower, 1).await;
}

/// Leaves a change of voters half way: whoever asked for it gives up before the second of its two steps.
async fn break_off_a_change(world: &World, voters: BTreeSet<NodeId>) {
    let leader = world.leader().await;
    for member in world.members.values() {
        member.platter.set_latency(Duration::from_millis(300));
    }
    let change = tokio::spawn({
        let leader = leader.clone();
        async move { leader.set_voters(voters).await }
    });
    world.until("the first step is under way", |_| leader.status().joint).await;
    change.abort();
    for member in world.members.values() {
        member.platter.set_latency(Duration::ZERO);
    }
    world.until("the first step is done", |w| w.seen(leader.id().0).voters.len() == 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_change_of_voters_that_was_broken_off_is_ended_by_setting_them_again() {
    for leader_dies in [false, true] {
        let mut world = World::with_voters(46, 3).await;
        put(&world.node(1), 1).await;
        world.join(4).await;
        world.converge().await;
        let first = world.leader().await.id();
        let leaves = world.follower().await.id();
        let mut wanted = ids([1, 2, 3, 4]);
        wanted.remove(&leaves);
        break_off_a_change(&world, wanted.clone()).await;
        if leader_dies {
            world.until("all know", |w| w.statuses().iter().all(|s| s.joint)).await;
            world.crash(first.0, Crash::LosesAll).await;
            world
                .until("another one leads", |w| {
                    w.statuses().iter().any(|s| s.leader.is_some_and(|l| l != first))
                })
                .await;
        }
        let leader = world.leader().await;
        put(&leader, 2).await;
        let status = leader.status();
        assert!(status.joint && status.changing, "nobody ends it by itself: {status:#?}");
        assert_eq!(status.voters, ids([1, 2, 3, 4]));
        leader.set_voters(wanted.clone()).await.unwrap();
        let status = leader.status();
        assert!(!status.joint, "{status:#?}");
        assert_eq!(status.voters, wanted);
        put(&leader, 3).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_voter_that_comes_back_elsewhere_after_a_change_of_leader_is_heard() {
    for seed in 70..75 {
        let mut world = World::with_voters(seed, 3).await;
        put(&world.node(1), 1).await;
        let old = world.leader().await;
        let away = world.follower().await.id();
        world.crash(away.0, Crash::LosesAll).await;
        let heir = world.statuses().into_iter().map(|s| s.id).find(|id| *id != old.id()).unwrap();
        world.until("the heir can be reached", |_| old.status().heard_ms.contains_key(&heir)).await;
        old.transfer(heir).await.unwrap();
        put(&old, 2).await;
        let addr = world.move_away(away);
        let back = world.start(away.0).await.unwrap();
        put(&back, 3).await;
        back.read().await.unwrap_err();
        back.set_addr(away, addr).await.unwrap();
        assert_eq!(world.converge().await, 3);
        back.read().await.unwrap();
        assert_eq!(world.leader().await.id(), heir, "seed {seed}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_learner_whose_leader_died_while_it_moved_is_heard() {
    for seed in 80..85 {
        let mut world = World::with_voters(seed, 3).await;
        world.join(4).await;
        put(&world.node(4), 1).await;
        world.converge().await;
        let dead = world.leader().await.id();
        world.crash(4, Crash::LosesAll).await;
        world.crash(dead.0, Crash::LosesAll).await;
        let addr = world.move_away(NodeId(4));
        let back = world.start(4).await.unwrap();
        put(&back, 2).await;
        back.set_addr(NodeId(4), addr).await.unwrap();
        assert_eq!(world.converge().await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_listens_elsewhere_than_it_says_is_never_heard_of() {
    let mut world = World::with_voters(47, 1).await;
    put(&world.node(1), 1).await;
    world.move_away(NodeId(2));
    world.join(2).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let status = world.node(1).status();
    assert_eq!(status.learners, ids([2]));
    assert!(!status.heard_ms.contains_key(&NodeId(2)), "{status:#?}");
    assert!(!status.matched.contains_key(&NodeId(2)), "{status:#?}");
    world.join(3).await;
    world
        .until("a node that can be reached is heard of", |w| {
            let status = w.node(1).status();
            status.heard_ms.contains_key(&NodeId(3)) && status.matched.contains_key(&NodeId(3))
        })
        .await;
}
