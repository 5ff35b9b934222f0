//! Routing: who can answer, and who is asked first.

use std::sync::Arc;

use domain::decide::routing::{Load, Reason, Target, best, given_up, named_provider, targets};
use domain::deployment::Phase;
use domain::provider::{Kind, Provider};
use domain::{Command, Health, Incarnation, Liveness, NodeId, ProviderName, View, node, provider};

use crate::world::{World, a_spec};

fn suspect(view: &mut View, nodes: &[u64]) {
    let mut liveness = Liveness { nodes: view.liveness.nodes.clone() };
    for node in nodes {
        liveness.nodes.get_mut(&NodeId(*node)).unwrap().0 = Health::Suspect;
    }
    view.liveness = Arc::new(liveness);
}

fn served(replicas: u32) -> World {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
    world.deploy(a_spec("x", replicas));
    world.place();
    world.report_all(Phase::Ready);
    world
}

#[test]
fn a_suspect_is_left_out_until_too_many_are() {
    let world = served(3);
    let mut view = world.view();
    suspect(&mut view, &[2]);
    assert_eq!(targets(&view, "x").unwrap().len(), 2);
    suspect(&mut view, &[2, 3]);
    assert_eq!(targets(&view, "x").unwrap().len(), 3, "the observer is the one that is cut off");
}

#[test]
fn a_node_that_stops_is_left_out_until_its_next_life_is_well() {
    let mut world = served(2);
    let host = world.state.deployments.rows().next().unwrap().replicas[0].node;
    let hosts = |world: &World| -> Vec<NodeId> {
        // an onlooker: of itself a node knows better
        let view = View { me: NodeId(99), ..world.view() };
        let node = |target| match target {
            Target::Replica { node, .. } => node,
            Target::Provider(_) => unreachable!(),
        };
        targets(&view, "x").unwrap().into_iter().map(node).collect()
    };
    assert!(hosts(&world).contains(&host));
    let incarnation = Incarnation(1);
    world.apply(Command::Node(node::Command::Stop { id: host, incarnation })).unwrap();
    assert!(!hosts(&world).contains(&host));
    assert_eq!(world.place(), 0, "what it has waits for it");
    world.apply(Command::Node(node::Command::Return { id: host })).unwrap();
    assert!(!hosts(&world).contains(&host), "it still holds a lease while it stops");
    world.register(host, Incarnation(2));
    assert!(!hosts(&world).contains(&host), "its engine is not up yet");
    world.report_all(Phase::Ready);
    assert!(hosts(&world).contains(&host));
}

#[test]
fn what_the_tables_say_of_a_former_life_is_not_believed() {
    let world = served(2);
    let mut view = world.view();
    let host = view.state.deployments.rows().next().unwrap().replicas[0].node;
    view.me = NodeId(99);
    let mut liveness = Liveness { nodes: view.liveness.nodes.clone() };
    liveness.nodes.insert(host, (Health::Alive, Incarnation(2)));
    view.liveness = Arc::new(liveness);
    assert_eq!(targets(&view, "x").unwrap().len(), 1);
    view.me = host;
    assert_eq!(targets(&view, "x").unwrap().len(), 2, "a node knows better of itself");
}

#[test]
fn a_node_that_was_removed_is_not_routed_to_though_it_is_still_heard_of() {
    let mut world = served(2);
    let host = world.state.deployments.rows().next().unwrap().replicas[0].node;
    world.apply(Command::Node(node::Command::Remove { id: host })).unwrap();
    let found = targets(&world.view(), "x").unwrap();
    assert!(matches!(found[..], [Target::Replica { node, .. }] if node != host), "{found:?}");
}

#[test]
fn what_cannot_answer_says_why() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
    assert_eq!(targets(&world.view(), "x"), Err(Reason::UnknownModel));
    let id = world.deploy(a_spec("x", 1));
    assert!(matches!(targets(&world.view(), "x"), Err(Reason::NoneReady { wanted: 1, .. })));
    world.place();
    world.report_all(Phase::Failed { reason: "no such file".into() });
    let why = targets(&world.view(), "x").unwrap_err().to_string();
    assert!(why.contains("no such file"), "{why}");
    world.apply(Command::Deployment(domain::deployment::Command::Stop(id))).unwrap();
    assert_eq!(targets(&world.view(), "x"), Err(Reason::Stopped(id)));
}

#[test]
fn own_replicas_come_before_providers_and_a_provider_can_be_named() {
    let mut world = served(1);
    let provider = Provider {
        name: ProviderName::from("p"),
        kind: Kind::Mock,
        models: vec!["x".into()],
        revision: 0,
        created_at: 0,
    };
    world.apply(Command::Provider(provider::Command::Put(provider))).unwrap();
    let found = targets(&world.view(), "x").unwrap();
    assert!(matches!(found[..], [Target::Replica { .. }, Target::Provider(_)]));
    assert_eq!(targets(&world.view(), "p/x").unwrap(), [Target::Provider(ProviderName::from("p"))]);
    assert_eq!(named_provider(&world.view(), "p/x"), Some((&ProviderName::from("p"), "x")));
    assert_eq!(named_provider(&world.view(), "p/y"), None);
    let (well, avoided) = (Load::default(), Load { avoid: true, ..Load::default() });
    assert_eq!(best([(&found[1], well), (&found[0], well)], 7), Some(1));
    assert_eq!(best([(&found[1], well), (&found[0], avoided)], 7), Some(0));
    assert_eq!(best([], 7), None);
}

#[test]
fn the_least_loaded_is_asked_first_and_equals_share() {
    let world = served(3);
    let all = targets(&world.view(), "x").unwrap();
    let load = |in_flight, latency_us| Load { in_flight, latency_us, avoid: false };
    let loaded = [(&all[0], load(3, 100)), (&all[1], load(1, 90_000)), (&all[2], load(1, 100))];
    assert_eq!(best(loaded, 1), Some(2));
    let mut first = [0; 3];
    for draw in 0..3_000u64 {
        let equal = all.iter().map(|t| (t, Load::default()));
        first[best(equal, draw.wrapping_mul(0x9e37_79b9_7f4a_7c15)).unwrap()] += 1;
    }
    assert!(first.iter().all(|n| *n > 500), "{first:?}");
}

/// A world with one replica on another node than the observer; where it is, and its view.
fn elsewhere() -> (World, Target) {
    let world = served(1);
    let host = world.state.deployments.rows().next().unwrap().replicas[0].node;
    let view = View { me: NodeId(if host.0 == 1 { 2 } else { 1 }), ..world.view() };
    let target = targets(&view, "x").unwrap().remove(0);
    (world, target)
}

/// Whether the call is given up by an observer that sees the other nodes in this way.
fn gives_up(world: &World, target: &Target, health: &[(u64, Health)]) -> bool {
    let Target::Replica { id, ordinal, epoch, node } = target else { unreachable!() };
    let mut view = world.view();
    view.me = NodeId(if node.0 == 1 { 2 } else { 1 });
    let mut liveness = Liveness { nodes: view.liveness.nodes.clone() };
    for (node, health) in health {
        liveness.nodes.insert(NodeId(*node), (*health, Incarnation(1)));
    }
    view.liveness = Arc::new(liveness);
    given_up(&view, *id, *ordinal, *epoch, *node)
}

fn host(target: &Target) -> u64 {
    let Target::Replica { node, .. } = target else { unreachable!() };
    node.0
}

#[test]
fn a_call_is_given_up_when_its_node_is_down_unless_too_many_are() {
    let (world, target) = elsewhere();
    let host = host(&target);
    for health in [Health::Alive, Health::Suspect] {
        assert!(!gives_up(&world, &target, &[(host, health)]), "{health:?}");
    }
    assert!(gives_up(&world, &target, &[(host, Health::Down)]));
    let third = 6 - host - if host == 1 { 2 } else { 1 };
    let both = [(host, Health::Down), (third, Health::Down)];
    assert!(!gives_up(&world, &target, &both), "the observer is the one that is cut off");
}

#[test]
fn a_node_that_stops_or_leaves_finishes_the_calls_it_has() {
    for leaves in [false, true] {
        let (mut world, target) = elsewhere();
        let id = NodeId(host(&target));
        let command = if leaves {
            node::Command::Leave { id }
        } else {
            node::Command::Stop { id, incarnation: Incarnation(1) }
        };
        world.apply(Command::Node(command)).unwrap();
        world.place();
        for health in [Health::Alive, Health::Suspect, Health::Down] {
            assert!(!gives_up(&world, &target, &[(id.0, health)]), "leaves: {leaves}, {health:?}");
        }
    }
}

#[test]
fn a_replica_that_moved_is_given_up_where_its_node_was_lost_and_is_not_heard_of() {
    let (mut world, target) = elsewhere();
    let host = host(&target);
    world.lose(host);
    assert!(!gives_up(&world, &target, &[(host, Health::Suspect)]), "it is still there in the tables");
    assert!(world.place() > 0);
    assert!(!gives_up(&world, &target, &[]), "gossip hears of it");
    assert!(gives_up(&world, &target, &[(host, Health::Suspect)]));
    world.apply(Command::Node(node::Command::Remove { id: NodeId(host) })).unwrap();
    assert!(gives_up(&world, &target, &[(host, Health::Alive)]), "its connections are closed");
}
