//! Why a move is made, or why a replica has to wait, in words for logs, the console and tests alike.

use super::Unfit;
use crate::ids::{DeploymentId, NodeId};

/// Why a move is made, or why a replica is not placed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// It had no place.
    New,
    /// It is where it is well.
    Stays,
    /// Its node lost its lease.
    NodeLost(NodeId),
    /// Its node is gone, or leaving and not there any more.
    NodeGone(NodeId),
    /// Its node could not run it.
    Failed(NodeId),
    /// Its node is leaving.
    Leaving(NodeId),
    /// Its node is being drained.
    Draining(NodeId),
    /// Its policy does not want it on its node.
    Misplaced(NodeId),
    /// Others have fewer than its node.
    Unbalanced(NodeId),
    /// It answers on this node, where it was started next.
    Answers(NodeId),
    /// It is not wanted any more.
    NotWanted,
    /// A replica of higher priority needs its room on this node.
    MakesRoom {
        /// The other's deployment.
        by: DeploymentId,
        /// Which of its replicas.
        by_ordinal: u32,
        /// The node.
        node: NodeId,
    },
    /// Its successor's node cannot take it any more, or there is no need for it to move any more.
    NoNeed,
    /// Room is being made for it on this node.
    RoomIsMade(NodeId),
    /// One of higher priority took its room, and no node can take it.
    Preempted {
        /// The name of the deployment that did.
        by: String,
        /// Why no node can take it.
        unfit: Unfit,
    },
    /// No node can take it; how many nodes failed each test.
    Unplaceable(Unfit),
    /// It should be elsewhere, but no other node can take it.
    Stuck {
        /// Why it should be elsewhere.
        why: Box<Reason>,
        /// Why no other node can take it.
        unfit: Unfit,
    },
    /// It should be elsewhere, and as many moves as may be at once are under way.
    Capped {
        /// Why it should be elsewhere.
        why: Box<Reason>,
        /// How many may be at once.
        planned_max: u32,
    },
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::New => write!(f, "it was not placed"),
            Reason::Stays => {
                write!(f, "it stays: what is well moves for a drain, a policy or a rebalance only")
            }
            Reason::NodeLost(node) => write!(f, "node {node} lost its lease"),
            Reason::NodeGone(node) => write!(f, "node {node} is leaving or gone"),
            Reason::Failed(node) => write!(f, "node {node} could not run it"),
            Reason::Leaving(node) => write!(f, "node {node} is leaving"),
            Reason::Draining(node) => write!(f, "node {node} is being drained"),
            Reason::Misplaced(node) => write!(f, "its policy does not want it on node {node}"),
            Reason::Unbalanced(node) => write!(f, "node {node} has more than others"),
            Reason::Answers(node) => write!(f, "it answers on node {node}"),
            Reason::NotWanted => write!(f, "it is not wanted any more"),
            Reason::MakesRoom { by, by_ordinal, node } => {
                write!(f, "it makes room on node {node} for replica {by}/{by_ordinal} of higher priority")
            }
            Reason::NoNeed => write!(f, "it stays where it is after all"),
            Reason::RoomIsMade(node) => {
                write!(f, "replicas of lower priority make room for it on node {node}")
            }
            Reason::Preempted { by, unfit } => {
                write!(f, "preempted by {by}, of higher priority; no node can take it: {unfit}")
            }
            Reason::Unplaceable(unfit) => write!(f, "no node can take it: {unfit}"),
            Reason::Stuck { why, unfit } => write!(f, "{why}, but no other node can take it: {unfit}"),
            Reason::Capped { why, planned_max } => {
                write!(f, "{why}; it waits, since {planned_max} planned moves at once are the limit")
            }
        }
    }
}
