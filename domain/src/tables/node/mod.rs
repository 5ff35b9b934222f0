//! Nodes: who belongs to the cluster, where it is reached, what it can carry. Rows are written when a node joins, at
//! every start of it, and when the leader decides that it is lost; what is alive this second is gossip's to say.

mod apply;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::State;
use crate::command::RejectClass;
use crate::ids::{Incarnation, Millis, NodeId, TokenId};
use crate::table::Row;
pub(crate) use apply::apply;

/// A GPU as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// The device's number on its node.
    pub index: u32,
    /// The vendor's name of it.
    pub name: String,
    /// Its memory in MiB.
    pub memory_mib: u64,
}

/// What a node can carry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capacity {
    /// Logical CPUs.
    pub cpus: u32,
    /// Main memory in MiB.
    pub memory_mib: u64,
    /// GPUs; a node without any is normal.
    pub gpus: Vec<Gpu>,
    /// Names of the engines its configuration offers.
    pub engines: Vec<String>,
}

/// Whether work may be on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Its lease is good as far as the leader knows.
    Active,
    /// Its lease ran out; its work goes elsewhere until it returns.
    Lost,
    /// It is leaving for good: its work goes elsewhere first.
    Leaving,
    /// It was stopped in order and is expected back: nothing is routed to it and nothing new is placed on it, and what it
    /// has waits for it until its lease runs out.
    Stopped,
}

impl Standing {
    /// Whether it takes part, or is expected to do so again in a moment.
    pub fn counts(self) -> bool {
        matches!(self, Standing::Active | Standing::Stopped)
    }
}

/// An operator's word that a node gets nothing new. It is no part of its standing: a cordoned node serves what it has, and
/// stays cordoned over restarts and losses, also when a new node takes the name of a lost one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cordon {
    /// Whether what it has is to go elsewhere.
    pub drain: bool,
    /// Since when.
    pub since: Millis,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id, also Raft's.
    pub id: NodeId,
    /// Its name, unique among nodes that are not lost.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// `host:port` of its cluster port, as others reach it.
    pub cluster_addr: String,
    /// `host:port` of its HTTP port, as clients reach it.
    pub http_addr: String,
    /// Public key (X25519) that secrets are wrapped for.
    #[serde(with = "serde_bytes")]
    pub seal_public: Vec<u8>,
    /// SHA-256 of its certificate.
    #[serde(with = "serde_bytes")]
    pub cert_fingerprint: Vec<u8>,
    /// Its present start.
    pub incarnation: Incarnation,
    /// What it can carry.
    pub capacity: Capacity,
    /// Whether work may be on it.
    pub standing: Standing,
    /// Since when its standing is what it is.
    pub since: Millis,
    /// The program's version.
    pub version: String,
    /// When it joined.
    pub joined_at: Millis,
    /// Whether an operator keeps work off it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordon: Option<Cordon>,
}

impl Node {
    /// Whether what it has is to go elsewhere, while it goes on.
    pub fn is_draining(&self) -> bool {
        self.cordon.is_some_and(|cordon| cordon.drain)
    }
}

impl Row for Node {
    const TABLE: u8 = 1;
    type Key = NodeId;
}

/// A node that was removed or replaced. Its certificate still verifies, so its id is remembered and refused for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its id.
    pub id: NodeId,
    /// When it went.
    pub at: Millis,
}

impl Row for Gone {
    const TABLE: u8 = 11;
    type Key = NodeId;
}

/// Changes of the nodes table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The first node makes the cluster. `joined_at`, `since` and `standing` of the row are set by `apply`.
    Join(Node),
    /// A newcomer comes in by a token, which that uses once. One that was let in before and asks again, with the same keys,
    /// uses nothing.
    Admit {
        /// Its row, as for `Join`.
        node: Node,
        /// The token's id.
        token: TokenId,
        /// SHA-256 of the secret part that was shown.
        #[serde(with = "serde_bytes")]
        hash: Vec<u8>,
    },
    /// A known node started again, or learnt something new about itself.
    Register {
        /// Which node.
        id: NodeId,
        /// Its new life.
        incarnation: Incarnation,
        /// Its zone, which may have changed.
        zone: String,
        /// Where its cluster port is now.
        cluster_addr: String,
        /// Where its HTTP port is now.
        http_addr: String,
        /// What it can carry now.
        capacity: Capacity,
        /// The program's version.
        version: String,
    },
    /// Its process stops in order and means to come back.
    Stop {
        /// Which node.
        id: NodeId,
        /// The life that ends; a newer one does not.
        incarnation: Incarnation,
    },
    /// The leader saw its lease run out.
    Lose {
        /// Which node.
        id: NodeId,
        /// The life that was lost; a newer one is not.
        incarnation: Incarnation,
    },
    /// Its lease is renewed again.
    Return {
        /// Which node.
        id: NodeId,
    },
    /// It is to leave for good.
    Leave {
        /// Which node.
        id: NodeId,
    },
    /// It is gone for good; its certificate is no longer accepted.
    Remove {
        /// Which node.
        id: NodeId,
    },
    /// A majority was lost for good and this node goes on alone: all others are gone for good. Written into the log of a
    /// stopped node on its operator's word, never proposed; of the first level, so that a cluster of any level takes it.
    Survive {
        /// Which node.
        id: NodeId,
        /// Others that Raft knew, with a row or without one.
        others: Vec<NodeId>,
    },
    /// It is to get nothing new.
    Cordon {
        /// Which node.
        id: NodeId,
        /// Whether what it has is to go elsewhere.
        drain: bool,
    },
    /// It may get work again.
    Uncordon {
        /// Which node.
        id: NodeId,
    },
}

impl Command {
    /// The feature level that all nodes must have for it.
    pub(crate) fn level(&self) -> u16 {
        match self {
            Command::Cordon { .. } | Command::Uncordon { .. } => 2,
            _ => 1,
        }
    }
}

/// Why a node's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// Another live node has the name.
    #[error(
        "a node named `{name}` is in the cluster already ({id}): choose another --name, or remove that node first"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        id: NodeId,
    },
    /// The name cannot be one.
    #[error("`{name}` cannot be a node's name: {hint}")]
    BadName {
        /// The name.
        name: String,
        /// How it should look.
        hint: String,
    },
    /// Another node has the id.
    #[error(
        "node {0} is in the cluster already, with other keys: wipe the data directory to join as a new node"
    )]
    IdTaken(NodeId),
    /// It cannot be removed while it takes part in keeping the cluster's secrets.
    #[error("node {0} is there and votes: let it go with `llmhub node leave`, or stop it first")]
    InUse(NodeId),
    /// Nobody else could open the cluster's secrets.
    #[error(
        "node {0} is the only one that can open the cluster's secrets: without it no node could join any more"
    )]
    LastKeeper(NodeId),
    /// No such node.
    #[error("there is no node {0} in this cluster: it was removed, or never joined")]
    Unknown(NodeId),
    /// It runs a program that does not know what the cluster already uses.
    #[error(
        "version {version} is too old for this cluster, which is at feature level {level}: start the version the other nodes run"
    )]
    TooOld {
        /// What it runs.
        version: String,
        /// The cluster's level.
        level: u16,
    },
    /// It lives a newer life than the command speaks of.
    #[error("node {0} has started again since: nothing to do")]
    Stale(NodeId),
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::NameTaken { .. }
            | Reject::IdTaken(_)
            | Reject::InUse(_)
            | Reject::LastKeeper(_)
            | Reject::TooOld { .. }
            | Reject::Stale(_) => RejectClass::Conflict,
            Reject::BadName { .. } => RejectClass::Invalid,
            Reject::Unknown(_) => RejectClass::NotFound,
        }
    }
}

/// How many nodes of each zone count.
pub fn zones(state: &State) -> BTreeMap<&str, usize> {
    let mut zones = BTreeMap::new();
    for node in state.nodes.rows().filter(|n| n.standing.counts()) {
        *zones.entry(node.zone.as_str()).or_insert(0) += 1;
    }
    zones
}
