//! The cluster's time, with which a leader stamps commands: the time of day where that goes forward, and the passing of
//! time where it does not. A wall clock that once was ahead has moved the cluster's time for good; from there it goes on
//! at its own pace instead of standing still until the wall clocks have come after it.

use std::sync::{Arc, Mutex, PoisonError};

use domain::Millis;
use domain::decide::pace::Pace;
use tokio::time::Instant;

/// The wall clock a leader stamps commands with: milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Never behind a stamp that was applied on this node.
pub(crate) struct Time {
    clock: Clock,
    started: Instant,
    pace: Mutex<Pace>,
}

impl Time {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, started: Instant::now(), pace: Mutex::default() }
    }

    /// Takes in that a command with this stamp was applied.
    pub(crate) fn reach(&self, at: Millis) {
        let now = self.monotonic();
        self.pace.lock().unwrap_or_else(PoisonError::into_inner).reach(at, now);
    }

    /// The cluster's time now. What this node's wall clock says counts for nothing until a stamp of it was applied: a node
    /// whose clock is wrong may never come to stamp.
    pub(crate) fn now(&self) -> Millis {
        let on = self.pace.lock().unwrap_or_else(PoisonError::into_inner).on(self.monotonic());
        on.max((self.clock)())
    }

    fn monotonic(&self) -> Millis {
        Millis::try_from(self.started.elapsed().as_millis()).unwrap_or(Millis::MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    /// A wall clock that stands at this time, and the time by it.
    fn time_at(at: Millis) -> (Arc<AtomicU64>, Time) {
        let wall = Arc::new(AtomicU64::new(at));
        let clock = Arc::clone(&wall);
        (wall, Time::new(Arc::new(move || clock.load(Ordering::SeqCst))))
    }

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_after_the_wall_clock_jumped_there_and_back() {
        let (wall, time) = time_at(1_000);
        assert_eq!(time.now(), 1_000);
        wall.store(3_601_000, Ordering::SeqCst);
        assert_eq!(time.now(), 3_601_000);
        time.reach(3_601_000);
        wall.store(2_000, Ordering::SeqCst);
        assert_eq!(time.now(), 3_601_000);
        for _ in 0..100 {
            // Shorter than a millisecond: nothing may get lost on the way.
            advance(Duration::from_micros(100)).await;
            time.reach(time.now());
        }
        assert_eq!(time.now(), 3_601_010);
        wall.store(3_700_000, Ordering::SeqCst);
        assert_eq!(time.now(), 3_700_000);
    }

    #[tokio::test(start_paused = true)]
    async fn a_node_goes_on_from_what_the_last_leader_stamped() {
        let time = Time::new(Arc::new(|| 1_000));
        time.reach(9_000);
        advance(Duration::from_secs(5)).await;
        assert_eq!(time.now(), 14_000);
        time.reach(10_000);
        assert_eq!(time.now(), 14_000, "an older stamp changes nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn a_wall_clock_that_was_never_stamped_with_leaves_nothing_behind() {
        let (wall, time) = time_at(9_000_000);
        assert_eq!(time.now(), 9_000_000);
        wall.store(1_000, Ordering::SeqCst);
        assert_eq!(time.now(), 1_000);
    }
}
