//! What does not wait: taking away what is not wanted, and giving a node to what has none, by priority.

use super::board::{Board, Spot};
use super::planned::Budget;
use super::{HANDOVER_MS, Move, Reason, Solution, preempt};
use crate::ids::NodeId;
use crate::tables::deployment::{Command, Deployment, Phase, Replica, Successor};

/// Takes away what is not wanted, and settles successors that have no replica to succeed, or no need to.
pub(super) fn release(board: &Board<'_>, order: &[&Deployment], solution: &mut Solution) {
    for deployment in order {
        let id = deployment.id;
        for replica in &deployment.replicas {
            let Replica { ordinal, epoch, .. } = *replica;
            match (board.displaced(deployment, ordinal), &replica.successor) {
                (Some(Reason::NotWanted), _) => {
                    solution.moves.push((Command::Unassign { id, ordinal, was: epoch }, Reason::NotWanted));
                }
                (Some(why), Some(next)) if is_there(board, next.node) => {
                    solution.moves.push((Command::Promote { id, ordinal, successor: next.epoch }, why));
                }
                (None, Some(next)) if !is_needed(board, deployment, replica, next) => {
                    let stays = Command::Abandon { id, ordinal, successor: next.epoch };
                    solution.moves.push((stays, Reason::NoNeed));
                }
                (None, Some(next)) if has_proved(board, next) => {
                    let moves = Command::Promote { id, ordinal, successor: next.epoch };
                    solution.moves.push((moves, Reason::Answers(next.node)));
                }
                _ => {}
            }
        }
    }
}

fn is_there(board: &Board<'_>, node: NodeId) -> bool {
    board.rooms.get(&node).is_some_and(|room| room.node.standing.counts())
}

/// Whether a successor answers, and has done so for as long as it takes until every router knows.
fn has_proved(board: &Board<'_>, next: &Successor) -> bool {
    next.phase == Phase::Ready && board.problem.now >= next.since.saturating_add(HANDOVER_MS)
}

/// Whether a successor is still to be waited for.
fn is_needed(board: &Board<'_>, deployment: &Deployment, replica: &Replica, next: &Successor) -> bool {
    let Some(node) = board.rooms.get(&next.node).map(|room| room.node) else { return false };
    let may_be_there = node.standing.counts()
        && !node.is_draining()
        && deployment.spec.policy.admits(node.id, &node.name, &node.zone);
    may_be_there
        && (board.unsettled(deployment, replica).is_some() || board.problem.view.state.rebalance().is_some())
}

/// Gives nodes to what has none, and notes what gets none. What has to make room for that comes back apart: it counts as
/// planned. Ends where there are more than `enough` moves: the rest is for later rounds, and looking for it all in each would
/// take the square of the time.
pub(super) fn place(
    board: &mut Board<'_>,
    order: &[&Deployment],
    budget: &mut Budget,
    enough: usize,
    solution: &mut Solution,
) -> Vec<Move> {
    let mut preempted = Vec::new();
    for deployment in order {
        for ordinal in 0..deployment.wanted() {
            if solution.moves.len() > enough {
                return preempted;
            }
            let placed = deployment.replica(ordinal);
            let why = match placed {
                Some(_) => match board.displaced(deployment, ordinal) {
                    Some(reason) => reason,
                    None => continue,
                },
                None => Reason::New,
            };
            if board.makes_way(deployment.id, ordinal) {
                // It failed, and makes room before it is tried elsewhere.
                continue;
            }
            if placed.and_then(|r| r.successor.as_ref()).is_some_and(|next| is_there(board, next.node)) {
                // It is promoted.
                continue;
            }
            match settle(board, deployment, ordinal, placed) {
                Ok((node, gpus)) => {
                    let was = placed.map(|r| r.epoch);
                    let id = deployment.id;
                    solution.moves.push((Command::Assign { id, ordinal, was, node, gpus }, why));
                }
                Err(unfit) => {
                    // What is about to be free anyway is waited for.
                    let made = if frees_nothing(&solution.moves) {
                        preempt::make_room(board, deployment, ordinal, budget, &mut preempted)
                    } else {
                        None
                    };
                    let why = match made {
                        Some(node) => Reason::RoomIsMade(node),
                        None => unplaced(board, deployment, ordinal, unfit),
                    };
                    solution.unplaced.push((deployment.id, ordinal, why));
                }
            }
        }
    }
    preempted
}

fn frees_nothing(moves: &[Move]) -> bool {
    moves.iter().all(|(step, _)| matches!(step, Command::Assign { was: None, .. }))
}

/// Finds a node for a replica and marks it there; what it had itself it may have again.
fn settle(
    board: &mut Board<'_>,
    deployment: &Deployment,
    ordinal: u32,
    placed: Option<&Replica>,
) -> Result<(NodeId, Vec<u32>), super::Unfit> {
    if let Some(replica) = placed {
        board.give_back(replica.node, deployment, &replica.gpus);
    }
    let found = board.best(deployment, ordinal, None);
    if let Some(replica) = placed {
        board.take(replica.node, deployment, &replica.gpus);
    }
    if let Ok((node, gpus)) = &found {
        if placed.is_some_and(|replica| replica.node == *node) {
            // It has its share already, but perhaps other GPUs.
            board.take_gpus(*node, gpus);
        } else {
            board.take(*node, deployment, gpus);
        }
        board.stand(deployment.id, ordinal, Spot { at: *node, to: *node, stays: true });
    }
    found
}

fn unplaced(board: &Board<'_>, deployment: &Deployment, ordinal: u32, unfit: super::Unfit) -> Reason {
    let Some(note) = deployment.preempted.get(&ordinal) else { return Reason::Unplaceable(unfit) };
    let by = board.problem.view.state.deployments.get(&note.by);
    let by = by.map_or_else(|| note.by.to_string(), |row| row.spec.name.clone());
    Reason::Preempted { by, unfit }
}
