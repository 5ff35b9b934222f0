//! A running node, as whoever started it sees it.

use std::sync::Arc;
use std::time::Duration;

use actors::Tree;
use actors::ports::ViewCell;
use consensus::{Consensus, Role, Status};
use domain::NodeId;
use tokio_util::sync::CancellationToken;
use wire::door::Door;

use crate::follow::GossipCell;
use crate::ledger::Ledger;

/// How long handing over leadership may take at a stop.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(3);
/// How often a running node looks whether it was removed.
const GONE_CHECK: Duration = Duration::from_millis(500);

/// A running node.
pub struct NodeHandle {
    pub(crate) me: NodeId,
    pub(crate) admin_key: Option<String>,
    pub(crate) view: ViewCell,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) consensus: Consensus,
    pub(crate) tree: Tree,
    pub(crate) gateway: gateway::Gateway,
    pub(crate) gossip: GossipCell,
    pub(crate) door: Arc<Door>,
    pub(crate) stop: CancellationToken,
    pub(crate) drain_ms: u64,
}

impl NodeHandle {
    /// Its id.
    pub fn id(&self) -> NodeId {
        self.me
    }

    /// The first admin key's text, right after this node made a cluster: to be shown once.
    pub fn admin_key(&self) -> Option<&str> {
        self.admin_key.as_deref()
    }

    /// Its view.
    pub fn view(&self) -> ViewCell {
        self.view.clone()
    }

    /// Where its actors are found.
    pub fn directory(&self) -> Arc<actors::Directory> {
        self.tree.directory()
    }

    /// What its consensus says of itself.
    pub fn status(&self) -> Status {
        self.ledger.status()
    }

    /// Resolves with a reason when the node cannot go on: its disk failed, or it was removed.
    pub async fn failed(&self) -> String {
        let removed = async {
            while !self.view.peek().state.gone.contains(&self.me) {
                tokio::time::sleep(GONE_CHECK).await;
            }
        };
        tokio::select! {
            biased;
            fault = self.consensus.stopped() => fault.to_string(),
            () = removed => crate::error::Error::Removed(self.me).to_string(),
        }
    }

    /// Stops gracefully: new requests are refused, streams finish within the configured limit, leadership goes to another
    /// voter, engines end.
    pub async fn stop(self) {
        self.gateway.drain();
        if let Some(gossip) = self.gossip.lock().await.take() {
            gossip.leave().await;
        }
        self.gateway.drained(Duration::from_millis(self.drain_ms)).await;
        let _ = tokio::time::timeout(HAND_OVER_TIMEOUT, self.hand_over()).await;
        self.tree.shutdown().await;
        self.consensus.shutdown().await;
        self.stop.cancel();
        drop(self.door);
    }

    /// Hands leadership to the voter whose log is furthest.
    async fn hand_over(&self) {
        let status = self.consensus.status();
        if status.role != Role::Leader {
            return;
        }
        let others = status.voters.iter().filter(|id| **id != self.me);
        let best = others.max_by_key(|id| (status.matched.get(id).copied().unwrap_or(0), **id));
        if let Some(best) = best
            && let Err(error) = self.consensus.transfer(*best).await
        {
            tracing::warn!(%error, "leadership could not be handed over");
        }
    }
}
