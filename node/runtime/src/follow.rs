//! Follows the nodes table: who the peers are and where, for everything that keeps connections. A node that is gone loses
//! its connections at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actors::ports::{CallError, Relay, Request, Response, ViewCell};
use async_trait::async_trait;
use domain::NodeId;
use tokio::sync::Mutex;
use wire::door::Door;
use wire::gossip::GossipHandle;
use wire::raft::RaftClient;
use wire::relay::RelayClient;
use wire::streams::Streams;

/// How long a node that was removed keeps its connections: its removal is the last it shall hear, so that it stops.
const FAREWELL: Duration = Duration::from_secs(2);

/// Whoever keeps connections to peers.
#[derive(Clone)]
pub(crate) struct Followers {
    /// Actor messages.
    pub door: Arc<Door>,
    /// Raft's calls.
    pub raft: Arc<RaftClient>,
    /// Relayed inference.
    pub relay: Arc<RelayClient>,
    /// All of them, to be cut.
    pub streams: Arc<Streams>,
}

/// Gossip, until the node leaves it.
pub(crate) type GossipCell = Arc<Mutex<Option<GossipHandle>>>;

/// Tells the followers of every change of peers.
pub(crate) async fn run(view: ViewCell, followers: Followers, gossip: GossipCell) {
    let mut changes = view.watch();
    let mut told: BTreeMap<NodeId, String> = BTreeMap::new();
    while changes.changed().await.is_ok() {
        let now = view.load();
        let peers: BTreeMap<NodeId, String> = now
            .state
            .nodes
            .rows()
            .filter(|n| n.id != now.me)
            .map(|n| (n.id, n.cluster_addr.clone()))
            .collect();
        if peers == told {
            continue;
        }
        followers.door.set_peers(peers.clone());
        if let Some(gossip) = &*gossip.lock().await {
            gossip.set_seeds(peers.values().cloned().collect()).await;
        }
        if told.keys().any(|id| !peers.contains_key(id)) {
            tokio::spawn(part(view.clone(), followers.clone()));
        }
        told = peers;
    }
}

/// Cuts the connections of nodes that are gone.
async fn part(view: ViewCell, followers: Followers) {
    tokio::time::sleep(FAREWELL).await;
    let now = view.load();
    followers.raft.retain(|id| !now.state.gone.contains(&id));
    followers.relay.retain(|id| now.state.nodes.contains(&id));
    followers.streams.close_strangers();
}

/// Relayed calls by node alone: the address comes from the view.
pub(crate) struct Addressed {
    relay: Arc<RelayClient>,
    view: ViewCell,
}

impl Addressed {
    /// Calls over `relay`, with addresses from `view`.
    pub(crate) fn new(relay: Arc<RelayClient>, view: ViewCell) -> Self {
        Self { relay, view }
    }
}

#[async_trait]
impl Relay for Addressed {
    async fn send(&self, to: NodeId, request: Request, timeout: Duration) -> Result<Response, CallError> {
        let addr = self.view.peek().state.nodes.get(&to).map(|n| n.cluster_addr.clone());
        let Some(addr) = addr else {
            return Err(CallError::Connect {
                target: to.to_string(),
                reason: "it is not in the cluster any more".to_owned(),
            });
        };
        self.relay.send(to, &addr, request, timeout).await
    }
}
