//! foca's timers, in the order they fall due; those due at the same moment keep the order they were set in.

use std::collections::BTreeMap;
use std::time::Duration;

use foca::Timer;
use tokio::time::Instant;

use super::member::Member;

/// The timers.
#[derive(Default)]
pub(super) struct Timers {
    due: BTreeMap<(Instant, u64), Timer<Member>>,
    set: u64,
}

impl Timers {
    /// Sets a timer.
    pub(super) fn set(&mut self, timer: Timer<Member>, after: Duration) {
        self.set += 1;
        self.due.insert((Instant::now() + after, self.set), timer);
    }

    /// When the next falls due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.due.first_key_value().map(|((at, _), _)| *at)
    }

    /// Takes the next that is due.
    pub(super) fn take_due(&mut self, now: Instant) -> Option<Timer<Member>> {
        let first = self.due.first_entry()?;
        (first.key().0 <= now).then(|| first.remove())
    }
}
