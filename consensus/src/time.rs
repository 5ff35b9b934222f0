//! The cluster's time, with which a leader stamps commands: the time of day where that goes forward, and the passing of
//! time where it does not. A wall clock that once was ahead has moved the cluster's time for good; from there it goes on
//! at its own pace instead of standing still until the wall clocks have come after it.

use std::sync::{Arc, Mutex, PoisonError};

use domain::Millis;
use tokio::time::Instant;

/// The wall clock a leader stamps commands with: milliseconds since the Unix epoch.
pub type Clock = Arc<dyn Fn() -> Millis + Send + Sync>;

/// Never goes back, on this node.
pub(crate) struct Time {
    clock: Clock,
    /// A time that was reached, and when; later times are counted from there.
    reached: Mutex<(Millis, Instant)>,
}

impl Time {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, reached: Mutex::new((0, Instant::now())) }
    }

    /// Takes in that the cluster's time is no less than this now.
    pub(crate) fn reach(&self, at: Millis) -> Millis {
        let now = Instant::now();
        let mut reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = now.saturating_duration_since(reached.1).as_millis();
        let on = reached.0.saturating_add(Millis::try_from(passed).unwrap_or(Millis::MAX));
        if at > on {
            *reached = (at, now);
        }
        at.max(on)
    }

    /// The cluster's time now.
    pub(crate) fn now(&self) -> Millis {
        self.reach((self.clock)())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn time_goes_on_after_the_wall_clock_jumped_there_and_back() {
        let wall = Arc::new(AtomicU64::new(1_000));
        let time = Time::new({
            let wall = Arc::clone(&wall);
            Arc::new(move || wall.load(Ordering::SeqCst))
        });
        assert_eq!(time.now(), 1_000);
        wall.store(3_601_000, Ordering::SeqCst);
        assert_eq!(time.now(), 3_601_000);
        wall.store(2_000, Ordering::SeqCst);
        assert_eq!(time.now(), 3_601_000);
        for _ in 0..100 {
            // Shorter than a millisecond: nothing may get lost on the way.
            advance(Duration::from_micros(100)).await;
            time.now();
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
        assert_eq!(time.reach(10_000), 14_000, "an older stamp changes nothing");
    }
}
