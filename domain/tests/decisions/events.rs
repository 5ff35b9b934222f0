//! Events: written with what they tell of, bounded, in order.

use domain::deployment::{self, Phase};
use domain::event::Kind;
use domain::limits::EVENTS_MAX;
use domain::setting::{self, Moves};
use domain::{Command, NodeId, Reject, node};

use crate::world::{World, a_node, a_spec};

fn kinds(world: &World) -> Vec<Kind> {
    world.state.events.rows().map(|event| event.kind).collect()
}

#[test]
fn what_happens_is_told_in_order_and_in_words() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let from = kinds(&world).len();
    let id = world.deploy(a_spec("x", 1));
    world.settle();
    let old = world.hosts(id)[0];
    world.cordon(old, true);
    world.settle();
    world.uncordon(old);
    let now = world.hosts(id)[0];
    world.lose(now);
    world.settle();
    world.apply(Command::Deployment(deployment::Command::Delete(id))).unwrap();
    assert_eq!(
        kinds(&world)[from..],
        [
            Kind::DeploymentCreated,
            Kind::ReplicaAssigned,
            Kind::ReplicaReady,
            Kind::NodeDraining,
            Kind::ReplicaMoving,
            Kind::ReplicaReady,
            Kind::ReplicaMoved,
            Kind::NodeUncordoned,
            Kind::NodeLost,
            Kind::ReplicaMoved,
            Kind::ReplicaReady,
            Kind::DeploymentDeleted,
        ]
    );
    let moved = world.state.events.rows().rfind(|event| event.kind == Kind::ReplicaMoved).unwrap();
    assert_eq!((moved.from, moved.node, moved.ordinal), (Some(NodeId(now)), Some(NodeId(old)), Some(0)));
    assert_eq!(moved.text, format!("replica 0 of x goes to node{old}: node{now} is lost"));
}

#[test]
fn only_what_changes_something_is_told() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let id = world.deploy(a_spec("x", 1));
    world.settle();
    world.cordon(1, false);
    let before = kinds(&world).len();
    world.cordon(1, false);
    world.report_all(Phase::Ready);
    let refused = Command::Deployment(deployment::Command::Create(a_spec("x", 1)));
    assert!(world.apply(refused).is_err());
    world.apply(Command::Node(node::Command::Return { id: NodeId(1) })).unwrap();
    assert_eq!(kinds(&world).len(), before);
    assert_eq!(world.state.deployments.get(&id).unwrap().replicas.len(), 1);
}

#[test]
fn the_newest_are_kept_and_the_tables_stay_small() {
    let mut world = World::with_nodes(&[("a", 0)]);
    for n in 0..EVENTS_MAX as u32 + 50 {
        let moves = Moves { planned_max: 1 + n % 2, urgent_max: 64 };
        world.apply(Command::Setting(setting::Command::SetMoves(moves))).unwrap();
    }
    assert_eq!(world.state.events.len(), EVENTS_MAX);
    assert_eq!(world.rows.keys().filter(|key| key[0] == 14).count(), EVENTS_MAX);
    let oldest = world.state.events.rows().next().unwrap();
    assert_eq!(oldest.id.0 >> 4, world.index + 1 - EVENTS_MAX as u64, "each command told of one");
}

#[test]
fn while_an_old_program_is_there_nothing_is_told_and_nothing_is_planned() {
    let mut world = World::new();
    let old = node::Node { version: "0.1.0".into(), ..a_node(1, "a", 0) };
    world.apply(Command::Node(node::Command::Join(old))).unwrap();
    let drain = Command::Node(node::Command::Cordon { id: NodeId(1), drain: true });
    assert!(matches!(world.apply(drain), Err(Reject::TooNew { .. })));
    world.apply(Command::Node(node::Command::Leave { id: NodeId(1) })).unwrap();
    assert!(world.state.events.is_empty());
    assert!(world.rows.keys().all(|key| key[0] != 13 && key[0] != 14), "tables it could not read");
}
