//! All that others see of the scheduler: renewals of leases, and its state. It outlives the actor's restarts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use domain::{Incarnation, NodeId};
use ractor::ActorRef;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};

use super::actor::Msg;

/// Renewals that wait for the actor at most: each node has one under way, so this is a large cluster.
const RENEWALS_MAX: usize = 4096;
/// How long a renewal may wait for the actor.
const PATIENCE: Duration = Duration::from_millis(500);
/// Proposals remembered for [`Observed`].
pub(super) const RECENT_MAX: usize = 32;

/// This node does not lead, so it cannot answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this node does not lead: ask the leader")]
pub struct NotLeading;

/// The scheduler as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// The term in which this node leads, if it does.
    pub term: Option<u64>,
    /// What it proposed last and why, oldest first.
    pub recent: VecDeque<String>,
    /// Replicas without a place, and why.
    pub unplaced: Vec<String>,
}

/// What the actor shares with its handle.
pub(super) struct Shared {
    pub(super) shown: ArcSwap<Observed>,
    pub(super) mailbox: ArcSwapOption<ActorRef<Msg>>,
    admission: Arc<Semaphore>,
}

/// The node's scheduler.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new() -> Self {
        let shared = Shared {
            shown: ArcSwap::default(),
            mailbox: ArcSwapOption::empty(),
            admission: Arc::new(Semaphore::new(RENEWALS_MAX)),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How it is.
    pub fn observe(&self) -> Observed {
        (**self.shared.shown.load()).clone()
    }

    /// Renews a node's lease; the answer is the leader's term.
    ///
    /// # Errors
    /// When this node does not lead, or is too busy to say so in time.
    pub async fn renew(&self, node: NodeId, incarnation: Incarnation) -> Result<u64, NotLeading> {
        let _permit = self.shared.admission.try_acquire().map_err(|_| NotLeading)?;
        let mailbox = self.shared.mailbox.load_full().ok_or(NotLeading)?;
        let (reply, answer) = oneshot::channel();
        mailbox.send_message(Msg::Renew { node, incarnation, reply }).map_err(|_| NotLeading)?;
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(Some(term))) => Ok(term),
            _ => Err(NotLeading),
        }
    }
}
