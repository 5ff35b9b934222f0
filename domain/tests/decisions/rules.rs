//! Whatever happens in whatever order, the rules of placement hold in every round, and everything settles.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::placement::{Move, Problem, rebalanced, solve};
use domain::deployment::{self, AntiAffinity, Deployment, Phase, Policy, Replica, Resources, Spec};
use domain::node::Standing;
use domain::setting::{self, Moves};
use domain::{Command, DeploymentId, Epoch, NodeId, node};
use proptest::prelude::*;

use crate::world::{World, a_spec};

/// A deployment as chance makes one.
#[derive(Debug, Clone)]
struct Draw {
    replicas: u32,
    cpus: u32,
    gpus: u32,
    priority: i32,
    apart: bool,
    zone: Option<u8>,
}

fn draws() -> impl Strategy<Value = Draw> {
    let zone = proptest::option::weighted(0.3, 0..3u8);
    (0..5u32, 0..5u32, 0..3u32, -1..3i32, any::<bool>(), zone).prop_map(
        |(replicas, cpus, gpus, priority, apart, zone)| Draw { replicas, cpus, gpus, priority, apart, zone },
    )
}

fn spec(world: &World, i: usize, draw: &Draw) -> Spec {
    let zone = draw.zone.map(|z| format!("z{z}"));
    let zone = zone.filter(|zone| world.state.nodes.rows().any(|node| node.zone == *zone));
    let anti_affinity = if draw.apart { AntiAffinity::Required } else { AntiAffinity::Preferred };
    let policy = Policy {
        priority: draw.priority,
        anti_affinity,
        zones: zone.into_iter().collect(),
        ..Policy::default()
    };
    let resources = Resources { cpus: draw.cpus, gpus: draw.gpus, ..Resources::default() };
    Spec { resources, policy, ..a_spec(&format!("d{i}"), draw.replicas) }
}

/// One thing that happens.
fn happen(world: &mut World, what: u8, which: usize) {
    let nodes = world.state.nodes.len();
    let node = (which % nodes) as u64 + 1;
    let row = world.state.deployments.rows().nth(which % world.state.deployments.len()).unwrap().clone();
    let id = row.id;
    let deployment = |command| Command::Deployment(command);
    let command = match what {
        0 => {
            let incarnation = world.state.nodes.get(&NodeId(node)).unwrap().incarnation;
            Command::Node(node::Command::Lose { id: NodeId(node), incarnation })
        }
        1 => Command::Node(node::Command::Return { id: NodeId(node) }),
        2 => Command::Node(node::Command::Cordon { id: NodeId(node), drain: which.is_multiple_of(2) }),
        3 => Command::Node(node::Command::Uncordon { id: NodeId(node) }),
        4 => deployment(deployment::Command::Scale { id, replicas: which as u32 % 6 }),
        5 => deployment(deployment::Command::Stop(id)),
        6 => deployment(deployment::Command::Start(id)),
        7 => match row.replicas.first() {
            Some(replica) => {
                let phase = Phase::Failed { reason: "no luck".into() };
                let (ordinal, epoch) = (replica.ordinal, replica.epoch);
                deployment(deployment::Command::Report { id, ordinal, epoch, phase })
            }
            None => return,
        },
        8 => Command::Setting(setting::Command::Rebalance),
        9 => Command::Setting(setting::Command::EndRebalance { since: None }),
        10 => {
            let moves = Moves { planned_max: which as u32 % 3 + 1, urgent_max: 64 };
            Command::Setting(setting::Command::SetMoves(moves))
        }
        _ => {
            world.report_all(Phase::Ready);
            return;
        }
    };
    world.apply(command).unwrap();
}

type Held = BTreeMap<(DeploymentId, u32), (Deployment, Replica)>;

fn held(world: &World) -> Held {
    let rows = world.state.deployments.rows();
    rows.flat_map(|d| d.replicas.iter().map(|r| ((d.id, r.ordinal), ((**d).clone(), r.clone())))).collect()
}

/// Nothing is on a node twice, and no node carries more than it can.
fn nothing_is_given_twice(world: &World) {
    let (mut cpus, mut gpus) = (BTreeMap::<NodeId, u32>::new(), BTreeSet::<(NodeId, u32)>::new());
    for (row, replica) in held(world).into_values() {
        let next = replica.successor.map(|next| (next.node, next.gpus));
        for (node, indexes) in [Some((replica.node, replica.gpus)), next].into_iter().flatten() {
            *cpus.entry(node).or_default() += row.spec.resources.cpus;
            assert_eq!(indexes.len(), row.spec.resources.gpus as usize);
            for index in indexes {
                assert!(gpus.insert((node, index)), "GPU {index} of {node} is given twice");
            }
        }
    }
    for (node, used) in cpus {
        assert!(used <= world.state.nodes.get(&node).unwrap().capacity.cpus, "{node} carries {used} CPUs");
    }
}

/// Each move goes where it may, and what has no reason to move stays.
fn every_move_has_a_reason(world: &World, moves: &[Move], before: &Held) {
    let state = &world.state;
    for (step, _) in moves {
        let (id, ordinal) = step.replica().expect("a move is of one replica");
        let row = state.deployments.get(&id).unwrap();
        if let deployment::Command::Assign { node, .. } | deployment::Command::Prepare { node, .. } = step {
            let to = state.nodes.get(node).unwrap();
            assert_eq!((to.standing, to.cordon), (Standing::Active, None), "{step:?}");
            assert!(row.spec.policy.admits(to.id, &to.name, &to.zone), "{step:?}");
            let shares = |r: &Replica| {
                r.ordinal != ordinal
                    && (r.node == *node || r.successor.as_ref().is_some_and(|s| s.node == *node))
            };
            if row.spec.policy.anti_affinity == AntiAffinity::Required {
                assert!(!row.replicas.iter().any(shares), "{step:?}");
            }
        }
        if let deployment::Command::Preempt { by, .. } = step {
            let higher = state.deployments.get(by).unwrap().spec.policy.priority;
            assert!(row.spec.policy.priority < higher, "{step:?}");
        }
    }
    for ((id, ordinal), (row, replica)) in before {
        let node = state.nodes.get(&replica.node).unwrap();
        let well = *ordinal < row.wanted()
            && node.standing == Standing::Active
            && !node.is_draining()
            && row.spec.policy.admits(node.id, &node.name, &node.zone)
            && !matches!(replica.phase, Phase::Failed { .. });
        let touched = moves.iter().find(|(step, _)| step.replica() == Some((*id, *ordinal)));
        if let Some((step, _)) = touched.filter(|_| well) {
            let may = matches!(
                step,
                deployment::Command::Preempt { .. }
                    | deployment::Command::Abandon { .. }
                    | deployment::Command::Promote { .. }
            ) || (matches!(step, deployment::Command::Prepare { .. })
                && state.rebalance().is_some());
            assert!(may, "{step:?} moves what is well");
        }
    }
}

/// One round with its checks; says how many moves it made.
fn round(world: &mut World) -> usize {
    let before = held(world);
    let successors = |held: &Held| held.values().filter(|(_, r)| r.successor.is_some()).count();
    let moves = solve(&Problem::of(&world.view(), world.now));
    every_move_has_a_reason(world, &moves, &before);
    let max = world.state.moves().planned_max as usize;
    let prepared =
        moves.iter().filter(|(step, _)| matches!(step, deployment::Command::Prepare { .. })).count();
    let preempted: BTreeSet<(DeploymentId, u32)> = moves
        .iter()
        .filter_map(|(step, _)| match step {
            deployment::Command::Preempt { by, by_ordinal, .. } => Some((*by, *by_ordinal)),
            _ => None,
        })
        .collect();
    let makes_room =
        moves.iter().filter(|(step, _)| matches!(step, deployment::Command::Preempt { .. })).count();
    let begun = prepared + makes_room;
    let alone = preempted.len() == 1 && prepared == 0 && successors(&before) == 0;
    assert!(
        begun == 0 || begun + successors(&before) <= max || alone,
        "{begun} begin beside others: {moves:?}"
    );
    for (step, _) in &moves {
        let reached = world.apply(Command::Deployment(step.clone()));
        assert!(reached.is_ok(), "{step:?}: {reached:?}");
        nothing_is_given_twice(world);
    }
    moves.len()
}

fn epochs(world: &World) -> BTreeSet<Epoch> {
    held(world).values().map(|(_, replica)| replica.epoch).collect()
}

proptest! {
    #[test]
    fn the_rules_hold_whatever_happens_and_everything_settles(
        nodes in proptest::collection::vec((0..3u8, 0..4u32), 1..6),
        drawn in proptest::collection::vec(draws(), 1..6),
        steps in proptest::collection::vec((0..14u8, 0..60usize), 0..25),
    ) {
        let names: Vec<String> = nodes.iter().map(|(z, _)| format!("z{z}")).collect();
        let nodes: Vec<(&str, u32)> = names.iter().zip(&nodes).map(|(z, (_, gpus))| (z.as_str(), *gpus)).collect();
        let mut world = World::with_nodes(&nodes);
        for (i, draw) in drawn.iter().enumerate() {
            let spec = spec(&world, i, draw);
            world.deploy(spec);
        }
        for (what, which) in steps {
            happen(&mut world, what, which);
            for _ in 0..which % 4 {
                world.now += 1_000;
                round(&mut world);
            }
        }
        let mut rounds = 0;
        loop {
            world.now += 1_000;
            let moves = round(&mut world);
            world.report_all(Phase::Ready);
            let over = rebalanced(&Problem::of(&world.view(), world.now));
            if let Some(since) = over {
                let end = setting::Command::EndRebalance { since: Some(since) };
                world.apply(Command::Setting(end)).unwrap();
            }
            rounds += 1;
            prop_assert!(rounds < 400, "it never settles: {:?}", solve(&Problem::of(&world.view(), world.now)));
            // Refusals are over after a while, and may let something move once more.
            if moves == 0 && over.is_none() && rounds > 60 {
                break;
            }
        }
        prop_assert_eq!(world.state.rebalance(), None);
        let settled = epochs(&world);
        world.now += 1_000_000;
        while round(&mut world) > 0 {
            world.report_all(Phase::Ready);
            world.now += 1_000;
        }
        prop_assert!(settled.is_subset(&epochs(&world)), "what is settled stays");
        prop_assert_eq!(round(&mut world), 0);
    }
}
