//! Keys of the cluster and how they are replaced: the data key, the gossip key, the authority that signs nodes'
//! certificates. A new key comes in beside the old one, is used once all who must know it say so, and then the old one
//! goes. Which step may come next is [`crate::decide::rotation`]'s to say; the leader takes it, and `apply` refuses what
//! does not fit. Rows hold marks, numbers and certificates, never a key.

use serde::{Deserialize, Serialize};

use super::event::{self, Subject, node_name, record};
use super::secret::{self, CA, GOSSIP, NEXT_CA, Sealed, Secret, Wrap, data_key_name, is_data_key};
use super::{Context, restore};
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::decide::rotation;
use crate::ids::{Epoch, Millis, NodeId, ProviderName};
use crate::table::Row;

/// The feature level that replacing keys takes.
pub const LEVEL: u16 = 3;

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

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Ask { kind, forget } => {
            if let Some(node) = forget.iter().find(|node| !state.nodes.contains(node)) {
                return Err(Reject::NoNode(*node).into());
            }
            ask(state, *kind, forget, "an operator asked for it", ctx);
        }
        Command::Begin { kind, version, from, next, secrets, wraps } => {
            let row = at(state, *kind, Stage::Asked, *version)?;
            let names = Names { from: from.clone(), next: next.clone() };
            match kind {
                Kind::Data => begin_data(state, row, names, (secrets, wraps), ctx)?,
                Kind::Gossip | Kind::Authority => begin(state, row, names, secrets, ctx)?,
            }
        }
        Command::Switch { kind, version, secrets } => {
            let row = taken_in(state, at(state, *kind, Stage::Spread, *version)?)?;
            switch(state, row, secrets, ctx)?;
        }
        Command::Reseal { version, values } => {
            at(state, Kind::Data, Stage::Switched, *version)?;
            values.iter().try_for_each(|value| check_sealed(state, &value.sealed))?;
            values.iter().for_each(|value| reseal(state, value, ctx));
        }
        Command::End { kind, version, secrets } => {
            let row = taken_in(state, at(state, *kind, Stage::Switched, *version)?)?;
            end(state, row, secrets, ctx)?;
        }
        Command::Hold(holding) => hold(state, holding, ctx)?,
        Command::Renew(node) => {
            if !state.nodes.contains(node) {
                return Err(Reject::NoNode(*node).into());
            }
            let holding = holding(state, *node);
            state.holdings.put(ctx.out, *node, Holding { renew: ctx.index, ..holding });
        }
    }
    Ok(Reply::Done)
}

/// What two keys are called.
struct Names {
    from: String,
    next: String,
}

fn at(state: &State, kind: Kind, stage: Stage, version: Epoch) -> Result<Rotation, Reject> {
    let row = state.rotation(kind).filter(|row| row.stage == stage && row.version == version);
    row.cloned().ok_or(Reject::Stale(kind))
}

/// Who came in since the leader looked has to take in the last step too.
fn taken_in(state: &State, row: Rotation) -> Result<Rotation, Reject> {
    if rotation::behind(state, &row).is_empty() { Ok(row) } else { Err(Reject::Stale(row.kind)) }
}

fn put(state: &mut State, row: Rotation, ctx: &mut Context<'_>) {
    let row = Rotation { version: ctx.index, since: ctx.now, ..row };
    state.rotations.put(ctx.out, row.kind.as_str().to_owned(), row);
}

fn tell(state: &mut State, what: event::Kind, text: String, ctx: &mut Context<'_>) {
    record(state, ctx, what, Subject::default(), |_| text);
}

fn ask(state: &mut State, kind: Kind, forget: &[NodeId], why: &str, ctx: &mut Context<'_>) {
    let mut row = state.rotation_or_new(kind);
    row.forgotten.retain(|node| !forget.contains(node) && state.nodes.contains(node));
    row.forgotten.extend_from_slice(forget);
    if row.stage == Stage::Idle {
        put(state, Rotation { stage: Stage::Asked, due: None, ..row }, ctx);
        tell(state, event::Kind::RotationAsked, format!("the {} is to be replaced: {why}", kind.noun()), ctx);
    } else {
        // Its version stays: what nodes have taken in is as good as before.
        state.rotations.put(ctx.out, kind.as_str().to_owned(), row);
    }
}

fn begin_data(
    state: &mut State,
    row: Rotation,
    names: Names,
    (secrets, wraps): (&[Secret], &[Wrap]),
    ctx: &mut Context<'_>,
) -> Result<(), Reject> {
    let Names { from, next } = names;
    // A holder that was left out could open nothing from here on, and the old key has to be found through the new one.
    let everyone = wraps.iter().map(|wrap| wrap.node).eq(state.wraps.iter().map(|(node, _)| *node));
    let fresh = wraps.iter().all(|wrap| wrap.key.as_ref() == Some(&next));
    let [kept] = secrets else { return Err(Reject::Stale(Kind::Data)) };
    let kept_right = kept.name == data_key_name(&from) && kept.sealed.key.as_ref() == Some(&next);
    let follows = row.current.as_ref().is_none_or(|current| *current == from) && from != next;
    if !(everyone && fresh && kept_right && follows) {
        return Err(Reject::Stale(Kind::Data));
    }
    for wrap in wraps {
        state.wraps.put(ctx.out, wrap.node, wrap.clone());
    }
    state.secrets.put(ctx.out, kept.name.clone(), kept.clone());
    let first = row.first.clone().or_else(|| Some(from.clone()));
    put(state, Rotation { stage: Stage::Switched, current: Some(next), old: Some(from), first, ..row }, ctx);
    let text = "a new data key is used; what was sealed under the old one is sealed anew".to_owned();
    tell(state, event::Kind::RotationSwitched, text, ctx);
    Ok(())
}

fn begin(
    state: &mut State,
    row: Rotation,
    names: Names,
    secrets: &[Secret],
    ctx: &mut Context<'_>,
) -> Result<(), crate::Reject> {
    let kind = row.kind;
    let Names { from, next } = names;
    let place = if kind == Kind::Gossip { GOSSIP } else { NEXT_CA };
    put_secret(state, kind, place, secrets, ctx)?;
    put(state, Rotation { stage: Stage::Spread, current: Some(from), next: Some(next), ..row }, ctx);
    let text = format!("a new {} is there: nodes take it in beside the old one", kind.noun());
    tell(state, event::Kind::RotationBegun, text, ctx);
    Ok(())
}

fn switch(
    state: &mut State,
    row: Rotation,
    secrets: &[Secret],
    ctx: &mut Context<'_>,
) -> Result<(), crate::Reject> {
    let kind = row.kind;
    let mut old = row.current.clone();
    if kind == Kind::Authority {
        old = state.secrets.get(&CA.to_owned()).map(|row| row.public.clone());
        put_secret(state, kind, CA, secrets, ctx)?;
        state.secrets.remove(ctx.out, &NEXT_CA.to_owned());
    }
    let next = Rotation { stage: Stage::Switched, current: row.next.clone(), next: None, old, ..row };
    put(state, next, ctx);
    tell(state, event::Kind::RotationSwitched, format!("the new {} is used", kind.noun()), ctx);
    Ok(())
}

fn end(
    state: &mut State,
    row: Rotation,
    secrets: &[Secret],
    ctx: &mut Context<'_>,
) -> Result<(), crate::Reject> {
    let kind = row.kind;
    match kind {
        Kind::Data => {
            if pending(state).next().is_some() || restore::under_way(state).is_some() {
                return Err(Reject::Stale(kind).into());
            }
            let kept = state.secrets.iter().map(|(name, _)| name).filter(|name| is_data_key(name));
            for name in kept.cloned().collect::<Vec<_>>() {
                state.secrets.remove(ctx.out, &name);
            }
        }
        Kind::Gossip => put_secret(state, kind, GOSSIP, secrets, ctx)?,
        Kind::Authority => {}
    }
    put(state, Rotation { stage: Stage::Idle, old: None, forgotten: Vec::new(), ..row }, ctx);
    tell(state, event::Kind::RotationEnded, format!("the old {} is gone", kind.noun()), ctx);
    Ok(())
}

/// Puts the one secret that a step brings.
fn put_secret(
    state: &mut State,
    kind: Kind,
    name: &str,
    secrets: &[Secret],
    ctx: &mut Context<'_>,
) -> Result<(), crate::Reject> {
    let [secret] = secrets else { return Err(Reject::Stale(kind).into()) };
    if secret.name != name {
        return Err(Reject::Stale(kind).into());
    }
    check_sealed(state, &secret.sealed)?;
    state.secrets.put(ctx.out, secret.name.clone(), secret.clone());
    Ok(())
}

fn reseal(state: &mut State, value: &Resealed, ctx: &mut Context<'_>) {
    let Resealed { place, was, sealed } = value;
    match place {
        Place::Secret(name) => {
            if let Some(row) = state.secrets.get(name).filter(|row| row.sealed.nonce == *was).cloned() {
                state.secrets.put(ctx.out, name.clone(), Secret { sealed: sealed.clone(), ..(*row).clone() });
            }
        }
        // Its revision stays: the key is the same, and connections go on.
        Place::Provider(name) => {
            let Some(mut row) = state.providers.get(name).map(|row| (**row).clone()) else { return };
            if let Some(there) = row.sealed_mut().filter(|there| there.nonce == *was) {
                *there = sealed.clone();
                state.providers.put(ctx.out, name.clone(), row);
            }
        }
    }
}

fn holding(state: &State, node: NodeId) -> Holding {
    state.holdings.get(&node).map(|row| (**row).clone()).unwrap_or(Holding {
        node,
        gossip: 0,
        authority: 0,
        certificate: None,
        renew: 0,
        renewed: 0,
    })
}

fn hold(state: &mut State, new: &Holding, ctx: &mut Context<'_>) -> Result<(), Reject> {
    let node = new.node;
    if !state.nodes.contains(&node) {
        return Err(Reject::NoNode(node));
    }
    let old = holding(state, node);
    let renewed = old.certificate.is_some() && old.certificate != new.certificate;
    state.holdings.put(ctx.out, node, Holding { renew: old.renew, ..new.clone() });
    if renewed {
        record(state, ctx, event::Kind::CertificateRenewed, Subject::node(node), |state| {
            format!("node {} has a new certificate", node_name(state, node))
        });
    }
    Ok(())
}

/// A node is gone for good: it knows the gossip key, and the data key if it kept that.
pub(super) fn node_gone(state: &mut State, node: NodeId, kept: bool, ctx: &mut Context<'_>) {
    state.holdings.remove(ctx.out, &node);
    if state.level() < LEVEL {
        return;
    }
    let why = format!("node {node} was removed and knew it");
    ask(state, Kind::Gossip, &[], &why, ctx);
    if kept {
        ask(state, Kind::Data, &[], &why, ctx);
    }
}

/// A node votes no more, and may have kept the data key.
pub(super) fn kept_by(state: &mut State, node: NodeId, ctx: &mut Context<'_>) {
    due(state, format!("node {node} votes no more and may have kept it"), ctx);
}

/// What came with a backup is sealed under the keys that came with it.
pub(super) fn restored(state: &mut State, ctx: &mut Context<'_>) {
    due(state, "what was restored is sealed under the keys that came with the backup".to_owned(), ctx);
}

fn due(state: &mut State, why: String, ctx: &mut Context<'_>) {
    let row = state.rotation_or_new(Kind::Data);
    // One that is only asked for takes care of it.
    if state.level() >= LEVEL && row.stage != Stage::Asked {
        state.rotations.put(ctx.out, Kind::Data.as_str().to_owned(), Rotation { due: Some(why), ..row });
    }
}
