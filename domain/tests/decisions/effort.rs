//! Effort: what a round of placement looks at grows with what is to be done, not with its product with all there is. Counted,
//! not timed.

use domain::decide::placement::{Problem, effort, explain, held, held_of, solve};
use domain::deployment::{Phase, Policy, Resources, Spec};
use domain::setting::Moves;

use crate::world::{World, a_spec};

const CPUS_OF_A_NODE: usize = 8;

fn one_cpu(name: &str, replicas: u32, priority: i32) -> Spec {
    let resources = Resources { cpus: 1, ..Resources::default() };
    Spec { resources, policy: Policy { priority, ..Policy::default() }, ..a_spec(name, replicas) }
}

/// A world whose nodes are full: each deployment has two replicas.
fn full(nodes: usize, priority: impl Fn(usize) -> i32) -> World {
    let mut world = World::with_nodes(&vec![("a", 0); nodes]);
    for n in 0..nodes * CPUS_OF_A_NODE / 2 {
        world.deploy(one_cpu(&format!("d{n}"), 2, priority(n)));
    }
    while world.place() > 0 {}
    world.report_all(Phase::Ready);
    world
}

fn effort_of(world: &World) -> u64 {
    effort(&Problem::of(&world.view(), world.now))
}

#[test]
fn a_round_with_nothing_to_do_looks_at_nothing() {
    assert_eq!(effort_of(&full(20, |_| 0)), 0);
}

#[test]
fn what_finds_no_room_among_equals_looks_at_each_node_once() {
    for nodes in [10, 20, 40] {
        let mut world = full(nodes, |_| 0);
        world.lose(1);
        let view = world.view();
        assert_eq!(explain(&Problem::of(&view, world.now)).len(), CPUS_OF_A_NODE);
        assert_eq!(effort_of(&world), (CPUS_OF_A_NODE * nodes) as u64);
    }
}

#[test]
fn what_may_take_the_room_of_lower_ones_looks_at_each_of_them_once() {
    for nodes in [10, 20, 40] {
        // Every other deployment is of higher priority.
        let mut world = full(nodes, |n| (n % 2) as i32);
        world.lose(1);
        let replicas = nodes * CPUS_OF_A_NODE;
        // The nodes for a place, the nodes for one that could be made, and what is on them.
        let bound = CPUS_OF_A_NODE * (2 * nodes + replicas);
        assert!(effort_of(&world) <= bound as u64, "{} of {bound}", effort_of(&world));
    }
}

#[test]
fn a_round_ends_where_it_has_found_as_much_as_may_move() {
    let mut world = World::with_nodes(&[("a", 0); 10]);
    let urgent_max = Moves::default().urgent_max as usize;
    for n in 0..20 * urgent_max {
        world.deploy(a_spec(&format!("d{n}"), 1));
    }
    assert_eq!(effort_of(&world), (urgent_max as u64 + 1) * 10);
    let rounds = std::iter::from_fn(|| Some(world.place()).filter(|moves| *moves > 0));
    assert_eq!(rounds.collect::<Vec<_>>(), [urgent_max; 20]);
}

#[test]
fn nothing_planned_takes_the_room_of_what_a_round_did_not_come_to() {
    let mut world = World::with_nodes(&[("a", 0), ("a", 0)]);
    let urgent_max = Moves::default().urgent_max as usize;
    // One that is to move away, and more new ones than a round may place.
    world.cordon(2, false);
    let moves = world.deploy(one_cpu("moves", 1, 0));
    world.place();
    world.report_all(Phase::Ready);
    assert_eq!(world.hosts(moves), [1]);
    world.uncordon(2);
    world.cordon(1, true);
    for n in 0..=urgent_max {
        world.deploy(a_spec(&format!("d{n}"), 1));
    }
    let new = |world: &World| solve(&Problem::of(&world.view(), world.now)).len();
    assert_eq!(new(&world), urgent_max, "the planned one waits");
    world.place();
    assert_eq!(new(&world), 2, "the last new one, and the planned one");
}

#[test]
fn what_holds_one_deployment_is_what_holds_it_among_all() {
    let mut world = full(4, |n| (n % 3) as i32);
    world.lose(1);
    world.cordon(2, true);
    let (view, now) = (world.view(), world.now);
    let problem = Problem::of(&view, now);
    let all = held(&problem);
    assert!(!all.unplaced.is_empty() && !all.waiting.is_empty(), "{all:?}");
    for deployment in view.state.deployments.rows() {
        let own = held_of(&problem, &[deployment.as_ref()]);
        let of = |told: &[domain::decide::placement::Told]| {
            told.iter().filter(|(id, ..)| *id == deployment.id).cloned().collect::<Vec<_>>()
        };
        assert_eq!((own.unplaced, own.waiting), (of(&all.unplaced), of(&all.waiting)));
    }
}
