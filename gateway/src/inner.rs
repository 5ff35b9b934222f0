//! What all requests of one gateway share.

use std::sync::Arc;

use domain::decide::mode::Mode;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Config;
use crate::deps::Deps;
use crate::metrics::Metrics;
use crate::pipeline::{Budget, Loads, Unread};
use crate::request_id::Ids;

/// Shared by every connection.
pub(crate) struct Inner {
    pub config: Config,
    pub deps: Deps,
    pub ids: Ids,
    pub loads: Loads,
    /// What calls may be made twice.
    pub budget: Budget,
    /// Streams, for those that nobody reads.
    pub unread: Arc<Unread>,
    pub metrics: Metrics,
    /// Answers and connections that are not finished.
    pub open: TaskTracker,
    /// Cancelled when the node drains.
    pub draining: CancellationToken,
}

impl Inner {
    pub(crate) fn new(config: Config, deps: Deps) -> Self {
        let ids = Ids::new(deps.entropy.draw());
        Self {
            config,
            deps,
            ids,
            loads: Loads::default(),
            budget: Budget::default(),
            unread: Arc::default(),
            metrics: Metrics::default(),
            open: TaskTracker::new(),
            draining: CancellationToken::new(),
        }
    }

    pub(crate) fn mode(&self) -> Mode {
        Mode::of(self.deps.contacts.contact())
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.is_cancelled()
    }
}
