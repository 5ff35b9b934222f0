//! Why each replica of a deployment is where it is, or nowhere: the same tests and scores that placement decides by, told
//! node by node.

use super::board::Board;
use super::fit::{Score, score};
use super::{Extent, Problem, Reason, Unmet, run};
use crate::ids::{DeploymentId, NodeId};

/// What is to be said of a node for a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// The replica is there.
    Here,
    /// Its successor is started there.
    Next,
    /// It could be there; how good it would be.
    Fits(Score),
    /// It cannot be there.
    Unmet(Unmet),
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Verdict::Here => write!(f, "it is here"),
            Verdict::Next => write!(f, "it is started here, and moves here once it answers"),
            Verdict::Fits(Score { zone, here, replicas, .. }) => write!(
                f,
                "it could be here: {zone} others of the deployment in the zone, {here} on the node, {replicas} replicas on \
                 it in all"
            ),
            Verdict::Unmet(unmet) => write!(f, "it cannot be here: {unmet}"),
        }
    }
}

/// Why a replica is where it is, or nowhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Which replica.
    pub ordinal: u32,
    /// Where it is.
    pub node: Option<NodeId>,
    /// Why it is there, why it is to move, or why it is nowhere.
    pub reason: Reason,
    /// What is to be said of each node.
    pub nodes: Vec<(NodeId, Verdict)>,
}

/// Explains a deployment's replicas, those that are wanted and those that still are somewhere.
pub fn why(problem: &Problem<'_>, id: DeploymentId) -> Vec<Explanation> {
    let Some(deployment) = problem.view.state.deployments.get(&id) else { return Vec::new() };
    let (board, solution) = (Board::of(problem), run(problem, Extent::All));
    let told = solution.unplaced.into_iter().chain(solution.waiting);
    let told: Vec<_> = told.filter(|(of, ..)| *of == id).collect();
    let last = deployment.replicas.iter().map(|r| r.ordinal + 1).max().unwrap_or(0);
    let mut explanations = Vec::new();
    for ordinal in 0..last.max(deployment.wanted()) {
        let replica = deployment.replica(ordinal);
        if replica.is_none() && ordinal >= deployment.wanted() {
            continue;
        }
        let node = replica.map(|r| r.node);
        let next = replica.and_then(|r| r.successor.as_ref()).map(|next| next.node);
        let (zones, hosts) = board.spread(deployment, ordinal);
        let verdict = |room: &super::board::Room<'_>| match room.node.id {
            here if Some(here) == node => Verdict::Here,
            there if Some(there) == next => Verdict::Next,
            _ => match board.fits(deployment, ordinal, room) {
                Ok(_) => Verdict::Fits(score(deployment, room, &zones, &hosts)),
                Err(unmet) => Verdict::Unmet(unmet),
            },
        };
        let nodes = board.rooms.values().map(|room| (room.node.id, verdict(room))).collect();
        let planned = solution.moves.iter().find(|(step, _)| step.replica() == Some((id, ordinal)));
        let planned = planned.map(|(_, why)| why.clone());
        let kept = told.iter().find(|(_, of, _)| *of == ordinal).map(|(_, _, why)| why.clone());
        let unsettled = replica.filter(|_| next.is_some()).and_then(|r| board.unsettled(deployment, r));
        let spreads = next.and(node).map(Reason::Unbalanced);
        let reason = kept.or(planned).or(unsettled).or(spreads).unwrap_or(Reason::Stays);
        explanations.push(Explanation { ordinal, node, reason, nodes });
    }
    explanations
}
