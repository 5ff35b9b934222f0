//! The node's budget of repetitions beside the calls: calls are counted without a lock and told to it when one is to be
//! repeated.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use domain::decide::retry_budget::{Budget as Decided, Config};

/// The time over which calls count, in milliseconds.
const WINDOW_MS: u64 = 10_000;
/// Calls told at once, at most: more allow no more than is sensible.
const CALLS_MAX: u64 = 100_000;

/// What calls of a node may be made twice.
pub(crate) struct Budget {
    calls: AtomicU64,
    told: Mutex<(Decided, u64)>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { calls: AtomicU64::new(0), told: Mutex::new((Decided::new(Config::default()), 0)) }
    }
}

impl Budget {
    /// A call is made for the first time.
    pub(crate) fn called(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether one may be repeated; it is counted then.
    pub(crate) fn draw(&self, now_ms: u64) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let (budget, at_ms) = &mut *told;
        let count = self.calls.swap(0, Ordering::Relaxed);
        let took = now_ms.saturating_sub(*at_ms);
        let recent = if took <= WINDOW_MS { count } else { count.saturating_mul(WINDOW_MS) / took };
        (0..recent.min(CALLS_MAX)).for_each(|_| budget.called(now_ms));
        *at_ms = now_ms;
        budget.draw(now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_the_calls_may_be_repeated() {
        let budget = Budget::default();
        (0..1_000).for_each(|_| budget.called());
        let drawn = (0..1_000).filter(|_| budget.draw(1_000)).count();
        assert_eq!(drawn, 230, "a fifth, and three a second");
        assert!(!budget.draw(1_001));
    }
}
