//! The cluster's time between two stamps: where the wall clock is behind what was stamped, time goes on from there at the
//! pace of a monotonic clock. Otherwise a wall clock that once was ahead would hold everything up that waits for a time.

use crate::ids::Millis;

/// A time that was reached, from which later ones are counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Pace {
    reached: Millis,
    when: Millis,
}

impl Pace {
    /// Takes in that the cluster's time is no less than `at`; `now` is the monotonic clock's, in milliseconds. Answers the
    /// cluster's time.
    pub fn reach(&mut self, at: Millis, now: Millis) -> Millis {
        let on = self.on(now);
        if at > on {
            (self.reached, self.when) = (at, now);
        }
        at.max(on)
    }

    /// What the time must be by now.
    pub fn on(&self, now: Millis) -> Millis {
        self.reached.saturating_add(now.saturating_sub(self.when))
    }
}
