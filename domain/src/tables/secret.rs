//! Secrets of the cluster itself (the CA's key, the gossip keys), sealed with AES-256-GCM under a data key, and that data
//! key wrapped for each voter. What is stored here is useless without a voter's own key, which never leaves its node.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::NodeId;
use crate::table::Row;

/// Something sealed with AES-256-GCM.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sealed {
    /// The nonce, 12 bytes.
    #[serde(with = "serde_bytes")]
    pub nonce: Vec<u8>,
    /// Ciphertext and tag.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sealed({} bytes)", self.bytes.len())
    }
}

/// What precedes the names of data keys that were this cluster's, or another's whose backup was restored here.
const DATA_KEY: &str = "data-key:";

/// The name under which such a data key is kept; `mark` tells keys apart and tells nothing of them.
pub fn data_key_name(mark: &str) -> String {
    format!("{DATA_KEY}{mark}")
}

/// Whether a secret is such a data key.
pub fn is_data_key(name: &str) -> bool {
    name.starts_with(DATA_KEY)
}

/// Whether a secret belongs to the cluster's own working, which no backup carries over to another one.
pub fn is_own(name: &str) -> bool {
    matches!(name, "ca" | "gossip") || is_data_key(name)
}

/// A named secret of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its name: `ca`, `gossip`.
    pub name: String,
    /// The part everybody may know, e.g. the CA's certificate as PEM.
    pub public: String,
    /// The sealed part.
    pub sealed: Sealed,
}

impl Row for Secret {
    const TABLE: u8 = 7;
    type Key = String;
}

/// The data key, wrapped for one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wrap {
    /// Who can unwrap it.
    pub node: NodeId,
    /// Public half of the key pair made for this wrap (X25519), 32 bytes.
    #[serde(with = "serde_bytes")]
    pub ephemeral: Vec<u8>,
    /// The sealed data key.
    pub sealed: Sealed,
}

impl Row for Wrap {
    const TABLE: u8 = 8;
    type Key = NodeId;
}

/// Changes of the secrets tables.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Stores a secret.
    Put(Secret),
    /// Lets a node open the secrets.
    Grant(Wrap),
    /// Takes a node's access away.
    Withdraw(NodeId),
}

/// Why a secret's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// The node is not in the cluster.
    #[error("there is no node {0} to give secrets to")]
    NoNode(NodeId),
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        RejectClass::NotFound
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Put(secret) => state.secrets.put(ctx.out, secret.name.clone(), secret.clone()),
        Command::Grant(wrap) => {
            if !state.nodes.contains(&wrap.node) {
                return Err(Reject::NoNode(wrap.node).into());
            }
            state.wraps.put(ctx.out, wrap.node, wrap.clone());
        }
        Command::Withdraw(node) => {
            state.wraps.remove(ctx.out, node);
        }
    }
    Ok(Reply::Done)
}

/// Takes a secret back in from a backup; it opens with the data key that came with it.
pub(super) fn restore(
    state: &mut State,
    (name, row): (String, Secret),
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    if is_own(&name) || name != row.name {
        return Err("it is a cluster's own, or lies under another one's name".to_owned());
    }
    match state.secrets.get(&name) {
        Some(old) if **old == row => Ok(()),
        Some(_) => Err("another one has its name".to_owned()),
        None => {
            state.secrets.put(ctx.out, name, row);
            Ok(())
        }
    }
}
