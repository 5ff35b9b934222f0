//! Wall clock and chance of a host.

use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use actors::ports::{Clock, Entropy};
use domain::Millis;

use super::{EPOCH_MS, lock};
use crate::Dice;

/// A wall clock that may be off and may jump.
#[derive(Clone)]
pub(super) struct SimClock(pub(super) Arc<AtomicI64>);

impl Clock for SimClock {
    fn now(&self) -> Millis {
        let elapsed = turmoil::sim_elapsed().unwrap_or_default().as_millis() as u64;
        (EPOCH_MS + elapsed).saturating_add_signed(self.0.load(Ordering::Relaxed))
    }
}

/// Chance of one life of a node.
pub(super) struct SimEntropy(Mutex<Dice>);

impl SimEntropy {
    pub(super) fn new(dice: Dice) -> Self {
        Self(Mutex::new(dice))
    }
}

impl Entropy for SimEntropy {
    fn fill(&self, bytes: &mut [u8]) {
        lock(&self.0).fill(bytes);
    }
}
