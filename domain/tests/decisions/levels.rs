//! Feature levels: what a mixed cluster refuses, when it is raised, and whom it refuses then.

use domain::command::VERSION;
use domain::config::{Command, Expect};
use domain::{Command as Change, NodeId, Reject, level, node};

use crate::world::{World, a_node};

fn a_value() -> Change {
    Change::Config(Command::Put { key: "k".into(), bytes: b"v".to_vec(), expect: Expect::Anything })
}

fn old(id: u64) -> node::Node {
    node::Node { version: "0.1.0".into(), ..a_node(id, "a", 0) }
}

fn join(row: node::Node) -> Change {
    Change::Node(node::Command::Join(row))
}

fn start(row: node::Node) -> Change {
    let node::Node { id, incarnation, zone, cluster_addr, http_addr, capacity, version, .. } = row;
    Change::Node(node::Command::Register {
        id,
        incarnation,
        zone,
        cluster_addr,
        http_addr,
        capacity,
        version,
    })
}

#[test]
fn a_new_cluster_is_at_its_first_nodes_level() {
    let mut world = World::new();
    world.apply(join(a_node(1, "a", 0))).unwrap();
    assert_eq!(world.state.level(), VERSION);
    world.apply(a_value()).unwrap();
}

#[test]
fn a_mixed_cluster_takes_no_newer_command_until_every_node_is_upgraded() {
    let mut world = World::new();
    world.apply(join(old(1))).unwrap();
    world.apply(join(a_node(2, "a", 0))).unwrap();
    assert_eq!(world.apply(a_value()), Err(Reject::TooNew { version: 2, known: 1 }));
    assert_eq!(level::next(&world.state), None);
    let raise = Change::Level(level::Command::Raise(VERSION));
    let behind = world.apply(raise.clone()).unwrap_err().to_string();
    assert!(behind.contains("0.1.0") && behind.contains("upgrade it"), "{behind}");
    world.apply(start(a_node(1, "a", 0))).unwrap();
    assert_eq!(level::next(&world.state), Some(VERSION));
    world.apply(raise).unwrap();
    assert_eq!(level::next(&world.state), None);
    world.apply(a_value()).unwrap();
}

#[test]
fn a_cluster_can_go_back_until_it_was_raised_and_refuses_older_programs_afterwards() {
    let mut world = World::new();
    world.apply(join(old(1))).unwrap();
    world.apply(start(a_node(1, "a", 0))).unwrap();
    world.apply(start(old(1))).unwrap();
    world.apply(start(a_node(1, "a", 0))).unwrap();
    world.apply(Change::Level(level::Command::Raise(2))).unwrap();
    for refused in [start(old(1)), join(node::Node { name: "other".into(), ..old(2) })] {
        assert!(matches!(world.apply(refused), Err(Reject::Node(node::Reject::TooOld { level: 2, .. }))));
    }
    assert!(world.state.nodes.contains(&NodeId(1)) && !world.state.nodes.contains(&NodeId(2)));
}
