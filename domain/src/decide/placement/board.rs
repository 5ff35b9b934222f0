//! The cluster as a round of placement sees it: what is free on each node, and where each deployment's replicas are or go.
//! Moves that were decided are marked on it, so that the next one of the round sees them.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Problem, Reason};
use crate::ids::{DeploymentId, Millis, NodeId};
use crate::tables::deployment::{Deployment, Desired, Phase, Preempted, Replica, Resources};
use crate::tables::node::{Node, Standing};

/// How long a room that was made for a replica counts as a move under way though the replica has no node yet.
const ROOM_MADE_MS: Millis = 5_000;

/// What is still free on a node.
#[derive(Clone)]
pub(super) struct Room<'a> {
    pub(super) node: &'a Node,
    /// Free CPUs; below nothing when the node has become smaller than what is on it.
    pub(super) cpus: i64,
    /// Free memory in MiB, likewise.
    pub(super) memory_mib: i64,
    /// Free GPUs: index and memory.
    pub(super) gpus: BTreeMap<u32, u64>,
    /// Replicas that are to be on it, of any deployment.
    pub(super) replicas: usize,
    /// What others hold that make room in this round: free for a later one.
    leaving: Vec<(Resources, Vec<u32>)>,
}

impl<'a> Room<'a> {
    fn new(node: &'a Node) -> Self {
        let capacity = &node.capacity;
        Self {
            node,
            cpus: capacity.cpus.into(),
            memory_mib: signed(capacity.memory_mib),
            gpus: capacity.gpus.iter().map(|g| (g.index, g.memory_mib)).collect(),
            replicas: 0,
            leaving: Vec::new(),
        }
    }

    /// The node as it is once those have gone who make room.
    pub(super) fn later(&self) -> Self {
        let mut room = self.clone();
        for (needs, gpus) in std::mem::take(&mut room.leaving) {
            room.give_back(&needs, &gpus);
        }
        room
    }

    pub(super) fn take(&mut self, needs: &Resources, gpus: &[u32]) {
        self.cpus -= i64::from(needs.cpus);
        self.memory_mib = self.memory_mib.saturating_sub(signed(needs.memory_mib));
        self.gpus.retain(|index, _| !gpus.contains(index));
        for (_, leaving) in &mut self.leaving {
            leaving.retain(|index| !gpus.contains(index));
        }
    }

    pub(super) fn give_back(&mut self, needs: &Resources, gpus: &[u32]) {
        self.cpus += i64::from(needs.cpus);
        self.memory_mib = self.memory_mib.saturating_add(signed(needs.memory_mib));
        let all = self.node.capacity.gpus.iter();
        self.gpus.extend(all.filter(|g| gpus.contains(&g.index)).map(|g| (g.index, g.memory_mib)));
    }

    /// The GPUs a replica would get: the smallest that fit, so that large ones stay free.
    pub(super) fn pick_gpus(&self, needs: &Resources) -> Option<Vec<u32>> {
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

fn signed(mib: u64) -> i64 {
    i64::try_from(mib).unwrap_or(i64::MAX)
}

/// Where a replica is, and where it goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Spot {
    /// Where it is; it keeps that room until it has moved.
    pub(super) at: NodeId,
    /// Where it is to be.
    pub(super) to: NodeId,
    /// Whether it is there to stay, or to move on in its own time: it counts when others are spread.
    pub(super) stays: bool,
}

/// The cluster as this round sees it.
pub(super) struct Board<'a> {
    pub(super) problem: &'a Problem<'a>,
    pub(super) rooms: BTreeMap<NodeId, Room<'a>>,
    spots: BTreeMap<DeploymentId, BTreeMap<u32, Spot>>,
    going: BTreeSet<(DeploymentId, u32)>,
    /// What the tables place on each node, without successors.
    hosted: BTreeMap<NodeId, Vec<(&'a Deployment, &'a Replica)>>,
    /// The lowest priority of what is placed.
    lowest: Option<i32>,
    /// Nodes and replicas that were looked at one by one.
    looked: Cell<u64>,
}

impl<'a> Board<'a> {
    pub(super) fn of(problem: &'a Problem<'a>) -> Self {
        let state = &problem.view.state;
        let rooms = state.nodes.rows().map(|node| (node.id, Room::new(node))).collect();
        let mut board = Self {
            problem,
            rooms,
            spots: BTreeMap::new(),
            going: BTreeSet::new(),
            hosted: BTreeMap::new(),
            lowest: None,
            looked: Cell::default(),
        };
        for deployment in state.deployments.rows() {
            for replica in &deployment.replicas {
                let next = replica.successor.as_ref();
                let priority = deployment.spec.policy.priority;
                board.lowest = Some(board.lowest.map_or(priority, |lowest| lowest.min(priority)));
                board.hosted.entry(replica.node).or_default().push((deployment, replica));
                board.take(replica.node, deployment, &replica.gpus);
                if let Some(next) = next {
                    board.take(next.node, deployment, &next.gpus);
                }
                let stays = board.displaced(deployment, replica.ordinal).is_none();
                let to = next.map_or(replica.node, |next| next.node);
                board.stand(deployment.id, replica.ordinal, Spot { at: replica.node, to, stays });
            }
        }
        board
    }

    /// The deployments, those of higher priority first.
    pub(super) fn by_priority(&self) -> Vec<&'a Deployment> {
        let mut order: Vec<&Deployment> = self.problem.view.state.deployments.rows().map(|d| &**d).collect();
        order.sort_by_key(|d| (Reverse(d.spec.policy.priority), d.id));
        order
    }

    pub(super) fn take(&mut self, node: NodeId, deployment: &Deployment, gpus: &[u32]) {
        if let Some(room) = self.rooms.get_mut(&node) {
            room.take(&deployment.spec.resources, gpus);
        }
    }

    pub(super) fn take_gpus(&mut self, node: NodeId, gpus: &[u32]) {
        if let Some(room) = self.rooms.get_mut(&node) {
            room.gpus.retain(|index, _| !gpus.contains(index));
        }
    }

    pub(super) fn give_back(&mut self, node: NodeId, deployment: &Deployment, gpus: &[u32]) {
        if let Some(room) = self.rooms.get_mut(&node) {
            room.give_back(&deployment.spec.resources, gpus);
        }
    }

    /// Notes that a replica makes room: what it holds is free for a later round, and it counts nowhere.
    pub(super) fn make_way(&mut self, deployment: &Deployment, replica: &Replica) {
        if let Some(room) = self.rooms.get_mut(&replica.node) {
            room.leaving.push((deployment.spec.resources, replica.gpus.clone()));
        }
        self.going.insert((deployment.id, replica.ordinal));
        let spot = Spot { at: replica.node, to: replica.node, stays: false };
        self.stand(deployment.id, replica.ordinal, spot);
    }

    /// What the tables place on a node, by deployment.
    pub(super) fn hosted(&self, node: NodeId) -> &[(&'a Deployment, &'a Replica)] {
        let found = self.hosted.get(&node).map_or(&[][..], |found| found);
        self.look(found.len());
        found
    }

    /// Whether anything is of lower priority than a deployment.
    pub(super) fn has_lower(&self, deployment: &Deployment) -> bool {
        self.lowest.is_some_and(|lowest| lowest < deployment.spec.policy.priority)
    }

    /// Whether anything makes room in this round.
    pub(super) fn makes_any_way(&self) -> bool {
        !self.going.is_empty()
    }

    /// Counts what is looked at one by one.
    pub(super) fn look(&self, count: usize) {
        self.looked.set(self.looked.get() + count as u64);
    }

    /// How much was looked at one by one.
    pub(super) fn looked(&self) -> u64 {
        self.looked.get()
    }

    /// Whether a replica makes room in this round.
    pub(super) fn makes_way(&self, id: DeploymentId, ordinal: u32) -> bool {
        self.going.contains(&(id, ordinal))
    }

    /// Notes where a replica is and goes.
    pub(super) fn stand(&mut self, id: DeploymentId, ordinal: u32, spot: Spot) {
        let was = self.spots.entry(id).or_default().insert(ordinal, spot);
        if let Some(room) = was.filter(|was| was.stays).and_then(|was| self.rooms.get_mut(&was.to)) {
            room.replicas -= 1;
        }
        if let Some(room) = self.rooms.get_mut(&spot.to).filter(|_| spot.stays) {
            room.replicas += 1;
        }
    }

    /// Where a replica is and goes.
    pub(super) fn spot(&self, id: DeploymentId, ordinal: u32) -> Option<Spot> {
        self.spots.get(&id)?.get(&ordinal).copied()
    }

    /// Whether a replica is somewhere, and nothing has been decided that takes it from there.
    pub(super) fn stays(&self, id: DeploymentId, ordinal: u32) -> bool {
        self.spot(id, ordinal).is_some_and(|spot| spot.stays)
    }

    /// Whether a replica is where the tables say, goes nowhere, and nothing of this round changes that.
    pub(super) fn rests(&self, deployment: &Deployment, replica: &Replica) -> bool {
        let here = |spot: Spot| spot.stays && spot.at == replica.node && spot.to == replica.node;
        self.displaced(deployment, replica.ordinal).is_none()
            && self.spot(deployment.id, replica.ordinal).is_some_and(here)
    }

    /// Where the other replicas of a deployment are and go.
    pub(super) fn others(&self, id: DeploymentId, ordinal: u32) -> impl Iterator<Item = Spot> {
        let spots = self.spots.get(&id).into_iter().flatten();
        spots.filter(move |(other, _)| **other != ordinal).map(|(_, spot)| *spot)
    }

    /// Why a placed replica cannot stay, if it cannot.
    pub(super) fn displaced(&self, deployment: &Deployment, ordinal: u32) -> Option<Reason> {
        self.problem.displaced(deployment, ordinal)
    }

    /// Why a replica that runs should be elsewhere, if it should: an operator's word, a rebalance apart.
    pub(super) fn unsettled(&self, deployment: &Deployment, replica: &Replica) -> Option<Reason> {
        self.problem.unsettled(deployment, replica)
    }

    /// Planned moves that are under way: successors that do not answer yet, and room that was made for what does not.
    pub(super) fn under_way(&self) -> usize {
        let rows = self.problem.view.state.deployments.rows();
        let of = |d: &Deployment| {
            let successors = d.replicas.iter().filter(|r| r.successor.is_some()).count();
            successors + d.preempted.values().filter(|note| self.makes_room(note)).count()
        };
        rows.map(|d| of(d)).sum()
    }

    fn makes_room(&self, note: &Preempted) -> bool {
        let Some(by) = self.problem.view.state.deployments.get(&note.by) else { return false };
        match by.replica(note.by_ordinal) {
            Some(replica) => matches!(replica.phase, Phase::Assigned | Phase::Starting),
            None => note.by_ordinal < by.wanted() && self.problem.now < note.at.saturating_add(ROOM_MADE_MS),
        }
    }

    /// Whether some replica has yet to show whether it runs.
    pub(super) fn is_starting(&self) -> bool {
        let state = &self.problem.view.state;
        let active = |id: &NodeId| state.nodes.get(id).is_some_and(|n| n.standing == Standing::Active);
        let starts = |r: &Replica| matches!(r.phase, Phase::Assigned | Phase::Starting) && active(&r.node);
        let running = state.deployments.rows().filter(|d| d.desired == Desired::Running);
        running.flat_map(|d| &d.replicas).any(starts)
    }
}
