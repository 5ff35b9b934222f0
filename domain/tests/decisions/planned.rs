//! Cordons, drains and policies: a replacement is ready before the old one goes, and few move at once.

use domain::decide::placement::{HANDOVER_MS, Problem, Reason, Verdict, held, why};
use domain::decide::routing;
use domain::deployment::{self, AntiAffinity, Phase, Policy, Resources, Spec};
use domain::setting::{self, Moves};
use domain::{Command, Incarnation, NodeId, node};

use crate::world::{World, a_node, a_spec};

fn with_policy(name: &str, replicas: u32, policy: Policy) -> Spec {
    Spec { policy, ..a_spec(name, replicas) }
}

#[test]
fn a_cordoned_node_keeps_what_it_has_and_gets_nothing_new() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let id = world.deploy(a_spec("x", 2));
    world.settle();
    world.cordon(1, false);
    assert_eq!(world.settle(), 0);
    world.apply(Command::Deployment(deployment::Command::Scale { id, replicas: 4 })).unwrap();
    world.settle();
    assert_eq!(world.hosts(id).iter().filter(|host| **host == 1).count(), 1);
    world.uncordon(1);
    assert_eq!(world.settle(), 0, "nothing comes back by itself");
}

#[test]
fn a_cordon_outlives_restarts_losses_and_the_disk() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    world.cordon(1, true);
    world.register(NodeId(1), Incarnation(2));
    let cordon = |world: &World, id| world.state.nodes.get(&NodeId(id)).unwrap().cordon;
    assert!(cordon(&world, 1).is_some_and(|cordon| cordon.drain));
    let lose = node::Command::Lose { id: NodeId(1), incarnation: Incarnation(2) };
    world.apply(Command::Node(lose)).unwrap();
    world.apply(Command::Node(node::Command::Return { id: NodeId(1) })).unwrap();
    assert!(cordon(&world, 1).is_some());
    world.apply(Command::Node(node::Command::Lose { id: NodeId(1), incarnation: Incarnation(2) })).unwrap();
    let again = node::Node { name: "node1".into(), ..a_node(7, "a", 0) };
    world.apply(Command::Node(node::Command::Join(again))).unwrap();
    assert!(cordon(&world, 7).is_some(), "who takes the name takes the cordon");
    world.uncordon(7);
    assert_eq!(cordon(&world, 7), None);
}

#[test]
fn a_drain_starts_each_replacement_before_it_takes_the_old_one_away() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
    let id = world.deploy(a_spec("x", 1));
    world.settle();
    let old = world.state.deployments.get(&id).unwrap().replicas[0].clone();
    world.cordon(old.node.0, true);
    assert_eq!(world.place(), 1);
    let row = world.state.deployments.get(&id).unwrap().clone();
    let next = row.replicas[0].successor.clone().unwrap();
    assert_eq!((row.replicas[0].node, &row.replicas[0].phase), (old.node, &Phase::Ready));
    assert_ne!(next.node, old.node);
    assert_eq!(world.place(), 0, "it is waited for");
    let report =
        |epoch, phase| Command::Deployment(deployment::Command::Report { id, ordinal: 0, epoch, phase });
    world.apply(report(next.epoch, Phase::Starting)).unwrap();
    world.apply(report(next.epoch, Phase::Ready)).unwrap();
    assert_eq!(routing::targets(&world.view(), "x").unwrap().len(), 2, "for a moment both answer");
    assert_eq!(world.place(), 0);
    world.now += HANDOVER_MS;
    assert_eq!(world.place(), 1);
    let row = world.state.deployments.get(&id).unwrap().clone();
    assert_eq!((row.replicas[0].node, row.replicas[0].epoch), (next.node, next.epoch));
    assert_eq!(row.replicas[0].phase, Phase::Ready);
    assert!(world.apply(report(old.epoch, Phase::Ready)).is_err(), "the old one has nothing to say any more");
    assert_eq!(world.settle(), 0);
}

#[test]
fn a_drain_moves_no_more_at_once_than_it_may() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let ids: Vec<_> = (0..10).map(|i| world.deploy(a_spec(&format!("d{i}"), 1))).collect();
    world.settle();
    let moves = Moves { planned_max: 2, urgent_max: 64 };
    world.apply(Command::Setting(setting::Command::SetMoves(moves))).unwrap();
    world.cordon(1, true);
    assert_eq!(world.place(), 2);
    assert_eq!(world.place(), 0);
    let waiting = held(&Problem::of(&world.view(), world.now)).waiting;
    assert_eq!(waiting.len(), 3);
    assert!(waiting.iter().all(|(.., why)| matches!(why, Reason::Capped { planned_max: 2, .. })));
    world.settle();
    assert!(ids.iter().all(|id| world.hosts(*id) == [2]));
}

#[test]
fn an_uncordon_undoes_a_drain_and_what_is_under_way() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let id = world.deploy(a_spec("x", 2));
    world.settle();
    let before = world.hosts(id);
    world.cordon(1, true);
    assert_eq!(world.place(), 1);
    world.uncordon(1);
    assert_eq!(world.place(), 1);
    assert!(world.state.deployments.get(&id).unwrap().replicas.iter().all(|r| r.successor.is_none()));
    assert_eq!((world.settle(), world.hosts(id)), (0, before));
}

#[test]
fn what_cannot_go_anywhere_stays_and_says_why() {
    let mut world = World::with_nodes(&[("a", 2), ("b", 1)]);
    let needs = Resources { gpus: 2, ..Resources::default() };
    let id = world.deploy(Spec { resources: needs, ..a_spec("x", 1) });
    world.settle();
    world.cordon(1, true);
    assert_eq!((world.settle(), world.hosts(id)), (0, vec![1]));
    let waiting = held(&Problem::of(&world.view(), world.now)).waiting;
    let told = waiting[0].2.to_string();
    assert!(told.contains("is being drained") && told.contains("1 lack free GPUs"), "{told}");
}

#[test]
fn a_successor_that_fails_or_is_lost_is_replaced_and_the_replica_goes_on() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
    let id = world.deploy(a_spec("x", 1));
    world.settle();
    let old = world.hosts(id)[0];
    world.cordon(old, true);
    world.place();
    let next = |world: &World| world.state.deployments.get(&id).unwrap().replicas[0].successor.clone();
    let first = next(&world).unwrap();
    let phase = Phase::Failed { reason: "no file".into() };
    let report = deployment::Command::Report { id, ordinal: 0, epoch: first.epoch, phase };
    world.apply(Command::Deployment(report)).unwrap();
    assert_eq!((next(&world), world.hosts(id)), (None, vec![old]));
    world.place();
    let second = next(&world).unwrap();
    assert_ne!(second.node, first.node, "where it failed it is tried last");
    world.lose(second.node.0);
    world.place();
    assert_eq!(next(&world), None);
    assert_eq!(world.hosts(id), [old]);
}

#[test]
fn a_lost_node_hands_over_to_the_successor_that_is_under_way() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
    let id = world.deploy(a_spec("x", 1));
    world.settle();
    let old = world.hosts(id)[0];
    world.cordon(old, true);
    world.place();
    let next = world.state.deployments.get(&id).unwrap().replicas[0].successor.clone().unwrap();
    world.lose(old);
    assert_eq!(world.place(), 1);
    let row = world.state.deployments.get(&id).unwrap();
    assert_eq!(
        (row.replicas[0].node, row.replicas[0].epoch),
        (next.node, next.epoch),
        "it is not started twice"
    );
}

#[test]
fn a_leaving_node_that_is_there_hands_over_in_order_too() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let id = world.deploy(a_spec("x", 1));
    world.settle();
    let old = world.hosts(id)[0];
    world.apply(Command::Node(node::Command::Leave { id: NodeId(old) })).unwrap();
    world.place();
    let row = world.state.deployments.get(&id).unwrap().clone();
    assert_eq!((row.replicas[0].node.0, row.replicas[0].phase.clone()), (old, Phase::Ready));
    world.settle();
    assert_ne!(world.hosts(id), [old]);
}

#[test]
fn replicas_that_may_not_share_a_node_wait_for_one() {
    let mut world = World::with_nodes(&[("a", 0), ("a", 0)]);
    let apart = Policy { anti_affinity: AntiAffinity::Required, ..Policy::default() };
    let id = world.deploy(with_policy("x", 3, apart));
    world.settle();
    let mut hosts = world.hosts(id);
    hosts.sort_unstable();
    assert_eq!(hosts, [1, 2]);
    let told = held(&Problem::of(&world.view(), world.now)).unplaced[0].2.to_string();
    assert!(told.contains("2 have one of its replicas already"), "{told}");
    world.apply(Command::Node(node::Command::Join(a_node(3, "b", 0)))).unwrap();
    assert_eq!(world.settle(), 1);
}

#[test]
fn a_changed_policy_moves_what_it_does_not_want_where_it_is() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("b", 0)]);
    let id = world.deploy(a_spec("x", 2));
    world.settle();
    let pinned = Policy { zones: vec!["b".into()], ..Policy::default() };
    let set = deployment::Command::SetPolicy { id, policy: pinned };
    world.apply(Command::Deployment(set)).unwrap();
    world.settle();
    let mut hosts = world.hosts(id);
    hosts.sort_unstable();
    assert_eq!(hosts, [2, 3]);
    let nodes = &why(&Problem::of(&world.view(), world.now), id)[0].nodes;
    let told = nodes.iter().map(|(_, verdict)| verdict.to_string()).collect::<Vec<_>>();
    assert!(told[0].contains("not among the nodes and zones"), "{told:?}");
    assert_eq!(nodes.iter().filter(|(_, verdict)| *verdict == Verdict::Here).count(), 1);
}

#[test]
fn a_policy_that_makes_no_sense_names_its_field() {
    let mut world = World::with_nodes(&[("a", 0)]);
    for (field, policy) in [
        ("tenant", Policy { tenant: "a b".into(), ..Policy::default() }),
        ("priority", Policy { priority: 1_001, ..Policy::default() }),
        ("nodes", Policy { nodes: vec!["nowhere".into()], ..Policy::default() }),
        ("zones", Policy { zones: vec!["nowhere".into()], ..Policy::default() }),
    ] {
        let create = deployment::Command::create(with_policy("x", 1, policy));
        let refused = world.apply(Command::Deployment(create)).unwrap_err().to_string();
        assert!(refused.starts_with(field), "{refused}");
    }
    let by_id = Policy { nodes: vec![NodeId(1).to_string()], ..Policy::default() };
    let id = world.deploy(with_policy("x", 1, by_id));
    world.settle();
    assert_eq!(world.hosts(id), [1]);
}
