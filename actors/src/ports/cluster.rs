//! The cluster as an actor sees it: its view, its log, its peers.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use domain::{Command, NodeId, Reject, Reply, RequestId, View};
use tokio::sync::watch;

/// The node's present [`View`]: read without locks, watched for changes.
#[derive(Clone)]
pub struct ViewCell {
    view: Arc<ArcSwap<View>>,
    changed: watch::Sender<u64>,
}

impl ViewCell {
    /// A cell that starts with this view.
    pub fn new(view: View) -> Self {
        Self { view: Arc::new(ArcSwap::from_pointee(view)), changed: watch::Sender::new(0) }
    }
    /// The present view.
    pub fn load(&self) -> Arc<View> {
        self.view.load_full()
    }
    /// A cheap look at the present view, to be let go of soon.
    pub fn peek(&self) -> arc_swap::Guard<Arc<View>> {
        self.view.load()
    }
    /// Publishes the next view, made from the present one. Only the runtime does.
    pub fn update(&self, next: impl FnMut(&View) -> View) {
        let mut next = next;
        self.view.rcu(|view| next(view));
        self.changed.send_modify(|n| *n += 1);
    }
    /// Tells of every change from now on; several changes may be told as one.
    pub fn watch(&self) -> watch::Receiver<u64> {
        let mut receiver = self.changed.subscribe();
        receiver.mark_changed();
        receiver
    }
}

/// Why a proposed command has no outcome.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProposeError {
    /// The state machine refused it; trying again changes nothing.
    #[error(transparent)]
    Rejected(#[from] Reject),
    /// There is no leader or no quorum just now; it was not done.
    #[error("the cluster cannot take changes just now ({reason}): try again in {} s", .retry_after.as_secs().max(1))]
    Unavailable {
        /// What is missing.
        reason: String,
        /// When a retry makes sense.
        retry_after: Duration,
    },
    /// It is too large for the log; it was not done.
    #[error("the change takes {bytes} bytes and may take {max}: make it smaller or split it")]
    TooLarge {
        /// How large it is, in bytes.
        bytes: u64,
        /// How large it may be, in bytes.
        max: u64,
    },
    /// It was not done and will not be by trying again: somebody has to do what it says first.
    #[error("{reason}")]
    Failed {
        /// What is wrong and what to do.
        reason: String,
    },
    /// It may have been done: propose it again under the same request id to find out.
    #[error("the outcome is not known ({reason}): repeat the request with the same id")]
    Unknown {
        /// What went wrong.
        reason: String,
    },
}

/// Changes metadata, on any node.
#[async_trait]
pub trait Proposer: Send + Sync + 'static {
    /// Proposes a command under a request id and waits until this node has applied it.
    async fn propose_as(&self, id: RequestId, command: Command) -> Result<Reply, ProposeError>;
    /// Proposes a command under a fresh request id; unknown outcomes are retried under that id for a while.
    async fn propose(&self, command: Command) -> Result<Reply, ProposeError>;
    /// Waits until this node has applied everything acknowledged anywhere before this call (ReadIndex).
    async fn barrier(&self) -> Result<(), ProposeError>;
}

/// Why a peer did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PeerError {
    /// It is not connected: the message was not delivered.
    #[error("node {0} is not reachable")]
    Unreachable(NodeId),
    /// Too much is under way to it already: the message was not sent.
    #[error("too many messages are under way to node {0}")]
    Busy(NodeId),
    /// It did not answer in time: the message may have been handled.
    #[error("node {0} did not answer in time")]
    Timeout(NodeId),
    /// It answered that it cannot.
    #[error("node {node} refused: {reason}")]
    Refused {
        /// Which node.
        node: NodeId,
        /// Why.
        reason: String,
    },
}

/// Messages between nodes' actors (the doorway): small, bounded in size and number, each with a deadline.
#[async_trait]
pub trait PeerLink: Send + Sync + 'static {
    /// Asks a peer's service `topic` and waits for its answer. Asking oneself is allowed.
    async fn ask(
        &self,
        to: NodeId,
        topic: &'static str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, PeerError>;
}

/// Raft's membership, for the leader to keep in order.
#[async_trait]
pub trait Electorate: Send + Sync + 'static {
    /// Whether this node leads, and in which term.
    fn leading(&self) -> Option<u64>;
    /// Who votes and who learns, as Raft knows it.
    fn members(&self) -> Members;
    /// Lets a node learn the log, or tells its new address.
    async fn add_learner(&self, node: NodeId, addr: &str) -> Result<(), ProposeError>;
    /// Makes exactly these nodes voters; they must be learning already. Former voters go on learning. Also brings a change
    /// to its end that was broken off half way.
    async fn set_voters(&self, voters: std::collections::BTreeSet<NodeId>) -> Result<(), ProposeError>;
    /// Forgets a learner.
    async fn remove_learner(&self, node: NodeId) -> Result<(), ProposeError>;
}

/// Raft's membership.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Members {
    /// Every member.
    pub nodes: Vec<Member>,
    /// Whether an old and a new set of voters both have to agree: a change that was broken off half way, to be ended by
    /// setting the voters again. Then `votes` is true for the voters of both.
    pub joint: bool,
}

/// A member of Raft.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Who.
    pub node: NodeId,
    /// Whether it votes.
    pub votes: bool,
    /// Where Raft reaches it.
    pub addr: String,
    /// Whether its log is close behind the leader's and the leader hears from it (only the leader knows).
    pub caught_up: bool,
}
