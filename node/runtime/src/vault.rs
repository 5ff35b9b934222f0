//! The data key in memory, and what is done with it: sealing and opening secrets, wrapping the key for new voters, signing
//! newcomers. A node that does not hold the key asks one that does, over the doorway; what it gets stays in memory.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actors::Service;
use actors::ports::{Custodian, Entropy, PeerLink, Vault, VaultError, ViewCell};
use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use domain::decide::rotation::Step;
use domain::provider::Provider;
use domain::secret::{CA, GOSSIP, Sealed, Secret, Wrap};
use domain::{NodeId, ProviderName, View, rotation};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use x25519_dalek::StaticSecret;
use zeroize::Zeroizing;

use crate::authority::Authority;
use crate::error::Error;
use crate::seal::{self, Key};
use crate::{custody, escrow};

/// A data key, and the wrap it came out of: another wrap holds another key.
type Unwrapped = Option<(Wrap, Key)>;

/// Door topic: seal a provider's key.
pub(crate) const SEAL: &str = "vault.seal";
/// Door topic: open a provider's key.
pub(crate) const OPEN: &str = "vault.open";

/// How long one holder of the data key is waited for.
const ASK_DEADLINE: Duration = Duration::from_secs(2);

#[derive(Serialize, Deserialize)]
struct SealAsk {
    provider: String,
    #[serde(with = "serde_bytes")]
    clear: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct OpenAsk {
    provider: ProviderName,
    revision: u64,
}

/// A node's access to the cluster's secrets.
pub(crate) struct Safe {
    pub(crate) me: NodeId,
    pub(crate) view: ViewCell,
    pub(crate) secret: StaticSecret,
    pub(crate) entropy: Arc<dyn Entropy>,
    key: Mutex<Unwrapped>,
    peers: Mutex<Option<Arc<dyn PeerLink>>>,
}

impl Safe {
    /// A safe that opens as soon as the view holds a wrap for this node.
    pub(crate) fn new(
        me: NodeId,
        view: ViewCell,
        secret: StaticSecret,
        entropy: Arc<dyn Entropy>,
    ) -> Arc<Self> {
        Arc::new(Self { me, view, secret, entropy, key: Mutex::new(None), peers: Mutex::new(None) })
    }

    /// Gives it the doorway to ask others through.
    pub(crate) fn connect(&self, peers: Arc<dyn PeerLink>) {
        *self.peers.lock().unwrap_or_else(PoisonError::into_inner) = Some(peers);
    }

    /// The data key of this view, if this node may hold it: it is forgotten when that is over. What is opened with it must
    /// be of the same view: in another one, another key may be used.
    pub(crate) fn data_key(&self, view: &View) -> Option<Key> {
        let mut kept = self.key.lock().unwrap_or_else(PoisonError::into_inner);
        match view.state.wraps.get(&self.me) {
            None => *kept = None,
            Some(wrap) if kept.as_ref().is_some_and(|(of, _)| of == &**wrap) => {}
            Some(wrap) => {
                let key = seal::unwrap(wrap, &self.secret).ok();
                *kept = key.map(|key| ((**wrap).clone(), key));
            }
        }
        kept.as_ref().map(|(_, key)| key.clone())
    }

    /// Opens what is sealed under the data key, or under one that it replaces or that came with a backup.
    pub(crate) fn open(
        &self,
        view: &View,
        context: &str,
        sealed: &Sealed,
    ) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let key = self.data_key(view).ok_or_else(no_key)?;
        seal::open(&key, context, sealed).or_else(|damaged| {
            let old = escrow::old_keys(&view.state, &key);
            old.iter().find_map(|key| seal::open(key, context, sealed).ok()).ok_or(damaged)
        })
    }

    /// Seals under the data key of this view, and says which it is where that is understood.
    pub(crate) fn seal_in(&self, view: &View, context: &str, clear: &[u8]) -> Result<Sealed, VaultError> {
        let key = self.data_key(view).ok_or_else(no_key)?;
        let sealed = seal::seal(&key, context, clear, &*self.entropy)?;
        Ok(Sealed { key: marks(view).then(|| escrow::mark(&key)), ..sealed })
    }

    /// The authority that signs newcomers, if this node holds the data key.
    pub(crate) fn authority(&self) -> Option<Result<Authority, VaultError>> {
        let view = self.view.load();
        self.data_key(&view)?;
        let row = view.state.secrets.get(&CA.to_owned())?;
        let open = || {
            let der = self.open(&view, CA, &row.sealed)?;
            Ok(Authority::open(der, escrow::certificate(&row.public)?))
        };
        Some(open())
    }

    /// The gossip keys, encoded as [`crate::gossip_keys`] does, if this node holds the data key.
    pub(crate) fn gossip_keys(&self) -> Option<Result<Zeroizing<Vec<u8>>, VaultError>> {
        let view = self.view.load();
        self.data_key(&view)?;
        let row = view.state.secrets.get(&GOSSIP.to_owned())?;
        Some(self.open(&view, GOSSIP, &row.sealed))
    }

    /// Who else holds the data key.
    fn holders(&self) -> Vec<NodeId> {
        self.view.load().state.wraps.iter().map(|(id, _)| *id).filter(|id| *id != self.me).collect()
    }

    pub(crate) async fn ask_holders(&self, topic: &'static str, body: Bytes) -> Result<Bytes, VaultError> {
        let peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(peers) = peers else { return Err(VaultError::Unavailable("this node is starting".into())) };
        let mut last = "no node holds it yet".to_owned();
        for holder in self.holders() {
            match peers.ask(holder, topic, body.clone(), ASK_DEADLINE).await {
                Ok(answer) => return Ok(answer),
                Err(e) => last = e.to_string(),
            }
        }
        Err(VaultError::Unavailable(last))
    }

    /// Opens a provider's key as this view has it: the row given may be older, and sealed under a key that is gone.
    fn open_here(&self, view: &View, provider: &Provider) -> Result<Option<String>, VaultError> {
        let now = view.state.providers.get(&provider.name).filter(|row| row.revision == provider.revision);
        let Some(sealed) = now.map_or(provider, |row| &**row).sealed() else { return Ok(None) };
        let clear = self.open(view, &provider_context(provider.name.as_str()), sealed)?;
        String::from_utf8(clear.to_vec()).map(Some).map_err(|_| VaultError::Damaged)
    }

    /// What this node answers other nodes about secrets, by door topic.
    pub(crate) fn services(self: &Arc<Self>) -> Vec<(&'static str, Service)> {
        let (sealing, opening) = (self.clone(), self.clone());
        let seal: Service = Arc::new(move |from, body| {
            let answer = sealing.answer_seal(from, &body);
            async move { answer }.boxed()
        });
        let open: Service = Arc::new(move |from, body| {
            let answer = opening.answer_open(from, &body);
            async move { answer }.boxed()
        });
        let mut services = vec![(SEAL, seal), (OPEN, open)];
        services.extend(escrow::services(self));
        services.extend(custody::services(self));
        services
    }

    fn answer_seal(&self, _from: NodeId, body: &[u8]) -> Result<Bytes, String> {
        let ask: SealAsk = rmp_serde::from_slice(body).map_err(|e| e.to_string())?;
        let sealed = self.seal_in(&self.view.load(), &provider_context(&ask.provider), &ask.clear);
        let sealed = sealed.map_err(|e| e.to_string())?;
        rmp_serde::to_vec_named(&sealed).map(Bytes::from).map_err(|e| e.to_string())
    }

    fn answer_open(&self, from: NodeId, body: &[u8]) -> Result<Bytes, String> {
        let ask: OpenAsk = rmp_serde::from_slice(body).map_err(|e| e.to_string())?;
        let view = self.view.load();
        if !view.state.nodes.contains(&from) {
            return Err("the asking node is not a member".to_owned());
        }
        let row = view.state.providers.get(&ask.provider).filter(|p| p.revision == ask.revision);
        let row = row.ok_or("this node does not know that revision of the provider yet")?;
        let clear = self.open_here(&view, row).map_err(|e| e.to_string())?;
        Ok(clear.unwrap_or_default().into())
    }
}

/// Whether every node of the cluster understands which data key something was sealed under.
pub(crate) fn marks(view: &View) -> bool {
    view.state.level() >= rotation::LEVEL
}

pub(crate) fn no_key() -> VaultError {
    VaultError::Unavailable("this node does not hold the data key".to_owned())
}

/// What a provider's key is sealed with: no provider's name is that of one of the cluster's own secrets.
pub(crate) fn provider_context(name: &str) -> String {
    format!("provider:{name}")
}

#[async_trait]
impl Vault for Safe {
    async fn seal(&self, provider: &str, clear: &[u8]) -> Result<Sealed, VaultError> {
        let view = self.view.load();
        if self.data_key(&view).is_some() {
            return self.seal_in(&view, &provider_context(provider), clear);
        }
        let ask = SealAsk { provider: provider.to_owned(), clear: clear.to_vec() };
        let body = rmp_serde::to_vec_named(&ask).map_err(|e| VaultError::Unavailable(e.to_string()))?;
        let answer = self.ask_holders(SEAL, body.into()).await?;
        rmp_serde::from_slice(&answer).map_err(|_| VaultError::Damaged)
    }

    async fn open_provider_key(&self, provider: &Provider) -> Result<Option<String>, VaultError> {
        if provider.sealed().is_none() {
            return Ok(None);
        }
        let view = self.view.load();
        if self.data_key(&view).is_some() {
            return self.open_here(&view, provider);
        }
        let ask = OpenAsk { provider: provider.name.clone(), revision: provider.revision };
        let body = rmp_serde::to_vec_named(&ask).map_err(|e| VaultError::Unavailable(e.to_string()))?;
        let answer = self.ask_holders(OPEN, body.into()).await?;
        String::from_utf8(answer.to_vec()).map(Some).map_err(|_| VaultError::Damaged)
    }

    async fn export_data_keys(&self, public: &[u8], proof: &str) -> Result<Vec<Wrap>, VaultError> {
        escrow::export(self, public, proof).await
    }

    async fn import_data_keys(&self, wraps: &[Wrap]) -> Result<Vec<Secret>, VaultError> {
        escrow::import(self, wraps).await
    }
}

#[async_trait]
impl Custodian for Safe {
    async fn wrap_for(&self, node: NodeId) -> Result<Wrap, VaultError> {
        custody::wrap_for(self, node).await
    }

    async fn prepare(&self, step: &Step) -> Result<rotation::Command, VaultError> {
        custody::prepare(self, step).await
    }
}

/// Seals the CA's key and the gossip keys as rows of the secrets table.
pub(crate) fn first_secrets(
    key: &Key,
    authority: &Authority,
    gossip_keys: &[u8],
    entropy: &dyn Entropy,
) -> Result<[Secret; 2], Error> {
    let sealed = |name: &str, clear: &[u8]| {
        seal::seal(key, name, clear, entropy).map_err(|e| Error::Certificate(e.to_string()))
    };
    Ok([
        Secret {
            name: CA.to_owned(),
            public: STANDARD_NO_PAD.encode(authority.certificate()),
            sealed: sealed(CA, authority.key())?,
        },
        Secret { name: GOSSIP.to_owned(), public: String::new(), sealed: sealed(GOSSIP, gossip_keys)? },
    ])
}
