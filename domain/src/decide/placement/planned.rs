//! What may wait: moves away from nodes that are drained or leave, to where a policy wants a replica, and to where a
//! rebalance spreads them better. Each gives the replica a successor; few are under way at once.

use super::board::{Board, Spot};
use super::{Reason, Solution, rebalance};
use crate::tables::deployment::{Command, Deployment};

/// How many planned moves may still begin.
pub(super) struct Budget {
    max: u32,
    left: usize,
    /// Whether none is under way.
    idle: bool,
}

impl Budget {
    pub(super) fn of(max: u32, under_way: usize) -> Self {
        Self { max, left: (max as usize).saturating_sub(under_way), idle: under_way == 0 }
    }

    /// Takes one move.
    pub(super) fn take(&mut self) -> bool {
        self.take_together(1)
    }

    /// Takes some moves that make sense together only. More than there may be at once go when nothing else does: they would
    /// never go otherwise.
    pub(super) fn take_together(&mut self, count: usize) -> bool {
        if count > self.left && !self.idle {
            return false;
        }
        self.left = self.left.saturating_sub(count);
        self.idle = false;
        true
    }

    /// Whether anything more may begin.
    pub(super) fn is_open(&self) -> bool {
        self.left > 0 || self.idle
    }

    pub(super) fn is_spent(&self) -> bool {
        self.left == 0
    }
}

/// The planned moves of this round, and who waits for what.
pub(super) fn run(
    board: &mut Board<'_>,
    order: &[&Deployment],
    budget: &mut Budget,
    solution: &mut Solution,
) {
    for deployment in order {
        for replica in &deployment.replicas {
            let (id, ordinal, from) = (deployment.id, replica.ordinal, replica.node);
            if !board.rests(deployment, replica) {
                continue;
            }
            let Some(why) = board.unsettled(deployment, replica) else { continue };
            match board.best(deployment, ordinal, Some(from)) {
                Err(unfit) => {
                    solution.waiting.push((id, ordinal, Reason::Stuck { why: Box::new(why), unfit }));
                }
                Ok(_) if budget.is_spent() || !budget.take() => {
                    let planned_max = budget.max;
                    solution.waiting.push((id, ordinal, Reason::Capped { why: Box::new(why), planned_max }));
                }
                Ok((node, gpus)) => {
                    board.take(node, deployment, &gpus);
                    board.stand(id, ordinal, Spot { at: from, to: node, stays: true });
                    let was = replica.epoch;
                    solution.moves.push((Command::Prepare { id, ordinal, was, node, gpus }, why));
                }
            }
        }
    }
    if board.problem.view.state.rebalance().is_none() {
        return;
    }
    while !budget.is_spent() {
        let Some(step) = rebalance::next(board) else { break };
        budget.take();
        step.mark(board);
        let from = step.from;
        solution.moves.push((step.into_command(), Reason::Unbalanced(from)));
    }
}
