//! How long to wait before the next attempt: exponential with full jitter in its upper half, bounded.

use crate::Millis;

/// The shape of a back-off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait, in milliseconds.
    pub first_ms: Millis,
    /// The longest wait, in milliseconds.
    pub max_ms: Millis,
}

impl Backoff {
    /// The wait before attempt `attempt` (from 1), drawn between half of the exponential step and all of it.
    pub fn wait(&self, attempt: u32, draw: u64) -> Millis {
        let doubled = self.first_ms.saturating_mul(1u64 << attempt.saturating_sub(1).min(32));
        let step = doubled.min(self.max_ms).max(1);
        step / 2 + draw % (step - step / 2 + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_wait_stays_between_half_the_step_and_the_step(attempt in 0u32..80, draw: u64) {
            let backoff = Backoff { first_ms: 100, max_ms: 5_000 };
            let wait = backoff.wait(attempt, draw);
            prop_assert!((50..=5_000).contains(&wait));
            if attempt > 10 {
                prop_assert!(wait >= 2_500);
            }
        }
    }
}
