//! A rebalance spreads better with every move, and ends.

use std::collections::BTreeMap;

use domain::decide::placement::{HANDOVER_MS, Problem, plan, rebalanced};
use domain::deployment::{self, Phase};
use domain::setting;
use domain::{Command, DeploymentId, NodeId, node};
use proptest::prelude::*;

use crate::world::{World, a_node, a_spec};

fn begin(world: &mut World) {
    world.apply(Command::Setting(setting::Command::Rebalance)).unwrap();
}

/// How unevenly replicas are spread: over zones, over nodes, and in all.
fn unevenness(world: &World) -> (u64, u64, u64) {
    let (mut zones, mut nodes, mut all) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for row in world.state.deployments.rows() {
        for replica in &row.replicas {
            let node = replica.successor.as_ref().map_or(replica.node, |next| next.node);
            let zone = world.state.nodes.get(&node).unwrap().zone.clone();
            *zones.entry((row.id, zone)).or_insert(0u64) += 1;
            *nodes.entry((row.id, node)).or_insert(0u64) += 1;
            *all.entry(node).or_insert(0u64) += 1;
        }
    }
    let squares = |counts: Vec<u64>| counts.iter().map(|n| n * n).sum();
    (
        squares(zones.into_values().collect()),
        squares(nodes.into_values().collect()),
        squares(all.into_values().collect()),
    )
}

/// How many replicas are under way.
fn moving(world: &World) -> usize {
    world.state.deployments.rows().flat_map(|row| &row.replicas).filter(|r| r.successor.is_some()).count()
}

fn assign(world: &mut World, id: DeploymentId, ordinal: u32, node: u64) {
    let (node, gpus) = (NodeId(node), vec![]);
    let assign = deployment::Command::Assign { id, ordinal, was: None, node, gpus };
    world.apply(Command::Deployment(assign)).unwrap();
}

#[test]
fn a_node_that_came_later_gets_its_share_only_when_asked_for() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let ids: Vec<_> = (0..3).map(|i| world.deploy(a_spec(&format!("d{i}"), 3))).collect();
    world.settle();
    world.apply(Command::Node(node::Command::Join(a_node(3, "c", 0)))).unwrap();
    assert_eq!(world.settle(), 0);
    let planned = plan(&Problem::of(&world.view(), world.now));
    assert_eq!(planned.len(), 3, "one of each");
    begin(&mut world);
    world.settle();
    for id in ids {
        let mut hosts = world.hosts(id);
        hosts.sort_unstable();
        assert_eq!(hosts, [1, 2, 3]);
    }
    let since = rebalanced(&Problem::of(&world.view(), world.now)).unwrap();
    let end = setting::Command::EndRebalance { since: Some(since) };
    world.apply(Command::Setting(end)).unwrap();
    assert_eq!((world.state.rebalance(), world.settle()), (None, 0));
}

#[test]
fn a_rebalance_that_is_stopped_leaves_the_rest_where_it_is() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let id = world.deploy(a_spec("x", 6));
    world.settle();
    world.apply(Command::Node(node::Command::Join(a_node(2, "b", 0)))).unwrap();
    begin(&mut world);
    assert_eq!(world.place(), 3);
    world.apply(Command::Setting(setting::Command::EndRebalance { since: None })).unwrap();
    assert_eq!(world.place(), 3);
    assert_eq!((world.settle(), world.hosts(id)), (0, vec![1; 6]), "what was under way too");
}

proptest! {
    #[test]
    fn every_move_spreads_better_until_none_does(
        zones in proptest::collection::vec(0..3u8, 2..7),
        places in proptest::collection::vec(proptest::collection::vec(0..7usize, 0..8), 1..5),
    ) {
        let names: Vec<String> = zones.iter().map(|z| format!("z{z}")).collect();
        let nodes: Vec<(&str, u32)> = names.iter().map(|z| (z.as_str(), 0)).collect();
        let mut world = World::with_nodes(&nodes);
        for (i, places) in places.iter().enumerate() {
            let id = world.deploy(a_spec(&format!("d{i}"), places.len() as u32));
            for (ordinal, place) in (0..).zip(places) {
                assign(&mut world, id, ordinal, (place % nodes.len()) as u64 + 1);
            }
        }
        world.report_all(Phase::Ready);
        prop_assert_eq!(world.place(), 0, "nothing moves without a reason");
        let planned = plan(&Problem::of(&world.view(), world.now)).len();
        begin(&mut world);
        let mut made = 0;
        loop {
            let before = unevenness(&world);
            let under_way = moving(&world);
            let moves = world.place();
            prop_assert!(moving(&world) <= 4);
            if moves == 0 {
                break;
            }
            // What begins spreads better at once; what ends changes nothing.
            let begun = moving(&world) > 0 && under_way == 0;
            let after = unevenness(&world);
            prop_assert!(after < before || (after == before && !begun));
            made += moves;
            prop_assert!(made <= 400, "it does not end");
            world.report_all(Phase::Ready);
            world.now += HANDOVER_MS;
        }
        prop_assert_eq!(planned == 0, made == 0);
        prop_assert!(rebalanced(&Problem::of(&world.view(), world.now)).is_some());
        prop_assert_eq!(plan(&Problem::of(&world.view(), world.now)).len(), 0);
    }
}
