//! How many calls may be made twice: a share of all calls beside a few a second, over a sliding time, so that targets in
//! trouble are not buried under repetitions (the bounds are those that Finagle's and Linkerd's budgets have). Retries and
//! hedges of a node draw from the same budget.

use crate::decide::window::Window;
use crate::ids::Millis;

/// The time over which calls and repetitions are counted.
const WINDOW_MS: Millis = 10_000;

/// How much may be repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Repetitions of so many of 100 calls.
    pub percent: u64,
    /// So many a second beside, so that few calls can be repeated too.
    pub per_second_min: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self { percent: 20, per_second_min: 3 }
    }
}

/// A node's budget.
#[derive(Debug, Clone)]
pub struct Budget {
    config: Config,
    /// Calls, and what was drawn.
    window: Window,
}

impl Budget {
    /// One that nothing was drawn from.
    pub fn new(config: Config) -> Self {
        Self { config, window: Window::new(WINDOW_MS) }
    }

    /// A call was made: for the first time, not again.
    pub fn called(&mut self, now: Millis) {
        self.window.first(now);
    }

    /// How many calls may be repeated now.
    pub fn left(&self, now: Millis) -> u64 {
        let [calls, drawn] = self.window.sums(now);
        let share = calls.saturating_mul(self.config.percent) / 100;
        let least = self.config.per_second_min.saturating_mul(WINDOW_MS / 1_000);
        share.saturating_add(least).saturating_sub(drawn)
    }

    /// Draws one repetition, if there is one left.
    pub fn draw(&mut self, now: Millis) -> bool {
        let left = self.left(now) > 0;
        if left {
            self.window.second(now);
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_few_calls_may_be_repeated_and_of_many_a_share() {
        let mut budget = Budget::new(Config::default());
        assert_eq!((0..100).filter(|_| budget.draw(0)).count(), 30);
        for _ in 0..1_000 {
            budget.called(0);
        }
        assert_eq!((0..1_000).filter(|_| budget.draw(0)).count(), 200);
        assert!(!budget.draw(5_000));
        assert_eq!(budget.left(20_000), 30, "what was long ago counts neither way");
    }

    proptest! {
        #[test]
        fn whenever_a_call_is_repeated_no_more_were_lately_than_their_share_and_the_minimum(
            events in proptest::collection::vec((0u64..300, 0..40u32, 0..40u32), 1..120),
        ) {
            let mut budget = Budget::new(Config::default());
            let (mut now, mut log) = (0, Vec::new());
            for (later, calls, wishes) in events {
                now += later;
                (0..calls).for_each(|_| budget.called(now));
                let drawn = (0..wishes).filter(|_| budget.draw(now)).count();
                log.push((now, u64::from(calls), drawn as u64));
                // The last whole window, in the budget's own steps.
                let from = (now / 1_000 + 1).saturating_sub(10) * 1_000;
                let within = log.iter().filter(|(at, ..)| *at >= from);
                let drew = drawn > 0;
                let (calls, drawn) = within.fold((0, 0), |sum, (_, c, d)| (sum.0 + c, sum.1 + d));
                prop_assert!(!drew || drawn <= calls / 5 + 30, "{drawn} of {calls}");
            }
        }
    }
}
