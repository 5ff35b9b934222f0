//! Placement: spread, fit, minimal movement, idempotence.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::placement::{Problem, Reason, explain};
use domain::deployment::{Phase, Resources};
use domain::{Command, NodeId, deployment, node};
use proptest::prelude::*;

use crate::world::{World, a_spec};

#[test]
fn replicas_spread_over_zones_then_nodes() {
    let mut world = World::with_nodes(&[("a", 0), ("a", 0), ("b", 0), ("c", 0)]);
    let id = world.deploy(a_spec("x", 3));
    world.place();
    let zones: BTreeSet<_> =
        world.hosts(id).iter().map(|n| world.state.nodes.get(&NodeId(*n)).unwrap().zone.clone()).collect();
    assert_eq!(zones.len(), 3);
    assert_eq!(world.place(), 0, "nothing to move a second time");
}

#[test]
fn a_lost_node_moves_its_replicas_and_no_other() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
    let id = world.deploy(a_spec("x", 2));
    world.place();
    world.report_all(Phase::Ready);
    let before = world.hosts(id);
    world.lose(before[0]);
    assert_eq!(world.place(), 1);
    let after = world.hosts(id);
    assert_eq!(after[1], before[1]);
    assert_ne!(after[0], before[0]);
    world.apply(Command::Node(node::Command::Return { id: NodeId(before[0]) })).unwrap();
    assert_eq!(world.place(), 0, "a returned node gets nothing back by force");
}

#[test]
fn gpus_are_never_given_twice_and_the_smallest_that_fit_go_first() {
    let mut world = World::with_nodes(&[("a", 2), ("b", 2)]);
    let needs = Resources { gpus: 1, gpu_memory_mib: 1024, ..Resources::default() };
    let id = world.deploy(domain::deployment::Spec { resources: needs, ..a_spec("x", 4) });
    world.place();
    let row = world.state.deployments.get(&id).unwrap();
    let given: BTreeSet<_> = row.replicas.iter().map(|r| (r.node, r.gpus.clone())).collect();
    assert_eq!(given.len(), 4);
    assert_eq!(row.replicas[0].gpus, [0]);
    let more = domain::deployment::Spec { resources: needs, ..a_spec("y", 1) };
    let other = world.deploy(more);
    assert_eq!(world.place(), 0);
    let why = explain(&Problem::of(&world.view(), world.now));
    assert!(matches!(&why[..], [(id, 0, Reason::Unplaceable(unfit))] if *id == other && unfit.gpus == 2));
}

#[test]
fn work_without_gpus_keeps_off_nodes_that_have_them() {
    let mut world = World::with_nodes(&[("a", 4), ("a", 0)]);
    let id = world.deploy(a_spec("x", 1));
    world.place();
    assert_eq!(world.hosts(id), [2]);
}

#[test]
fn a_node_that_failed_is_tried_last_and_again_later() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let id = world.deploy(a_spec("x", 1));
    let failed = || Phase::Failed { reason: "no such file".into() };
    world.place();
    let first = world.hosts(id)[0];
    world.report_all(failed());
    world.place();
    assert_ne!(world.hosts(id)[0], first);
    world.report_all(failed());
    assert_eq!(world.place(), 0);
    let why = explain(&Problem::of(&world.view(), world.now))[0].2.to_string();
    assert!(why.contains("2 could not run it") && why.contains("no such file"), "{why}");
    world.now += 31_000;
    assert_eq!(world.place(), 1, "a refusal is not for ever");
}

#[test]
fn stopping_takes_every_replica_away() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let id = world.deploy(a_spec("x", 2));
    world.place();
    world.apply(Command::Deployment(deployment::Command::Stop(id))).unwrap();
    assert_eq!(world.place(), 2);
    assert!(world.hosts(id).is_empty());
    world.apply(Command::Deployment(deployment::Command::Start(id))).unwrap();
    assert_eq!(world.place(), 2);
}

proptest! {
    #[test]
    fn placement_settles_spreads_and_never_touches_what_is_well(
        zones in proptest::collection::vec(0..4u8, 1..8),
        sizes in proptest::collection::vec(0..6u32, 1..6),
        lost in proptest::collection::vec(0..8usize, 0..3),
    ) {
        let names: Vec<String> = zones.iter().map(|z| format!("z{z}")).collect();
        let nodes: Vec<(&str, u32)> = names.iter().map(|z| (z.as_str(), 0)).collect();
        let mut world = World::with_nodes(&nodes);
        for (i, size) in sizes.iter().enumerate() {
            world.deploy(a_spec(&format!("d{i}"), *size));
        }
        while world.place() > 0 {}
        world.report_all(Phase::Ready);
        let before: BTreeMap<_, _> = replicas(&world);
        let mut gone = BTreeSet::new();
        for node in lost {
            let id = (node % nodes.len()) as u64 + 1;
            if gone.len() + 1 < nodes.len() && gone.insert(id) {
                world.lose(id);
            }
        }
        while world.place() > 0 {}
        prop_assert_eq!(world.place(), 0);
        for ((id, ordinal), (node, epoch)) in replicas(&world) {
            prop_assert!(!gone.contains(&node));
            let (was_on, was_epoch) = before[&(id, ordinal)];
            if !gone.contains(&was_on) {
                prop_assert_eq!((node, epoch), (was_on, was_epoch));
            }
        }
    }
}

fn replicas(world: &World) -> BTreeMap<(domain::DeploymentId, u32), (u64, u64)> {
    let rows = world.state.deployments.rows();
    rows.flat_map(|d| d.replicas.iter().map(|r| ((d.id, r.ordinal), (r.node.0, r.epoch))).collect::<Vec<_>>())
        .collect()
}
