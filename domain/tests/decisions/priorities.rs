//! Priorities: the higher goes first, and the lower makes room with the least damage.

use domain::decide::placement::{Problem, Reason, explain, solve};
use domain::deployment::{self, Phase, Policy, Resources, Spec};
use domain::{Command, DeploymentId};

use crate::world::{World, a_spec};

fn spec(name: &str, replicas: u32, priority: i32, resources: Resources) -> Spec {
    Spec { resources, policy: Policy { priority, ..Policy::default() }, ..a_spec(name, replicas) }
}

fn cpus(cpus: u32) -> Resources {
    Resources { cpus, ..Resources::default() }
}

fn gpus(gpus: u32) -> Resources {
    Resources { gpus, ..Resources::default() }
}

fn places(world: &World, id: DeploymentId) -> usize {
    world.hosts(id).len()
}

#[test]
fn the_higher_takes_the_room_of_the_lower_and_gives_it_back() {
    let mut world = World::with_nodes(&[("a", 1)]);
    let low = world.deploy(spec("low", 1, 0, gpus(1)));
    world.settle();
    let high = world.deploy(spec("high", 1, 5, gpus(1)));
    world.settle();
    assert_eq!((places(&world, low), places(&world, high)), (0, 1));
    let why = &explain(&Problem::of(&world.view(), world.now))[0];
    assert!(matches!(&why.2, Reason::Preempted { by, .. } if by == "high"), "{why:?}");
    world.apply(Command::Deployment(deployment::Command::Delete(high))).unwrap();
    world.settle();
    assert_eq!(places(&world, low), 1);
    assert!(world.state.deployments.get(&low).unwrap().preempted.is_empty());
}

#[test]
fn equals_never_make_room_for_each_other() {
    let mut world = World::with_nodes(&[("a", 1)]);
    world.deploy(spec("x", 1, 5, gpus(1)));
    world.settle();
    let other = world.deploy(spec("y", 1, 5, gpus(1)));
    assert_eq!((world.settle(), places(&world, other)), (0, 0));
    let row = world.state.deployments.rows().next().unwrap().clone();
    let (id, was) = (row.id, row.replicas[0].epoch);
    let preempt = deployment::Command::Preempt { id, ordinal: 0, was, by: other, by_ordinal: 0 };
    assert!(world.apply(Command::Deployment(preempt)).is_err(), "nor by command");
}

#[test]
fn the_fewest_go_then_the_lowest_then_the_youngest() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    // Node capacities are 8 CPUs: four small ones fill one node, two large ones the other.
    let pin =
        |node: &str, s: Spec| Spec { policy: Policy { nodes: vec![node.into()], ..s.policy.clone() }, ..s };
    let small = world.deploy(pin("node1", spec("small", 4, 0, cpus(2))));
    let old = world.deploy(pin("node2", spec("old", 1, 1, cpus(4))));
    let young = world.deploy(pin("node2", spec("young", 1, 1, cpus(4))));
    world.settle();
    let high = world.deploy(spec("high", 1, 9, cpus(4)));
    world.settle();
    let now = [small, old, young, high].map(|id| places(&world, id));
    assert_eq!(now, [4, 1, 0, 1], "one of two goes before two of four, though its priority is higher");
}

#[test]
fn nothing_goes_that_makes_no_room() {
    let mut world = World::with_nodes(&[("a", 1)]);
    let idle = world.deploy(spec("idle", 3, -5, Resources::default()));
    let busy = world.deploy(spec("busy", 1, 0, gpus(1)));
    world.settle();
    let high = world.deploy(spec("high", 1, 1, gpus(1)));
    world.settle();
    assert_eq!([idle, busy, high].map(|id| places(&world, id)), [3, 0, 1]);
    let huge = world.deploy(spec("huge", 1, 9, gpus(2)));
    assert_eq!((world.settle(), places(&world, huge)), (0, 0), "what cannot fit anyway displaces nobody");
}

#[test]
fn what_comes_free_anyway_is_waited_for() {
    let mut world = World::with_nodes(&[("a", 1), ("b", 1)]);
    let low = world.deploy(spec("low", 1, 0, gpus(1)));
    let other = world.deploy(spec("other", 1, 0, gpus(1)));
    world.settle();
    world.apply(Command::Deployment(deployment::Command::Stop(other))).unwrap();
    let high = world.deploy(spec("high", 1, 9, gpus(1)));
    world.settle();
    assert_eq!([low, other, high].map(|id| places(&world, id)), [1, 0, 1]);
}

#[test]
fn more_than_may_move_at_once_make_room_only_when_nothing_else_moves() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let low = world.deploy(spec("low", 8, 0, cpus(1)));
    world.settle();
    let high = world.deploy(spec("high", 1, 1, cpus(8)));
    assert_eq!(world.place(), 8, "eight are needed, though four at once are the limit");
    assert_eq!((places(&world, low), places(&world, high)), (0, 0));
    let next = solve(&Problem::of(&world.view(), world.now));
    assert_eq!(next.len(), 1, "none of the eight takes the room back: {next:?}");
    world.settle();
    assert_eq!(places(&world, high), 1);
}

#[test]
fn a_lost_node_is_mended_by_priority() {
    let mut world = World::with_nodes(&[("a", 1), ("b", 1)]);
    let high = world.deploy(spec("high", 1, 5, gpus(1)));
    let low = world.deploy(spec("low", 1, 0, gpus(1)));
    world.settle();
    let lost = world.hosts(high)[0];
    world.lose(lost);
    world.settle();
    assert_eq!((places(&world, high), places(&world, low)), (1, 0));
    assert_ne!(world.hosts(high), [lost]);
    world.report_all(Phase::Ready);
    assert_eq!(world.settle(), 0);
}
