//! A clock that never goes back, in milliseconds since the tree of actors started. Machines take its readings as `now`;
//! it says nothing about the time of day.

use std::time::Duration;

use domain::Millis;
use tokio::time::Instant;

/// Milliseconds since a moment in the past, on tokio's clock, which the simulator controls.
#[derive(Debug, Clone, Copy)]
pub struct Monotonic {
    since: Instant,
}

impl Monotonic {
    /// A clock that starts at 0 now.
    pub fn start() -> Self {
        Self { since: Instant::now() }
    }
    /// Milliseconds since the start.
    pub fn now(&self) -> Millis {
        self.at(Instant::now())
    }
    /// A moment in milliseconds since the start.
    pub fn at(&self, moment: Instant) -> Millis {
        u64::try_from(moment.saturating_duration_since(self.since).as_millis()).unwrap_or(Millis::MAX)
    }
}

/// A duration in milliseconds, as tokio takes it.
pub(crate) fn millis(ms: Millis) -> Duration {
    Duration::from_millis(ms)
}
