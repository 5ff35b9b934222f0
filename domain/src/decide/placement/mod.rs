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

use std::collections::BTreeSet;

use crate::ids::{DeploymentId, Epoch, Millis};
use crate::tables::deployment::{AntiAffinity, Command, Deployment, Phase, Replica};
use crate::tables::node::Standing;
use crate::view::{Health, View};

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

/// A change of placement: the command that makes it, and why it is made.
pub type Move = (Command, Reason);

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

    /// Whether all that is wanted of a deployment is somewhere and may stay there.
    fn is_settled(&self, deployment: &Deployment) -> bool {
        let stays = |replica: &Replica| {
            self.displaced(deployment, replica.ordinal).is_none()
                && self.unsettled(deployment, replica).is_none()
        };
        (0..deployment.wanted()).all(|ordinal| deployment.replica(ordinal).is_some_and(stays))
    }

    /// Why a placed replica cannot stay, if it cannot.
    fn displaced(&self, deployment: &Deployment, ordinal: u32) -> Option<Reason> {
        let replica = deployment.replica(ordinal)?;
        if ordinal >= deployment.wanted() {
            return Some(Reason::NotWanted);
        }
        match self.view.state.nodes.get(&replica.node).map(|n| n.standing) {
            None => return Some(Reason::NodeGone(replica.node)),
            // As long as it is there it hands over in order.
            Some(Standing::Leaving)
                if !self.can_plan() || self.view.liveness.of(replica.node) == Health::Down =>
            {
                return Some(Reason::NodeGone(replica.node));
            }
            Some(Standing::Lost) => return Some(Reason::NodeLost(replica.node)),
            Some(Standing::Active | Standing::Stopped | Standing::Leaving) => {}
        }
        matches!(replica.phase, Phase::Failed { .. }).then_some(Reason::Failed(replica.node))
    }

    /// Why a replica that runs should be elsewhere, if it should: an operator's word, a rebalance apart.
    fn unsettled(&self, deployment: &Deployment, replica: &Replica) -> Option<Reason> {
        let node = self.view.state.nodes.get(&replica.node)?;
        let policy = &deployment.spec.policy;
        if node.standing == Standing::Leaving {
            return Some(Reason::Leaving(node.id));
        }
        if node.is_draining() {
            return Some(Reason::Draining(node.id));
        }
        let crowded = policy.anti_affinity == AntiAffinity::Required
            && deployment.replicas.iter().any(|r| r.ordinal < replica.ordinal && r.node == replica.node);
        (crowded || !policy.admits(node.id, &node.name, &node.zone)).then_some(Reason::Misplaced(node.id))
    }
}

/// A replica and what is to be said of it.
pub type Told = (DeploymentId, u32, Reason);

/// The moves of this round. See [`explain`] for what could not be placed.
pub fn solve(problem: &Problem<'_>) -> Vec<Move> {
    run(problem, Extent::Round).moves
}

/// Replicas that should run but have no place, each with why; while more are to be placed than a round may, those that it
/// came to. See [`held`] for all.
pub fn explain(problem: &Problem<'_>) -> Vec<Told> {
    run(problem, Extent::Round).unplaced
}

/// How many nodes and replicas a round looks at one by one, on top of going over the tables once: what its time grows with.
pub fn effort(problem: &Problem<'_>) -> u64 {
    run(problem, Extent::Round).looked
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
    let Solution { unplaced, waiting, .. } = run(problem, Extent::All);
    Held { unplaced, waiting }
}

/// What of some deployments is kept waiting, and why. Where all of them are in their places, nothing else is looked at.
pub fn held_of(problem: &Problem<'_>, deployments: &[&Deployment]) -> Held {
    let unsettled = deployments.iter().filter(|deployment| !problem.is_settled(deployment));
    let unsettled: BTreeSet<DeploymentId> = unsettled.map(|deployment| deployment.id).collect();
    if unsettled.is_empty() {
        return Held::default();
    }
    let Held { mut unplaced, mut waiting } = held(problem);
    unplaced.retain(|(id, ..)| unsettled.contains(id));
    waiting.retain(|(id, ..)| unsettled.contains(id));
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
    moves: Vec<Move>,
    unplaced: Vec<Told>,
    waiting: Vec<Told>,
    looked: u64,
}

/// How far to go.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    /// As far as what may move in one round.
    Round,
    /// To everything that should move.
    All,
}

fn run(problem: &Problem<'_>, extent: Extent) -> Solution {
    let mut board = Board::of(problem);
    let mut solution = Solution::default();
    let moves = problem.view.state.moves();
    let under_way = board.under_way();
    let order = board.by_priority();
    urgent::release(&board, &order, &mut solution);
    let mut planned = planned::Budget::of(moves.planned_max, under_way);
    let urgent_max = moves.urgent_max as usize;
    let enough = if extent == Extent::All { usize::MAX } else { urgent_max };
    let preempted = urgent::place(&mut board, &order, &mut planned, enough, &mut solution);
    // What was not come to has no room on the board: nothing planned may take it.
    let cut_short = solution.moves.len() > enough;
    solution.moves.truncate(urgent_max);
    solution.moves.extend(preempted);
    if problem.can_plan() && !cut_short {
        planned::run(&mut board, &order, &mut planned, &mut solution);
    }
    solution.looked = board.looked();
    solution
}
