//! What the gateway is given at start: ports, and two of its own (doors to targets, and the mint of join tokens).

use std::sync::Arc;

use actors::ports::{Clock, Entropy, Http, PeerLink, Proposer, Relay, Vault, ViewCell};
use actors::{Endpoint, Finish, Refused, Slot};
use domain::decide::mode::Contact;
use domain::decide::routing::{Load, Target};
use domain::{DeploymentId, Epoch, NodeId, ProviderName, TokenId};

/// A join token as it was just made. Its text is shown once.
pub struct Minted {
    /// Its id.
    pub id: TokenId,
    /// What the new node is given: carries the secret and the pin of the cluster's CA.
    pub text: String,
    /// SHA-256 of its secret part.
    pub hash: Vec<u8>,
}

/// Makes join tokens. The runtime does, because a token's text pins the cluster's CA.
pub trait TokenMint: Send + Sync + 'static {
    /// A new token, not yet known to the cluster.
    fn mint(&self) -> Minted;
}

/// Where the pipeline gets the right to call a target on this node. `actors::Directory` is one.
pub trait Doors: Send + Sync + 'static {
    /// A slot of a provider's connection.
    fn provider(&self, name: &ProviderName) -> Result<Pass, Refused>;
    /// A slot of a replica on this node, under exactly this epoch.
    fn replica(&self, id: DeploymentId, ordinal: u32, epoch: Epoch) -> Result<Pass, Refused>;
    /// What this node's actors know of a target; `None` of replicas on other nodes.
    fn load(&self, target: &Target) -> Option<Load>;
}

/// The right to make one call; given back when dropped.
pub enum Pass {
    /// A slot that an actor counts.
    Slot(Slot),
    /// An address that nobody counts: tests, and whoever brings targets of its own.
    Open(Endpoint),
}

impl Pass {
    pub(crate) fn endpoint(&self) -> &Endpoint {
        match self {
            Pass::Slot(slot) => slot.endpoint(),
            Pass::Open(endpoint) => endpoint,
        }
    }

    /// Another part of the answer came.
    pub(crate) fn progressed(&self) {
        if let Pass::Slot(slot) = self {
            slot.progressed();
        }
    }

    pub(crate) fn report(&self, how: Finish) {
        if let Pass::Slot(slot) = self {
            slot.report(how);
        }
    }
}

impl Doors for actors::Directory {
    fn provider(&self, name: &ProviderName) -> Result<Pass, Refused> {
        match actors::Directory::provider(self, name) {
            Some(handle) => handle.acquire().map(Pass::Slot),
            None => Err(Refused::Closed(format!("provider {name} is not connected on this node yet"))),
        }
    }

    fn replica(&self, id: DeploymentId, ordinal: u32, epoch: Epoch) -> Result<Pass, Refused> {
        match actors::Directory::replica(self, id, ordinal) {
            Some(handle) if handle.identity().epoch == epoch => handle.acquire().map(Pass::Slot),
            _ => Err(Refused::Closed(format!("replica {ordinal} of {id} is not on this node"))),
        }
    }

    fn load(&self, target: &Target) -> Option<Load> {
        match target {
            Target::Provider(name) => self.providers().get(name).map(|handle| handle.load()),
            Target::Replica { id, ordinal, epoch, .. } => self
                .replicas()
                .get(&(*id, *ordinal))
                .filter(|handle| handle.identity().epoch == *epoch)
                .map(|handle| handle.load()),
        }
    }
}

/// Who knows whether a majority answers this node.
pub trait Contacts: Send + Sync + 'static {
    /// When it last did.
    fn contact(&self) -> Contact;
}

/// What a gateway works with.
#[derive(Clone)]
pub struct Deps {
    /// The node's present view.
    pub view: ViewCell,
    /// Changes metadata.
    pub proposer: Arc<dyn Proposer>,
    /// What keys' limits allow.
    pub limiter: actors::limiter::Handle,
    /// Targets on this node.
    pub directory: Arc<dyn Doors>,
    /// Calls engines and providers.
    pub http: Arc<dyn Http>,
    /// Calls other nodes' engines.
    pub relay: Arc<dyn Relay>,
    /// Seals providers' keys.
    pub vault: Arc<dyn Vault>,
    /// Asks other nodes' actors.
    pub peers: Arc<dyn PeerLink>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub entropy: Arc<dyn Entropy>,
    /// Makes join tokens.
    pub tokens: Arc<dyn TokenMint>,
    /// Tells whether a majority answers.
    pub contacts: Arc<dyn Contacts>,
    /// This node.
    pub me: NodeId,
    /// The program's version.
    pub version: String,
    /// The cluster's name; `default` is always understood too.
    pub cluster: String,
}
