//! All that others see of the node's membership: whether its lease is good. Read without asking the actor, and it outlives
//! the actor's restarts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use domain::decide::mode::Contact;
use domain::limits::{LEASE_MARGIN_MS, LEASE_MS};
use domain::{Millis, NodeId};
use serde::{Deserialize, Serialize};

use crate::monotonic::Monotonic;

/// Steps remembered for [`Observed`].
pub(super) const RECENT_MAX: usize = 32;

/// The node's membership as it is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Whether the lease is good.
    pub lease_valid: bool,
    /// How long it still is, in milliseconds.
    pub lease_left_ms: Millis,
    /// Who was asked last to renew it.
    pub leader: Option<NodeId>,
    /// Why the last request failed, if it did.
    pub failure: Option<String>,
    /// What was done to Raft's membership last, oldest first; only on the leader.
    pub recent: VecDeque<String>,
}

/// The node's membership.
#[derive(Clone)]
pub struct Handle {
    pub(super) clock: Monotonic,
    pub(super) ends: Arc<AtomicU64>,
    pub(super) shown: Arc<ArcSwap<Observed>>,
}

impl Handle {
    pub(crate) fn new(clock: Monotonic) -> Self {
        Self { clock, ends: Arc::default(), shown: Arc::default() }
    }

    /// Whether the node may go on with exclusive work now. False before the first renewal.
    pub fn lease_valid(&self) -> bool {
        self.lease_left_ms() > 0
    }

    /// How long the lease is good from now, in milliseconds.
    pub fn lease_left_ms(&self) -> Millis {
        self.ends.load(Ordering::Acquire).saturating_sub(self.clock.now())
    }

    /// When a leader last answered that a majority follows: nobody else renews leases.
    pub fn contact(&self) -> Contact {
        let (now, ends) = (self.clock.now(), self.ends.load(Ordering::Acquire));
        match ends.checked_sub(LEASE_MS - LEASE_MARGIN_MS) {
            Some(asked) => Contact { age_ms: now.saturating_sub(asked), ever: true },
            None => Contact { age_ms: now, ever: false },
        }
    }

    /// How it is.
    pub fn observe(&self) -> Observed {
        let left = self.lease_left_ms();
        Observed { lease_valid: left > 0, lease_left_ms: left, ..(**self.shown.load()).clone() }
    }
}
