//! A target's breaker beside the calls: while all is well no call takes its lock. Successes are counted apart and told to it
//! when something fails.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use domain::decide::breaker::{Breaker, Config, Effect, Event, Pass, State};

/// Successes told to a breaker at once, at most: more say no more.
const SUCCESSES_MAX: u64 = 1_000;

/// What became of a call, as far as it tells of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It was answered.
    Answered,
    /// It failed, and the target is to blame.
    Failed,
    /// Nothing is told by it.
    GivenUp,
}

/// A breaker that many calls look at.
#[derive(Debug)]
pub(super) struct Guard {
    /// Whether the breaker is anything but closed.
    troubled: AtomicBool,
    /// Successes that it was not told of yet, and when the first of them was.
    successes: AtomicU64,
    since_ms: AtomicU64,
    breaker: Mutex<Breaker>,
}

impl Default for Guard {
    fn default() -> Self {
        Self {
            troubled: AtomicBool::new(false),
            successes: AtomicU64::new(0),
            since_ms: AtomicU64::new(0),
            breaker: Mutex::new(Breaker::new(Config::default())),
        }
    }
}

impl Guard {
    pub(super) fn admit(&self, now_ms: u64, draw: u64) -> Result<Option<Pass>, u64> {
        if !self.troubled.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let mut breaker = self.lock();
        match breaker.step(Event::Asked, now_ms, draw) {
            Effect::Refused { left_ms } => Err(left_ms),
            Effect::Admitted(pass) => Ok(Some(pass)),
            Effect::None | Effect::Opened { .. } | Effect::Closed => Ok(None),
        }
    }

    pub(super) fn state(&self, now_ms: u64) -> State {
        if self.troubled.load(Ordering::Relaxed) { self.lock().state(now_ms) } else { State::Closed }
    }

    pub(super) fn learn(&self, pass: Option<Pass>, outcome: Outcome, now_ms: u64, draw: u64) {
        let untroubled = !self.troubled.load(Ordering::Relaxed);
        match outcome {
            Outcome::GivenUp if pass.is_none() => return,
            Outcome::Answered if untroubled => {
                if self.successes.fetch_add(1, Ordering::Relaxed) == 0 {
                    self.since_ms.store(now_ms, Ordering::Relaxed);
                }
                return;
            }
            _ => {}
        }
        let mut breaker = self.lock();
        if untroubled {
            self.tell(&mut breaker, now_ms, draw);
        }
        // Passed without being looked at: it counts as of now.
        let pass = pass.or_else(|| match breaker.step(Event::Asked, now_ms, draw) {
            Effect::Admitted(pass) => Some(pass),
            _ => None,
        });
        if let Some(pass) = pass {
            let event = match outcome {
                Outcome::Answered => Event::Answered(pass),
                Outcome::Failed => Event::Failed(pass),
                Outcome::GivenUp => Event::GivenUp(pass),
            };
            breaker.step(event, now_ms, draw);
        }
        self.troubled.store(breaker.state(now_ms) != State::Closed, Ordering::Relaxed);
    }

    /// Tells the breaker of the successes that came since it was last told, as many of them as its window still holds.
    fn tell(&self, breaker: &mut Breaker, now_ms: u64, draw: u64) {
        let count = self.successes.swap(0, Ordering::Relaxed);
        let took = now_ms.saturating_sub(self.since_ms.load(Ordering::Relaxed));
        let window = Config::default().window_ms;
        let recent = if took <= window { count } else { count.saturating_mul(window) / took };
        for _ in 0..recent.min(SUCCESSES_MAX) {
            if let Effect::Admitted(pass) = breaker.step(Event::Asked, now_ms, draw) {
                breaker.step(Event::Answered(pass), now_ms, draw);
            }
        }
    }

    /// Poisoning cannot leave a breaker half changed, so it is passed over.
    fn lock(&self) -> MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fail(guard: &Guard, now_ms: u64) {
        let pass = guard.admit(now_ms, 1).unwrap();
        guard.learn(pass, Outcome::Failed, now_ms, 1);
    }

    fn answer(guard: &Guard, now_ms: u64) {
        let pass = guard.admit(now_ms, 1).unwrap();
        guard.learn(pass, Outcome::Answered, now_ms, 1);
    }

    #[test]
    fn a_target_that_fails_every_second_call_is_left_alone_before_twenty() {
        let guard = Guard::default();
        let mut calls = 0;
        while guard.admit(calls, 1).is_ok() {
            if calls % 2 == 0 {
                fail(&guard, calls)
            } else {
                answer(&guard, calls)
            }
            calls += 1;
            assert!(calls <= 20, "it is not left alone");
        }
    }

    #[test]
    fn a_target_that_seldom_fails_is_not() {
        let guard = Guard::default();
        for call in 0..1_000 {
            if call % 10 == 0 { fail(&guard, call) } else { answer(&guard, call) }
        }
        assert_eq!(guard.state(1_000), State::Closed);
    }

    #[test]
    fn it_is_tried_again_and_trusted_when_that_succeeds() {
        let guard = Guard::default();
        (0..5).for_each(|now| fail(&guard, now));
        let left = guard.admit(10, 1).unwrap_err();
        let later = 10 + left;
        let first = guard.admit(later, 1).unwrap();
        assert!(first.is_some(), "the call is looked at");
        guard.learn(first, Outcome::Answered, later, 1);
        answer(&guard, later);
        assert_eq!(guard.state(later), State::Closed);
        assert_eq!(guard.admit(later, 1), Ok(None));
    }
}
