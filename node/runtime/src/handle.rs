//! A running node, as whoever started it sees it.

use std::sync::Arc;
use std::time::Duration;

use actors::Tree;
use actors::ports::{Proposer as _, ViewCell};
use consensus::{Consensus, Role, Status};
use domain::{Command, Incarnation, NodeId, View, node};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::door::Door;

use crate::follow::GossipCell;
use crate::held::Held;
use crate::keeper::Badge;
use crate::ledger::{self, Ledger};
use crate::register::Refusal;
use crate::vault::Safe;

/// How long handing over leadership may take at a stop.
const HAND_OVER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long telling the cluster of a stop may take; without a quorum it goes untold.
const TELL_TIMEOUT: Duration = Duration::from_secs(1);
/// How often a running node looks whether its cluster still wants it.
const GONE_CHECK: Duration = Duration::from_millis(500);

/// A running node.
pub struct NodeHandle {
    pub(crate) me: NodeId,
    pub(crate) incarnation: Incarnation,
    pub(crate) shut_out: CancellationToken,
    pub(crate) refusal: watch::Receiver<Option<Refusal>>,
    pub(crate) admin_key: Option<String>,
    pub(crate) view: ViewCell,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) consensus: Consensus,
    pub(crate) tree: Tree,
    pub(crate) gateway: gateway::Gateway,
    pub(crate) gossip: GossipCell,
    pub(crate) safe: Arc<Safe>,
    pub(crate) badge: Badge,
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

    /// Which of the cluster's keys it has, as of this view of its own.
    pub fn held(&self, view: &View) -> Held {
        Held::of(view, &self.safe, &self.badge, &self.gossip)
    }

    /// What its consensus says of itself.
    pub fn status(&self) -> Status {
        self.ledger.status()
    }

    /// Resolves with a reason when the node cannot go on: its disk failed, its actors ended, or it was removed.
    pub async fn failed(&self) -> String {
        let refused = async {
            loop {
                match self.refusal() {
                    Some(refusal) => return refusal.error(self.me).to_string(),
                    None => tokio::time::sleep(GONE_CHECK).await,
                }
            }
        };
        tokio::select! {
            biased;
            fault = self.consensus.stopped() => fault.to_string(),
            fault = self.tree.ended() => fault,
            reason = refused => reason,
        }
    }

    /// Whether it was removed from its cluster, as far as it has heard: then it must stop, and its data is of no use any more.
    pub fn was_removed(&self) -> bool {
        self.refusal() == Some(Refusal::Removed)
    }

    fn refusal(&self) -> Option<Refusal> {
        let gone = self.shut_out.is_cancelled() || self.view.peek().state.gone.contains(&self.me);
        if gone { Some(Refusal::Removed) } else { *self.refusal.borrow() }
    }

    /// Stops gracefully: the cluster is told, new requests are refused, streams finish within the configured limit,
    /// leadership goes to another voter, engines end.
    pub async fn stop(self) {
        if !self.was_removed() {
            self.tell_of_stop().await;
        }
        self.gateway.drain();
        self.gateway.drained(Duration::from_millis(self.drain_ms)).await;
        // Not before: peers give up the answers they relay from a node that gossip says is gone.
        if let Some(gossip) = self.gossip.lock().await.take() {
            gossip.leave().await;
        }
        let _ = tokio::time::timeout(HAND_OVER_TIMEOUT, self.hand_over()).await;
        self.tree.shutdown().await;
        self.consensus.shutdown().await;
        self.stop.cancel();
        drop(self.door);
    }

    async fn tell_of_stop(&self) {
        let stops = Command::Node(node::Command::Stop { id: self.me, incarnation: self.incarnation });
        let told = tokio::time::timeout(TELL_TIMEOUT, self.ledger.propose(stops)).await;
        if !matches!(told, Ok(Ok(_))) {
            tracing::info!("the cluster could not be told that this node stops: it will notice");
        }
    }

    /// Hands leadership to the voter within reach whose log is furthest.
    async fn hand_over(&self) {
        let status = self.consensus.status();
        if status.role != Role::Leader {
            return;
        }
        if let Some(heir) = ledger::heir(&status)
            && let Err(error) = self.consensus.transfer(heir).await
        {
            tracing::warn!(%error, "leadership could not be handed over");
        }
    }
}
