//! All that others see of the reconciler: what it supervises, and the order to stop everything.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use ractor::ActorRef;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::actor::Msg;
use crate::supervision::Record;

/// The reconciler as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// What it supervises: `provider/NAME`, `replica/ID/ORDINAL`.
    pub children: BTreeMap<String, Record>,
}

/// What the actor shares with its handle; it outlives the actor's restarts.
pub(super) struct Shared {
    pub(super) shown: ArcSwap<Observed>,
    pub(super) mailbox: ArcSwapOption<ActorRef<Msg>>,
    pub(super) quiet: watch::Sender<bool>,
}

/// The node's reconciler.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Handle {
    pub(crate) fn new() -> Self {
        let shared = Shared {
            shown: ArcSwap::default(),
            mailbox: ArcSwapOption::empty(),
            quiet: watch::Sender::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// How it is.
    pub fn observe(&self) -> Observed {
        (**self.shared.shown.load()).clone()
    }

    /// Stops everything it runs and waits for that, but not longer than `limit`.
    pub(crate) async fn quiesce(&self, limit: Duration) {
        let mailbox = self.shared.mailbox.load_full();
        let Some(mailbox) = mailbox else { return };
        if mailbox.send_message(Msg::Quiesce).is_err() {
            return;
        }
        let mut quiet = self.shared.quiet.subscribe();
        let _ = tokio::time::timeout(limit, quiet.wait_for(|quiet| *quiet)).await;
    }
}
