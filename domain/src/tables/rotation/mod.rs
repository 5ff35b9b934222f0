//! Keys of the cluster and how they are replaced: the data key, the gossip key, the authority that signs nodes'
//! certificates. A new key comes in beside the old one, is used once all who must know it say so, and then the old one
//! goes. Which step may come next is [`crate::decide::rotation`]'s to say; the leader takes it, and `apply` refuses what
//! does not fit. Rows hold marks, numbers and certificates, never a key.

mod apply;

use serde::{Deserialize, Serialize};

use super::secret::{self, CA, NEXT_CA, Sealed, Secret, Wrap, data_key_name, is_data_key};
use crate::State;
use crate::command::RejectClass;
use crate::ids::{Epoch, Millis, NodeId, ProviderName};
use crate::table::Row;

pub(crate) use apply::apply;
pub(super) use apply::{kept_by, node_gone, restored};

/// The feature level that replacing keys takes.
pub const LEVEL: u16 = 3;
/// The feature level from which removing a node replaces every key it knows: also one that is being replaced, of which it
/// knows the new one, and the data key that it gave back before.
pub const AGAIN_LEVEL: u16 = 4;

/// Which key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// The data key, under which secrets are sealed.
    Data,
    /// The key of gossip's packets.
    Gossip,
    /// The authority that signs nodes' certificates.
    Authority,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 3] = [Kind::Data, Kind::Gossip, Kind::Authority];

    /// One word for it: the row's key, and what the interface calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Data => "secrets",
            Kind::Gossip => "gossip",
            Kind::Authority => "ca",
        }
    }

    /// In words.
    pub fn noun(self) -> &'static str {
        match self {
            Kind::Data => "data key",
            Kind::Gossip => "gossip key",
            Kind::Authority => "certificate authority",
        }
    }
}

/// How far a rotation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Stage {
    /// One key, and nothing to do.
    #[default]
    Idle,
    /// A new one is wanted.
    Asked,
    /// The new one is known beside the old one, which is still used.
    Spread,
    /// The new one is used; the old one is still good.
    Switched,
}

/// A kind of key: the one in use, and what becomes of it. A kind without a row was never replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rotation {
    /// Which kind.
    pub kind: Kind,
    /// How far it is.
    pub stage: Stage,
    /// The command that brought it there; grows with each step, and is what nodes say they have taken in.
    pub version: Epoch,
    /// When.
    pub since: Millis,
    /// What the key in use is called; `None` of the one the cluster began with.
    pub current: Option<String>,
    /// What its successor is called, while that is not yet used.
    pub next: Option<String>,
    /// What its predecessor is called, while that is still good; of an authority, its certificate.
    pub old: Option<String>,
    /// What the cluster's first key was called: what says nothing of its key was sealed under this one.
    pub first: Option<String>,
    /// Why it should be replaced, where there is a reason.
    pub due: Option<String>,
    /// Why it is replaced once more when this rotation is over, if it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub again: Option<String>,
    /// Nodes that gave their wrap of the data key in use back, and may have kept the key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kept: Vec<NodeId>,
    /// Nodes that are not waited for: they have to join anew.
    pub forgotten: Vec<NodeId>,
}

impl Rotation {
    fn new(kind: Kind) -> Self {
        Self {
            kind,
            stage: Stage::Idle,
            version: 0,
            since: 0,
            current: None,
            next: None,
            old: None,
            first: None,
            due: None,
            again: None,
            kept: Vec::new(),
            forgotten: Vec::new(),
        }
    }
}

impl Row for Rotation {
    const TABLE: u8 = 30;
    type Key = String;
}

/// A node's certificate, as it says itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// SHA-256 of it.
    #[serde(with = "serde_bytes")]
    pub fingerprint: Vec<u8>,
    /// Until when it is good.
    pub not_after: Millis,
}

/// Which keys a node has taken in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holding {
    /// Which node.
    pub node: NodeId,
    /// The version of the gossip keys it uses.
    pub gossip: Epoch,
    /// The version of the authority it trusts and has its certificate from.
    pub authority: Epoch,
    /// Its certificate.
    pub certificate: Option<Certificate>,
    /// The command that asked it for a new certificate last.
    pub renew: Epoch,
    /// The last of these that it followed.
    pub renewed: Epoch,
}

impl Row for Holding {
    const TABLE: u8 = 31;
    type Key = NodeId;
}

/// Where a sealed value is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// A secret of this name.
    Secret(String),
    /// The API key of a provider.
    Provider(ProviderName),
}

/// A value that was opened and sealed again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resealed {
    /// Where it is.
    pub place: Place,
    /// The nonce of what was opened: something else that is there by now stays.
    #[serde(with = "serde_bytes")]
    pub was: Vec<u8>,
    /// The same under the present data key.
    pub sealed: Sealed,
}

/// Steps of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A new key is wanted; one that is under way goes on.
    Ask {
        /// Of which kind.
        kind: Kind,
        /// Nodes that are not waited for.
        forget: Vec<NodeId>,
    },
    /// The new key is there. The data key's successor is used at once: whoever has it has the old one through it.
    Begin {
        /// Of which kind.
        kind: Kind,
        /// The version this follows.
        version: Epoch,
        /// What the key in use is called.
        from: String,
        /// What the new one is called.
        next: String,
        /// What is sealed anew with it.
        secrets: Vec<Secret>,
        /// A data key, wrapped for everyone who has the old one.
        wraps: Vec<Wrap>,
    },
    /// All who must know the new key do: it is used.
    Switch {
        /// Of which kind.
        kind: Kind,
        /// The version this follows.
        version: Epoch,
        /// What is sealed anew with it.
        secrets: Vec<Secret>,
    },
    /// Some values, sealed under the new data key.
    Reseal {
        /// The version of the data key they are sealed under.
        version: Epoch,
        /// The values.
        values: Vec<Resealed>,
    },
    /// All use the new key: the old one goes.
    End {
        /// Of which kind.
        kind: Kind,
        /// The version this follows.
        version: Epoch,
        /// What is sealed anew with it.
        secrets: Vec<Secret>,
    },
    /// A node tells what it has taken in. `renew` of the row is left as it is.
    Hold(Holding),
    /// A node is to get a new certificate.
    Renew(NodeId),
}

/// Why a step was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// It follows something else than what there is.
    #[error("the rotation of the {} has gone on meanwhile: nothing to do", .0.noun())]
    Stale(Kind),
    /// No such node.
    #[error("there is no node {0} in this cluster: it was removed, or never joined")]
    NoNode(NodeId),
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::Stale(_) => RejectClass::Conflict,
            Reject::NoNode(_) => RejectClass::NotFound,
        }
    }
}

impl State {
    /// A kind of key, if it was ever replaced or is to be.
    pub fn rotation(&self, kind: Kind) -> Option<&Rotation> {
        self.rotations.get(&kind.as_str().to_owned()).map(|row| &**row)
    }

    fn rotation_or_new(&self, kind: Kind) -> Rotation {
        self.rotation(kind).cloned().unwrap_or_else(|| Rotation::new(kind))
    }
}

/// The certificates of all authorities that nodes trust now, as the secrets table has them: the one that signs first.
pub fn authorities(state: &State) -> Vec<String> {
    let public = |name: &str| state.secrets.get(&name.to_owned()).map(|row| row.public.clone());
    let old = state.rotation(Kind::Authority).and_then(|row| row.old.clone());
    [public(CA), public(NEXT_CA), old].into_iter().flatten().collect()
}

/// Whether there is a data key of this mark: the present one, or one that is kept until nothing is sealed under it.
fn opens(state: &State, row: &Rotation, mark: Option<&String>) -> bool {
    let Some(mark) = mark.or(row.first.as_ref()) else { return false };
    row.current.as_ref() == Some(mark) || state.secrets.contains(&data_key_name(mark))
}

/// Refuses a value that no key of the cluster will open.
pub(super) fn check_sealed(state: &State, sealed: &Sealed) -> Result<(), secret::Reject> {
    let Some(row) = state.rotation(Kind::Data).filter(|row| row.current.is_some()) else { return Ok(()) };
    if opens(state, row, sealed.key.as_ref()) { Ok(()) } else { Err(secret::Reject::OldKey) }
}

/// Refuses a wrap of another data key than the present one.
pub(super) fn check_wrap(state: &State, wrap: &Wrap) -> Result<(), secret::Reject> {
    let current = state.rotation(Kind::Data).and_then(|row| row.current.as_ref());
    if current.is_none() || current == wrap.key.as_ref() { Ok(()) } else { Err(secret::Reject::OldKey) }
}

/// The values that are not sealed under the present data key.
pub fn pending(state: &State) -> impl Iterator<Item = (Place, &Sealed)> {
    let current = state.rotation(Kind::Data).and_then(|row| row.current.as_ref());
    let secrets = state.secrets.rows().filter(|row| !is_data_key(&row.name));
    let secrets = secrets.map(|row| (Place::Secret(row.name.clone()), &row.sealed));
    let providers = state.providers.rows();
    let providers = providers.filter_map(|row| Some((Place::Provider(row.name.clone()), row.sealed()?)));
    secrets.chain(providers).filter(move |(_, sealed)| current.is_some() && sealed.key.as_ref() != current)
}

/// Whether these are all the data keys that something in the tables may be sealed under.
pub fn covered_by(state: &State, wraps: &[Wrap]) -> bool {
    let current = state.rotation(Kind::Data).and_then(|row| row.current.as_deref());
    let Some(current) = current else { return true };
    let has = |mark: &str| wraps.iter().any(|wrap| wrap.key.as_deref() == Some(mark));
    has(current) && secret::data_keys(state).all(has)
}
