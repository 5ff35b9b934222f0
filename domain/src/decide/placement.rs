//! Which replica runs where. Takes the present placement and moves as little as it can: replicas on good nodes stay;
//! missing ones go to the node that fits, in the zone with the fewest of their deployment. Deterministic, idempotent
//! (applying its moves and asking again yields none), and bounded in how much it moves at once.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{DeploymentId, Epoch, Millis, NodeId};
use crate::tables::deployment::{Deployment, Phase, Refusal, Resources};
use crate::tables::node::{Node, Standing};
use crate::view::View;

/// Moves proposed at most in one round: a wrong belief about the cluster must not turn it over at once.
pub const MOVES_PER_ROUND_MAX: usize = 64;
/// How long a first refusal of a node is respected, in milliseconds; doubles with each further one.
pub const REFUSAL_FIRST_MS: Millis = 30_000;
/// How long a refusal is respected at most, in milliseconds.
pub const REFUSAL_MAX_MS: Millis = 600_000;

/// A change of placement, to be proposed as the command of the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Move {
    /// Give a replica to a node.
    Assign {
        /// Of which deployment.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The epoch it has now, if it is placed.
        was: Option<Epoch>,
        /// The node.
        node: NodeId,
        /// GPUs of the node it gets.
        gpus: Vec<u32>,
    },
    /// Take a replica away.
    Unassign {
        /// Of which deployment.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The epoch it has now.
        was: Epoch,
    },
}

/// Why a move is made, or why a replica is not placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It had no place.
    New,
    /// Its node lost its lease.
    NodeLost(NodeId),
    /// Its node is leaving or gone.
    NodeGone(NodeId),
    /// Its node could not run it.
    Failed(NodeId),
    /// It is not wanted any more.
    NotWanted,
    /// No node can take it; how many nodes failed each test.
    Unplaceable(Unfit),
}

/// How many nodes cannot take a replica, by the first test they failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unfit {
    /// Lost or leaving.
    pub away: usize,
    /// Without the engine.
    pub engine: usize,
    /// Without enough free GPUs of enough memory.
    pub gpus: usize,
    /// Without enough free CPUs or memory.
    pub room: usize,
    /// Refused it lately; with the latest reason.
    pub refused: usize,
    /// What the latest refusal said.
    pub said: Option<String>,
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::New => write!(f, "it was not placed"),
            Reason::NodeLost(node) => write!(f, "node {node} lost its lease"),
            Reason::NodeGone(node) => write!(f, "node {node} is leaving or gone"),
            Reason::Failed(node) => write!(f, "node {node} could not run it"),
            Reason::NotWanted => write!(f, "it is not wanted any more"),
            Reason::Unplaceable(unfit) => write!(f, "no node can take it: {unfit}"),
        }
    }
}

impl std::fmt::Display for Unfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [
            (self.away, "are lost or leaving"),
            (self.engine, "do not offer its engine"),
            (self.gpus, "lack free GPUs with the memory it needs"),
            (self.room, "lack free CPUs or memory"),
            (self.refused, "could not run it"),
        ];
        let told: Vec<String> =
            parts.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        write!(f, "{}", if told.is_empty() { "there are no nodes".to_owned() } else { told.join(", ") })?;
        match &self.said {
            Some(said) => write!(f, " (the latest said: {said})"),
            None => Ok(()),
        }
    }
}

/// What a round of placement looks at.
pub struct Problem<'a> {
    view: &'a View,
    now: Millis,
}

impl<'a> Problem<'a> {
    /// The problem as of this view and time (milliseconds since the Unix epoch, as commands are stamped).
    pub fn of(view: &'a View, now: Millis) -> Self {
        Self { view, now }
    }
}

/// What is still free on a node.
struct Room<'a> {
    node: &'a Node,
    cpus: u32,
    memory_mib: u64,
    /// Free GPUs: index and memory.
    gpus: BTreeMap<u32, u64>,
    /// Replicas on it, of any deployment.
    replicas: usize,
}

impl<'a> Room<'a> {
    fn new(node: &'a Node) -> Self {
        let capacity = &node.capacity;
        Self {
            node,
            cpus: capacity.cpus,
            memory_mib: capacity.memory_mib,
            gpus: capacity.gpus.iter().map(|g| (g.index, g.memory_mib)).collect(),
            replicas: 0,
        }
    }

    fn take(&mut self, needs: &Resources, gpus: &[u32]) {
        self.cpus = self.cpus.saturating_sub(needs.cpus);
        self.memory_mib = self.memory_mib.saturating_sub(needs.memory_mib);
        self.gpus.retain(|index, _| !gpus.contains(index));
        self.replicas += 1;
    }

    /// The GPUs a replica would get: the smallest that fit, so that large ones stay free.
    fn pick_gpus(&self, needs: &Resources) -> Option<Vec<u32>> {
        let mut fit: Vec<(u64, u32)> = self
            .gpus
            .iter()
            .filter(|(_, memory)| **memory >= needs.gpu_memory_mib)
            .map(|(index, memory)| (*memory, *index))
            .collect();
        fit.sort_unstable();
        fit.truncate(needs.gpus as usize);
        (fit.len() == needs.gpus as usize).then(|| fit.into_iter().map(|(_, index)| index).collect())
    }
}

/// The moves of this round, each with its reason. See [`explain`] for what could not be placed.
pub fn solve(problem: &Problem<'_>) -> Vec<(Move, Reason)> {
    run(problem).moves
}

/// Replicas that should run but have no place, each with why.
pub fn explain(problem: &Problem<'_>) -> Vec<(DeploymentId, u32, Reason)> {
    run(problem).unplaced
}

#[derive(Default)]
struct Solution {
    moves: Vec<(Move, Reason)>,
    unplaced: Vec<(DeploymentId, u32, Reason)>,
}

fn run(problem: &Problem<'_>) -> Solution {
    let state = &problem.view.state;
    let mut rooms: BTreeMap<NodeId, Room<'_>> =
        state.nodes.rows().map(|node| (node.id, Room::new(node))).collect();
    let mut solution = Solution::default();
    // First what stays takes its room, then what is missing looks for some: nothing that stays is ever displaced.
    for deployment in state.deployments.rows() {
        for replica in &deployment.replicas {
            if displaced(problem, deployment, replica.ordinal).is_none()
                && let Some(room) = rooms.get_mut(&replica.node)
            {
                room.take(&deployment.spec.resources, &replica.gpus);
            }
        }
    }
    for deployment in state.deployments.rows() {
        settle(problem, deployment, &mut rooms, &mut solution);
    }
    solution.moves.truncate(MOVES_PER_ROUND_MAX);
    solution
}

/// Why a placed replica cannot stay, if it cannot.
fn displaced(problem: &Problem<'_>, deployment: &Deployment, ordinal: u32) -> Option<Reason> {
    let replica = deployment.replica(ordinal)?;
    if ordinal >= deployment.wanted() {
        return Some(Reason::NotWanted);
    }
    match problem.view.state.nodes.get(&replica.node).map(|n| n.standing) {
        None | Some(Standing::Leaving) => return Some(Reason::NodeGone(replica.node)),
        Some(Standing::Lost) => return Some(Reason::NodeLost(replica.node)),
        Some(Standing::Active | Standing::Stopped) => {}
    }
    matches!(replica.phase, Phase::Failed { .. }).then_some(Reason::Failed(replica.node))
}

fn settle<'a>(
    problem: &Problem<'_>,
    deployment: &Deployment,
    rooms: &mut BTreeMap<NodeId, Room<'a>>,
    solution: &mut Solution,
) {
    let id = deployment.id;
    let mut hosts: Vec<NodeId> = Vec::new();
    for replica in &deployment.replicas {
        match displaced(problem, deployment, replica.ordinal) {
            None => hosts.push(replica.node),
            Some(Reason::NotWanted) => {
                let taken = Move::Unassign { id, ordinal: replica.ordinal, was: replica.epoch };
                solution.moves.push((taken, Reason::NotWanted));
            }
            Some(_) => {}
        }
    }
    for ordinal in 0..deployment.wanted() {
        let placed = deployment.replica(ordinal);
        let why = match placed {
            Some(_) => match displaced(problem, deployment, ordinal) {
                Some(reason) => reason,
                None => continue,
            },
            None => Reason::New,
        };
        match best(problem, deployment, rooms, &hosts) {
            Ok((node, gpus)) => {
                if let Some(room) = rooms.get_mut(&node) {
                    room.take(&deployment.spec.resources, &gpus);
                }
                hosts.push(node);
                let was = placed.map(|r| r.epoch);
                solution.moves.push((Move::Assign { id, ordinal, was, node, gpus }, why));
            }
            Err(unfit) => solution.unplaced.push((id, ordinal, Reason::Unplaceable(unfit))),
        }
    }
}

/// The best node for one more replica of a deployment that already has replicas on `hosts`.
fn best(
    problem: &Problem<'_>,
    deployment: &Deployment,
    rooms: &BTreeMap<NodeId, Room<'_>>,
    hosts: &[NodeId],
) -> Result<(NodeId, Vec<u32>), Unfit> {
    let mut in_zone: BTreeMap<&str, usize> = BTreeMap::new();
    for host in hosts {
        if let Some(room) = rooms.get(host) {
            *in_zone.entry(room.node.zone.as_str()).or_insert(0) += 1;
        }
    }
    let mut unfit = Unfit::default();
    let mut latest: Millis = 0;
    let mut options = BTreeSet::new();
    for room in rooms.values() {
        let node = room.node;
        let needs = &deployment.spec.resources;
        if node.standing != Standing::Active {
            unfit.away += 1;
        } else if !node.capacity.engines.contains(&deployment.spec.engine) {
            unfit.engine += 1;
        } else if let Some(refusal) = deployment.refusals.get(&node.id).filter(|r| holds(r, problem.now)) {
            unfit.refused += 1;
            if refusal.at >= latest {
                latest = refusal.at;
                unfit.said = Some(refusal.reason.clone());
            }
        } else if room.cpus < needs.cpus || room.memory_mib < needs.memory_mib {
            unfit.room += 1;
        } else if let Some(gpus) = room.pick_gpus(needs) {
            let zone = in_zone.get(node.zone.as_str()).copied().unwrap_or(0);
            let here = hosts.iter().filter(|h| **h == node.id).count();
            // Nodes with GPUs are kept for work that needs them.
            let wasted = if needs.gpus == 0 { room.gpus.len() } else { 0 };
            options.insert((zone, here, wasted, room.replicas, node.id, gpus));
        } else {
            unfit.gpus += 1;
        }
    }
    options.pop_first().map(|(_, _, _, _, node, gpus)| (node, gpus)).ok_or(unfit)
}

fn holds(refusal: &Refusal, now: Millis) -> bool {
    let doubled = REFUSAL_FIRST_MS.saturating_mul(1 << refusal.count.saturating_sub(1).min(16));
    now < refusal.at.saturating_add(doubled.min(REFUSAL_MAX_MS))
}
