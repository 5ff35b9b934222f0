//! What whoever holds the data key does for the others: it draws new keys of the cluster, seals anew what the old ones
//! sealed, and gives members the gossip keys and certificates. Used by [`crate::vault::Safe`]. Which step is taken when is
//! decided in `domain`; nothing in clear leaves this module but the gossip keys, to a member, over mutual TLS.

use std::sync::Arc;

use actors::Service;
use actors::ports::VaultError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use domain::decide::rotation::Step;
use domain::rotation::{Command, Kind, Place, Resealed, Rotation};
use domain::secret::{CA, GOSSIP, NEXT_CA, Sealed, Secret, Wrap, data_key_name};
use domain::{Epoch, Millis, NodeId, View};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::authority::{Authority, Term, fingerprint};
use crate::seal::{self, Key};
use crate::vault::{Safe, marks, no_key, provider_context};
use crate::{escrow, gossip_keys};

/// Door topic: sign a member's certificate.
const SIGN: &str = "vault.sign";
/// Door topic: give a member the gossip keys.
const RING: &str = "vault.ring";

/// Door topic: wrap the data key for a node.
const WRAP: &str = "vault.wrap";
/// Door topic: prepare a step of a rotation.
const PREPARE: &str = "vault.prepare";

/// A member asks for a certificate.
#[derive(Serialize, Deserialize)]
struct SignAsk {
    #[serde(with = "serde_bytes")]
    request: Vec<u8>,
    not_after: Millis,
    version: Epoch,
}

/// A member asks for the gossip keys of this version, or later ones.
#[derive(Serialize, Deserialize)]
struct RingAsk {
    version: Epoch,
}

/// A certificate, and who signed it.
#[derive(Serialize, Deserialize)]
pub(crate) struct Signed {
    /// It, DER.
    #[serde(with = "serde_bytes")]
    pub(crate) certificate: Vec<u8>,
    /// The authority's certificate, DER.
    #[serde(with = "serde_bytes")]
    pub(crate) authority: Vec<u8>,
}

/// The data key wrapped for a node.
pub(crate) async fn wrap_for(safe: &Safe, node: NodeId) -> Result<Wrap, VaultError> {
    if safe.data_key(&safe.view.load()).is_some() {
        return wrap_here(safe, node);
    }
    let answer = safe.ask_holders(WRAP, encode(&node)?).await?;
    rmp_serde::from_slice(&answer).map_err(|_| VaultError::Damaged)
}

/// The command that takes a step.
pub(crate) async fn prepare(safe: &Safe, step: &Step) -> Result<Command, VaultError> {
    if safe.data_key(&safe.view.load()).is_some() {
        return prepare_here(safe, step);
    }
    let answer = safe.ask_holders(PREPARE, encode(step)?).await?;
    rmp_serde::from_slice(&answer).map_err(|_| VaultError::Damaged)
}

fn wrap_here(safe: &Safe, node: NodeId) -> Result<Wrap, VaultError> {
    let view = safe.view.load();
    let key = safe.data_key(&view).ok_or_else(no_key)?;
    let wrap = wrap_key(safe, &view, &key, node)?;
    Ok(Wrap { key: marks(&view).then(|| escrow::mark(&key)), ..wrap })
}

fn wrap_key(safe: &Safe, view: &View, key: &Key, node: NodeId) -> Result<Wrap, VaultError> {
    let row = view.state.nodes.get(&node);
    let row = row.ok_or_else(|| VaultError::Unavailable(format!("node {node} left the cluster")))?;
    seal::wrap(key, node, &row.seal_public, &*safe.entropy)
}

fn prepare_here(safe: &Safe, step: &Step) -> Result<Command, VaultError> {
    let view = safe.view.load();
    let at = |kind| {
        let row = view.state.rotation(kind).cloned();
        row.ok_or_else(|| VaultError::Unavailable("the rotation is over".to_owned()))
    };
    match step {
        Step::Begin(Kind::Data) => begin_data(safe, &view, &at(Kind::Data)?),
        Step::Begin(Kind::Gossip) => begin_gossip(safe, &view, &at(Kind::Gossip)?),
        Step::Begin(Kind::Authority) => begin_authority(safe, &view, &at(Kind::Authority)?),
        Step::Switch(kind) => {
            let row = at(*kind)?;
            let secrets = match kind {
                Kind::Authority => vec![promoted(safe, &view)?],
                Kind::Data | Kind::Gossip => Vec::new(),
            };
            Ok(Command::Switch { kind: *kind, version: row.version, secrets })
        }
        Step::Reseal(places) => reseal(safe, &view, at(Kind::Data)?.version, places),
        Step::End(kind) => {
            let row = at(*kind)?;
            let secrets = match kind {
                Kind::Gossip => vec![without_old(safe, &view, &row)?],
                Kind::Data | Kind::Authority => Vec::new(),
            };
            Ok(Command::End { kind: *kind, version: row.version, secrets })
        }
    }
}

fn begin_data(safe: &Safe, view: &View, row: &Rotation) -> Result<Command, VaultError> {
    let old = safe.data_key(view).ok_or_else(no_key)?;
    let new = seal::draw_key(&*safe.entropy);
    let (from, next) = (escrow::mark(&old), escrow::mark(&new));
    let wrap = |node: NodeId| Ok(Wrap { key: Some(next.clone()), ..wrap_key(safe, view, &new, node)? });
    let wraps = view.state.wraps.iter().map(|(node, _)| wrap(*node)).collect::<Result<_, VaultError>>()?;
    // Under the new key, so that whoever has that opens what is still sealed under the old one.
    let name = data_key_name(&from);
    let sealed = seal::seal(&new, &name, &*old, &*safe.entropy)?;
    let sealed = Sealed { key: Some(next.clone()), ..sealed };
    let secrets = vec![Secret { name, public: String::new(), sealed }];
    Ok(Command::Begin { kind: Kind::Data, version: row.version, from, next, secrets, wraps })
}

fn open_secret(safe: &Safe, view: &View, name: &str) -> Result<(Zeroizing<Vec<u8>>, String), VaultError> {
    let row = view.state.secrets.get(&name.to_owned());
    let row = row.ok_or_else(|| VaultError::Unavailable(format!("there is no secret `{name}` yet")))?;
    Ok((safe.open(view, name, &row.sealed)?, row.public.clone()))
}

fn sealed_secret(
    safe: &Safe,
    view: &View,
    name: &str,
    public: String,
    clear: &[u8],
) -> Result<Secret, VaultError> {
    Ok(Secret { name: name.to_owned(), public, sealed: safe.seal_in(view, name, clear)? })
}

fn begin_gossip(safe: &Safe, view: &View, row: &Rotation) -> Result<Command, VaultError> {
    let (bytes, public) = open_secret(safe, view, GOSSIP)?;
    let from = gossip_keys::current(&bytes, row.current.as_deref()).ok_or(VaultError::Damaged)?;
    let (next, both) = gossip_keys::with_another(&bytes, from, &*safe.entropy);
    let secrets = vec![sealed_secret(safe, view, GOSSIP, public, &both)?];
    let (from, next) = (from.to_string(), next.to_string());
    Ok(Command::Begin { kind: Kind::Gossip, version: row.version, from, next, secrets, wraps: Vec::new() })
}

fn without_old(safe: &Safe, view: &View, row: &Rotation) -> Result<Secret, VaultError> {
    let (bytes, public) = open_secret(safe, view, GOSSIP)?;
    let current = gossip_keys::current(&bytes, row.current.as_deref()).ok_or(VaultError::Damaged)?;
    sealed_secret(safe, view, GOSSIP, public, &gossip_keys::only(&bytes, current))
}

fn begin_authority(safe: &Safe, view: &View, row: &Rotation) -> Result<Command, VaultError> {
    let (_, public) = open_secret(safe, view, CA)?;
    let from = short(&escrow::certificate(&public)?);
    let new = Authority::create(&seal::draw_key(&*safe.entropy)).map_err(|_| VaultError::Damaged)?;
    let next = short(new.certificate());
    let public = STANDARD_NO_PAD.encode(new.certificate());
    let secrets = vec![sealed_secret(safe, view, NEXT_CA, public, new.key())?];
    Ok(Command::Begin { kind: Kind::Authority, version: row.version, from, next, secrets, wraps: Vec::new() })
}

/// The next authority as the one that signs: what is sealed opens under the name it was sealed for alone.
fn promoted(safe: &Safe, view: &View) -> Result<Secret, VaultError> {
    let (key, public) = open_secret(safe, view, NEXT_CA)?;
    sealed_secret(safe, view, CA, public, &key)
}

/// What a certificate is called: the beginning of its fingerprint.
pub(crate) fn short(certificate: &[u8]) -> String {
    hex::encode(&fingerprint(certificate)[..8])
}

fn reseal(safe: &Safe, view: &View, version: Epoch, places: &[Place]) -> Result<Command, VaultError> {
    let mut values = Vec::new();
    for place in places {
        let (context, row) = match place {
            Place::Secret(name) => (name.clone(), view.state.secrets.get(name).map(|row| row.sealed.clone())),
            Place::Provider(name) => {
                let row = view.state.providers.get(name).and_then(|row| row.sealed().cloned());
                (provider_context(name.as_str()), row)
            }
        };
        let Some(old) = row else { continue };
        let clear = safe.open(view, &context, &old).inspect_err(|error| {
            tracing::warn!(secret = %context, %error, "a secret cannot be sealed anew: set it again, or remove it");
        })?;
        let sealed = safe.seal_in(view, &context, &clear)?;
        values.push(Resealed { place: place.clone(), was: old.nonce, sealed });
    }
    Ok(Command::Reseal { version, values })
}

impl Safe {
    /// A certificate for this node, by the authority of this version or a later one.
    pub(crate) async fn certificate(
        &self,
        request: &[u8],
        not_after: Millis,
        version: Epoch,
    ) -> Result<Signed, VaultError> {
        if self.data_key(&self.view.load()).is_some() {
            return self.sign(self.me, request, not_after);
        }
        let ask = SignAsk { request: request.to_vec(), not_after, version };
        let answer = self.ask_holders(SIGN, encode(&ask)?).await?;
        rmp_serde::from_slice(&answer).map_err(|_| VaultError::Damaged)
    }

    /// The gossip keys of this version or a later one.
    pub(crate) async fn ring(&self, version: Epoch) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        if let Some(keys) = self.gossip_keys() {
            return keys;
        }
        let answer = self.ask_holders(RING, encode(&RingAsk { version })?).await?;
        Ok(Zeroizing::new(answer.to_vec()))
    }

    fn sign(&self, node: NodeId, request: &[u8], not_after: Millis) -> Result<Signed, VaultError> {
        let authority = self.authority().ok_or_else(no_key)??;
        let mut serial = [0; 16];
        self.entropy.fill(&mut serial);
        let term = Term { not_after, serial: Some(serial) };
        let certificate = authority.sign(node, request, &term).map_err(|_| VaultError::Damaged)?;
        Ok(Signed { certificate, authority: authority.certificate().to_vec() })
    }

    /// Refuses who is no member, and who knows of newer keys than this node does.
    fn may_have(&self, from: NodeId, kind: Kind, version: Epoch) -> Result<(), String> {
        let view = self.view.load();
        if !view.state.nodes.contains(&from) {
            return Err("the asking node is not a member".to_owned());
        }
        let known = view.state.rotation(kind).map_or(0, |row| row.version);
        if known < version {
            return Err(format!("this node does not know that {} yet", kind.noun()));
        }
        Ok(())
    }

    fn answer_sign(&self, from: NodeId, body: &[u8]) -> Result<Bytes, String> {
        let ask: SignAsk = rmp_serde::from_slice(body).map_err(|e| e.to_string())?;
        self.may_have(from, Kind::Authority, ask.version)?;
        let signed = self.sign(from, &ask.request, ask.not_after).map_err(|e| e.to_string())?;
        encode(&signed).map_err(|e| e.to_string())
    }

    /// Refuses everybody but the leader: what these give lets a node open every secret, or replaces keys.
    fn is_leader(&self, from: NodeId) -> Result<(), String> {
        let leads = self.view.peek().leader == Some(from);
        if leads { Ok(()) } else { Err("the asking node does not lead, as far as this one knows".to_owned()) }
    }

    fn answer_wrap(&self, from: NodeId, body: &[u8]) -> Result<Bytes, String> {
        self.is_leader(from)?;
        let node: NodeId = rmp_serde::from_slice(body).map_err(|e| e.to_string())?;
        let wrap = wrap_here(self, node).map_err(|e| e.to_string())?;
        encode(&wrap).map_err(|e| e.to_string())
    }

    fn answer_prepare(&self, from: NodeId, body: &[u8]) -> Result<Bytes, String> {
        self.is_leader(from)?;
        let step: Step = rmp_serde::from_slice(body).map_err(|e| e.to_string())?;
        let command = prepare_here(self, &step).map_err(|e| e.to_string())?;
        encode(&command).map_err(|e| e.to_string())
    }

    fn answer_ring(&self, from: NodeId, body: &[u8]) -> Result<Bytes, String> {
        let ask: RingAsk = rmp_serde::from_slice(body).map_err(|e| e.to_string())?;
        self.may_have(from, Kind::Gossip, ask.version)?;
        let keys = self.gossip_keys().ok_or("this node does not hold the data key")?;
        Ok(Bytes::copy_from_slice(&keys.map_err(|e| e.to_string())?))
    }
}

fn encode<T: Serialize>(message: &T) -> Result<Bytes, VaultError> {
    rmp_serde::to_vec_named(message).map(Bytes::from).map_err(|e| VaultError::Unavailable(e.to_string()))
}

/// What this node answers others.
pub(crate) fn services(safe: &Arc<Safe>) -> [(&'static str, Service); 4] {
    type Answer = fn(&Safe, NodeId, &[u8]) -> Result<Bytes, String>;
    let answers: [(&'static str, Answer); 4] = [
        (SIGN, Safe::answer_sign),
        (RING, Safe::answer_ring),
        (WRAP, Safe::answer_wrap),
        (PREPARE, Safe::answer_prepare),
    ];
    answers.map(|(topic, answer)| {
        let safe = safe.clone();
        let service: Service = Arc::new(move |from, body| {
            let answer = answer(&safe, from, &body);
            async move { answer }.boxed()
        });
        (topic, service)
    })
}
