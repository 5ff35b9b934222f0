//! Secrets of the cluster itself (the CA's key, the gossip keys), sealed with AES-256-GCM under a data key, and that data
//! key wrapped for each voter. What is stored here is useless without a voter's own key, which never leaves its node.

use serde::{Deserialize, Serialize};

use super::{Context, rotation};
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
    /// The data key it was sealed under, by its mark; none of what was sealed before keys could be replaced, or under
    /// another kind of key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "sealed({} bytes)", self.bytes.len())
    }
}

/// The authority that signs nodes' certificates.
pub const CA: &str = "ca";
/// The authority that is to follow it, while nodes learn to trust it.
pub const NEXT_CA: &str = "ca-next";
/// The keys that gossip's packets are sealed under.
pub const GOSSIP: &str = "gossip";
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

/// The marks of all data keys that are kept beside the present one.
pub fn data_keys(state: &State) -> impl Iterator<Item = &str> {
    state.secrets.iter().filter_map(|(name, _)| name.strip_prefix(DATA_KEY))
}

/// Whether a secret belongs to the cluster's own working, which no backup carries over to another one.
pub fn is_own(name: &str) -> bool {
    matches!(name, CA | NEXT_CA | GOSSIP) || is_data_key(name)
}

/// A named secret of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret {
    /// Its name: `ca`, `ca-next`, `gossip`, or a data key's.
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
    /// Which data key it is, by its mark; none of one that was wrapped before keys could be replaced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
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
    /// It was sealed, or holds a key, that was replaced meanwhile.
    #[error("it was sealed under a data key that was replaced meanwhile: try again")]
    OldKey,
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::NoNode(_) => RejectClass::NotFound,
            Reject::OldKey => RejectClass::Conflict,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Put(secret) => {
            rotation::check_sealed(state, &secret.sealed)?;
            state.secrets.put(ctx.out, secret.name.clone(), secret.clone());
        }
        Command::Grant(wrap) => {
            if !state.nodes.contains(&wrap.node) {
                return Err(Reject::NoNode(wrap.node).into());
            }
            // Who wrapped it may not have heard of the newest key yet: a voter with an old one would open nothing.
            rotation::check_wrap(state, wrap)?;
            state.wraps.put(ctx.out, wrap.node, wrap.clone());
        }
        Command::Withdraw(node) => {
            if state.wraps.remove(ctx.out, node) {
                rotation::kept_by(state, *node, ctx);
            }
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
