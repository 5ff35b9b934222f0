//! What a supervisor does about a child that failed: start it again after a growing, jittered pause; when it fails too
//! often in a while, show it as failed and try only now and then. Pure; [`crate::root`] and [`crate::reconciler`] keep a
//! record for each child.

use std::collections::VecDeque;

use domain::Millis;
use domain::decide::backoff::Backoff;
use domain::limits::cut_reason;
use serde::{Deserialize, Serialize};

/// Failures within [`WINDOW_MS`] before a child counts as failed.
pub const FAILURES_MAX: usize = 5;
/// The while in which failures are counted, in milliseconds.
pub const WINDOW_MS: Millis = 60_000;
/// Pauses before a child is started again.
pub const RESTART: Backoff = Backoff { first_ms: 100, max_ms: 5_000 };
/// Pauses before a failed child is tried again.
pub const SLOW: Backoff = Backoff { first_ms: 60_000, max_ms: 60_000 };

/// How a child stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It runs.
    #[default]
    Running,
    /// It failed and is started again after a pause.
    Restarting,
    /// It failed too often; it is tried only now and then.
    Failed,
}

/// A child's record, as the supervisor shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Record {
    /// How it stands.
    pub standing: Standing,
    /// How often it was started again.
    pub restarts: u32,
    /// Why it failed last.
    pub reason: Option<String>,
    #[serde(skip)]
    failures: VecDeque<Millis>,
}

impl Record {
    /// It failed; the answer is how long to wait before it is started again, in milliseconds.
    pub fn failed(&mut self, reason: String, now: Millis, draw: u64) -> Millis {
        self.failures.retain(|at| now.saturating_sub(*at) < WINDOW_MS);
        self.failures.push_back(now);
        self.reason = Some(cut_reason(reason));
        if self.failures.len() > FAILURES_MAX {
            self.failures.pop_front();
            self.standing = Standing::Failed;
            return SLOW.wait(1, draw);
        }
        self.standing = Standing::Restarting;
        RESTART.wait(u32::try_from(self.failures.len()).unwrap_or(u32::MAX), draw)
    }

    /// It was started again, so it shows as running; its failures still count, so one that fails at once shows as failed
    /// at once.
    pub fn restarted(&mut self) {
        self.restarts = self.restarts.saturating_add(1);
        self.standing = Standing::Running;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_child_that_keeps_failing_is_tried_only_now_and_then() {
        let mut record = Record::default();
        for n in 0..FAILURES_MAX as u64 {
            assert!(record.failed("boom".to_owned(), n * 100, 7) <= RESTART.max_ms);
            assert_eq!(record.standing, Standing::Restarting);
            record.restarted();
        }
        assert!(record.failed("boom".to_owned(), 600, 7) >= SLOW.first_ms / 2);
        assert_eq!(record.standing, Standing::Failed);
        assert_eq!(record.reason.as_deref(), Some("boom"));
    }

    #[test]
    fn failures_far_apart_do_not_add_up() {
        let mut record = Record::default();
        for n in 0..50 {
            record.failed("boom".to_owned(), n * WINDOW_MS, 7);
            assert_eq!(record.standing, Standing::Restarting);
        }
    }

    proptest! {
        #[test]
        fn restarts_in_any_minute_are_bounded(draws in proptest::collection::vec(any::<u64>(), 1..200)) {
            let mut record = Record::default();
            let (mut now, mut starts) = (0, Vec::new());
            for draw in draws {
                now += record.failed("boom".to_owned(), now, draw);
                record.restarted();
                starts.push(now);
            }
            for (place, start) in starts.iter().enumerate() {
                let within = starts[..=place].iter().filter(|at| start - *at < WINDOW_MS / 2).count();
                prop_assert!(within <= FAILURES_MAX + 1);
            }
        }
    }
}
