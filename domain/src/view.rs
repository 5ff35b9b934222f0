//! What a decision sees: an immutable snapshot of metadata and of liveness. Published by the runtime after every applied
//! batch and every change of liveness; read without locks by everyone on the node.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::State;
use crate::ids::{Incarnation, NodeId};

/// How gossip sees a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Health {
    /// It answers.
    Alive,
    /// It may be gone: not routed to, nothing is moved.
    Suspect,
    /// Gossip gave it up.
    Down,
}

/// What gossip knows: nodes that are not in the map have not been heard of.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Liveness {
    /// Health and life of each node heard of.
    pub nodes: BTreeMap<NodeId, (Health, Incarnation)>,
}

impl Liveness {
    /// How a node is; a node never heard of counts as down.
    pub fn of(&self, node: NodeId) -> Health {
        self.nodes.get(&node).map_or(Health::Down, |(health, _)| *health)
    }
    /// Which life of a node gossip heard of last.
    pub fn life(&self, node: NodeId) -> Option<Incarnation> {
        self.nodes.get(&node).map(|(_, life)| *life)
    }
    /// Whether this node was heard of and does not seem alive. One that was not heard of yet is none: the observer may have
    /// started a moment ago and must not take everybody for dead.
    pub fn suspects(&self, node: NodeId) -> bool {
        self.nodes.get(&node).is_some_and(|(health, _)| *health != Health::Alive)
    }
}

/// A snapshot of everything a decision may look at.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// Whose view it is.
    pub me: NodeId,
    /// Metadata as of `applied`.
    pub state: State,
    /// Log index of the last command in `state`.
    pub applied: u64,
    /// Who is alive.
    pub liveness: Arc<Liveness>,
    /// The leader, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Nodes that vote in Raft, by id.
    pub voters: Arc<std::collections::BTreeSet<NodeId>>,
}
