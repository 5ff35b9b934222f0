//! Spreading replicas better: one move at a time, always the one that gains the most. How well they are spread is the sum
//! over deployments of the squares of their replicas in each zone, then on each node, then GPUs kept from work that needs
//! them, then the sum of the squares of all replicas on each node. Every move makes that smaller, so it ends.

use super::Problem;
use super::board::{Board, Spot};
use crate::ids::{DeploymentId, Epoch, NodeId};
use crate::tables::deployment::{Command, Deployment, Phase, Replica};
use crate::tables::node::{Node, Standing};

/// Moves of a plan at most.
pub const PLAN_MAX: usize = 1_000;

/// A move that a rebalance would make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Of which deployment.
    pub id: DeploymentId,
    /// Which replica.
    pub ordinal: u32,
    /// Where it is.
    pub from: NodeId,
    /// Where it would be.
    pub to: NodeId,
}

/// What a rebalance would do now if nothing else happened meanwhile.
pub fn plan(problem: &Problem<'_>) -> Vec<Planned> {
    let mut board = Board::of(problem);
    let mut plan = Vec::new();
    while let Some(step) = next(&board).filter(|_| plan.len() < PLAN_MAX) {
        board.give_back(step.from, step.deployment, step.gpus_now);
        board.take(step.to, step.deployment, &step.gpus);
        let Step { ordinal, from, to, .. } = step;
        board.stand(step.deployment.id, ordinal, Spot { at: to, to, stays: true });
        plan.push(Planned { id: step.deployment.id, ordinal, from, to });
    }
    plan
}

/// A move that spreads replicas better.
pub(super) struct Step<'a> {
    deployment: &'a Deployment,
    ordinal: u32,
    was: Epoch,
    gpus_now: &'a [u32],
    pub(super) from: NodeId,
    to: NodeId,
    gpus: Vec<u32>,
}

impl Step<'_> {
    /// Marks its successor's place.
    pub(super) fn mark(&self, board: &mut Board<'_>) {
        board.take(self.to, self.deployment, &self.gpus);
        let spot = Spot { at: self.from, to: self.to, stays: true };
        board.stand(self.deployment.id, self.ordinal, spot);
    }

    pub(super) fn into_command(self) -> Command {
        let Step { deployment, ordinal, was, to, gpus, .. } = self;
        Command::Prepare { id: deployment.id, ordinal, was, node: to, gpus }
    }
}

/// By how much a move changes how replicas are spread, in the order of what counts; less than nothing is better.
type Gain = (i64, i64, i64, i64);

/// The move that gains the most, if one gains at all.
pub(super) fn next<'a>(board: &Board<'a>) -> Option<Step<'a>> {
    let mut best: Option<((Gain, DeploymentId, u32, NodeId), Step<'a>)> = None;
    for row in board.problem.view.state.deployments.rows() {
        let deployment: &'a Deployment = row;
        for replica in deployment.replicas.iter().filter(|r| may_move(board, deployment, r)) {
            let from = replica.node;
            let (zones, nodes) = board.spread(deployment, replica.ordinal);
            let Some(source) = board.rooms.get(&from) else { continue };
            for room in board.rooms.values().filter(|room| room.node.id != from) {
                let count = |zone: &str| zones.get(zone).copied().unwrap_or(0) as i64;
                let on = |node: NodeId| nodes.get(&node).copied().unwrap_or(0) as i64;
                let gain: Gain = (
                    count(&room.node.zone) - count(&source.node.zone),
                    on(room.node.id) - on(from),
                    if deployment.spec.resources.gpus == 0 { gpus(room.node) - gpus(source.node) } else { 0 },
                    // The others' counts leave the replica itself out; these do not.
                    room.replicas as i64 + 1 - source.replicas as i64,
                );
                let key = (gain, deployment.id, replica.ordinal, room.node.id);
                if gain >= (0, 0, 0, 0) || best.as_ref().is_some_and(|(least, _)| *least <= key) {
                    continue;
                }
                if let Ok(gpus) = board.fits(deployment, replica.ordinal, room) {
                    let Replica { ordinal, epoch: was, gpus: gpus_now, .. } = replica;
                    let (ordinal, was, to) = (*ordinal, *was, room.node.id);
                    best = Some((key, Step { deployment, ordinal, was, gpus_now, from, to, gpus }));
                }
            }
        }
    }
    best.map(|(_, step)| step)
}

/// Whether a replica may be moved only to spread better: it is well, and its node is one that may have work.
fn may_move(board: &Board<'_>, deployment: &Deployment, replica: &Replica) -> bool {
    let settled =
        |room: &super::board::Room<'_>| room.node.standing == Standing::Active && room.node.cordon.is_none();
    replica.phase == Phase::Ready
        && board.rests(deployment, replica)
        && board.rooms.get(&replica.node).is_some_and(settled)
        && board.unsettled(deployment, replica).is_none()
}

fn gpus(node: &Node) -> i64 {
    node.capacity.gpus.len() as i64
}
