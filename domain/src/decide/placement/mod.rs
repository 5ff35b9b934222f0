//! Which replica runs where. Takes the present placement and moves as little as it can. Deterministic, idempotent
//! (applying its moves and asking again yields none once they are done), and bounded in how much it moves at once.
//!
//! What is urgent comes first, by priority: replicas without a node, and those whose node is lost, go to the node that
//! fits, in the zone with the fewest of their deployment; where none fits, those of lower priority make room. What is
//! planned comes with what is left of its own bound: a drain, a changed policy, a rebalance. A planned move gives the
//! replica a successor first, and takes nothing from it until that one has answered for a moment.
//!
//! Everything the tables name takes its room until the tables do not name it any more, so no two moves of a round depend on
//! each other, and nothing is given twice whichever of them come through.

mod board;
mod fit;
mod planned;
mod preempt;
mod reason;
mod rebalance;
mod urgent;
mod why;

use crate::command::Command;
use crate::ids::{DeploymentId, Epoch, Millis, NodeId};
use crate::tables::deployment;
use crate::view::View;

use board::Board;
pub use fit::{REFUSAL_FIRST_MS, REFUSAL_MAX_MS, Unfit, Unmet};
pub use reason::Reason;
pub use rebalance::{PLAN_MAX, Planned, plan};
pub use why::{Explanation, Verdict, why};

/// The feature level from which replicas have successors and make room.
const LEVEL: u16 = 2;
/// How long a successor answers beside its replica, in milliseconds: routers that are behind by less find the one or the
/// other.
pub const HANDOVER_MS: Millis = 1_000;

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
    /// Give a replica a successor on another node.
    Prepare {
        /// Of which deployment.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The epoch it has now.
        was: Epoch,
        /// The node.
        node: NodeId,
        /// GPUs of the node the successor gets.
        gpus: Vec<u32>,
    },
    /// Put a successor in its replica's place.
    Promote {
        /// Of which deployment.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The successor's epoch.
        successor: Epoch,
    },
    /// Take a successor away.
    Abandon {
        /// Of which deployment.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The successor's epoch.
        successor: Epoch,
    },
    /// Take a replica away for one of higher priority.
    Preempt {
        /// Of which deployment.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The epoch it has now.
        was: Epoch,
        /// The deployment that gets its room.
        by: DeploymentId,
        /// Which of its replicas.
        by_ordinal: u32,
    },
}

impl Move {
    /// Of which deployment, and which replica.
    pub fn replica(&self) -> (DeploymentId, u32) {
        match self {
            Move::Assign { id, ordinal, .. }
            | Move::Unassign { id, ordinal, .. }
            | Move::Prepare { id, ordinal, .. }
            | Move::Promote { id, ordinal, .. }
            | Move::Abandon { id, ordinal, .. }
            | Move::Preempt { id, ordinal, .. } => (*id, *ordinal),
        }
    }

    /// The command that makes it.
    pub fn into_command(self) -> Command {
        Command::Deployment(match self {
            Move::Assign { id, ordinal, was, node, gpus } => {
                deployment::Command::Assign { id, ordinal, was, node, gpus }
            }
            Move::Unassign { id, ordinal, was } => deployment::Command::Unassign { id, ordinal, was },
            Move::Prepare { id, ordinal, was, node, gpus } => {
                deployment::Command::Prepare { id, ordinal, was, node, gpus }
            }
            Move::Promote { id, ordinal, successor } => {
                deployment::Command::Promote { id, ordinal, successor }
            }
            Move::Abandon { id, ordinal, successor } => {
                deployment::Command::Abandon { id, ordinal, successor }
            }
            Move::Preempt { id, ordinal, was, by, by_ordinal } => {
                deployment::Command::Preempt { id, ordinal, was, by, by_ordinal }
            }
        })
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

    /// Whether replicas may have successors, and make room.
    fn can_plan(&self) -> bool {
        self.view.state.level() >= LEVEL
    }
}

/// A replica and what is to be said of it.
pub type Told = (DeploymentId, u32, Reason);

/// The moves of this round, each with its reason. See [`explain`] for what could not be placed.
pub fn solve(problem: &Problem<'_>) -> Vec<(Move, Reason)> {
    run(problem).moves
}

/// Replicas that should run but have no place, each with why.
pub fn explain(problem: &Problem<'_>) -> Vec<Told> {
    run(problem).unplaced
}

/// What a round came to, as far as replicas are kept waiting by it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// Replicas that should run but have no place, each with why.
    pub unplaced: Vec<Told>,
    /// Replicas that run and should be elsewhere, each with what they wait for.
    pub waiting: Vec<Told>,
}

/// What is kept waiting, and why.
pub fn held(problem: &Problem<'_>) -> Held {
    let Solution { unplaced, waiting, .. } = run(problem);
    Held { unplaced, waiting }
}

/// Whether a rebalance is under way that has nothing left to do, and since when it is under way.
pub fn rebalanced(problem: &Problem<'_>) -> Option<Epoch> {
    let since = problem.view.state.rebalance()?;
    let board = Board::of(problem);
    (board.under_way() == 0 && !board.is_starting() && solve(problem).is_empty()).then_some(since)
}

#[derive(Default)]
struct Solution {
    moves: Vec<(Move, Reason)>,
    unplaced: Vec<Told>,
    waiting: Vec<Told>,
}

fn run(problem: &Problem<'_>) -> Solution {
    let mut board = Board::of(problem);
    let mut solution = Solution::default();
    let moves = problem.view.state.moves();
    let under_way = board.under_way();
    let order = board.by_priority();
    urgent::release(&board, &order, &mut solution);
    let mut planned = planned::Budget::of(moves.planned_max, under_way);
    let preempted = urgent::place(&mut board, &order, &mut planned, &mut solution);
    solution.moves.truncate(moves.urgent_max as usize);
    solution.moves.extend(preempted);
    if problem.can_plan() {
        planned::run(&mut board, &order, &mut planned, &mut solution);
    }
    solution
}
