//! How long a target takes, smoothed so that a bad moment counts at once and is forgotten with time ("peak EWMA", as Finagle
//! balances by it). With the calls under way it makes the cost by which targets are compared.

use crate::ids::Millis;

/// What a call under way at a target that never answered counts as, in microseconds: a target that is new gets a first call,
/// but not all of them before its first answer.
const UNKNOWN_US: u64 = 1_000_000;

/// The smoothed latency of a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ewma {
    /// After this time without an answer, what is known counts half.
    tau_ms: Millis,
    /// In microseconds; 0 when nothing is known.
    value_us: u64,
    at: Millis,
}

impl Ewma {
    /// Nothing is known yet; `tau_ms` is the time in which what is known comes to count half.
    pub fn new(tau_ms: Millis) -> Self {
        Self { tau_ms: tau_ms.max(1), value_us: 0, at: 0 }
    }

    /// The target answered after so long. What is worse than what was known counts at once, what is better by and by.
    pub fn observe(&mut self, latency_us: u64, now: Millis) {
        let latency_us = latency_us.max(1);
        let passed = now.saturating_sub(self.at);
        self.value_us =
            if latency_us >= self.value_us { latency_us } else { self.mixed(latency_us, passed).max(1) };
        self.at = self.at.max(now);
    }

    /// The latency that is expected now, in microseconds; 0 when nothing is known. It falls with time, so that a target
    /// that was slow once is tried again.
    pub fn value_us(&self, now: Millis) -> u64 {
        self.mixed(0, now.saturating_sub(self.at))
    }

    /// What a further call at the target costs, beside `in_flight` that are under way.
    pub fn cost(&self, in_flight: u32, now: Millis) -> u64 {
        cost(self.value_us(now), in_flight)
    }

    /// The value, mixed with another by the time that passed.
    fn mixed(&self, other: u64, passed: Millis) -> u64 {
        let weigh = |value: u64, weight: u64| u128::from(value) * u128::from(weight);
        let whole = u128::from(self.tau_ms) + u128::from(passed);
        let sum = weigh(self.value_us, self.tau_ms) + weigh(other, passed);
        u64::try_from(sum / whole).unwrap_or(u64::MAX)
    }
}

/// What a further call costs at a target of this latency (0 when it never answered) with so many under way.
pub fn cost(latency_us: u64, in_flight: u32) -> u64 {
    if latency_us == 0 {
        return UNKNOWN_US.saturating_mul(in_flight.into());
    }
    latency_us.saturating_mul(u64::from(in_flight) + 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_worse_counts_at_once_and_is_forgotten_by_and_by() {
        let mut ewma = Ewma::new(1_000);
        ewma.observe(100, 0);
        ewma.observe(9_000, 10);
        assert_eq!(ewma.value_us(10), 9_000);
        ewma.observe(1_000, 1_010);
        assert_eq!(ewma.value_us(1_010), 5_000, "half after its time");
        assert_eq!(ewma.value_us(2_010), 2_500, "and lower without any answer");
    }

    #[test]
    fn a_target_that_never_answered_gets_a_first_call_and_not_every_one() {
        let new = Ewma::new(1_000);
        let mut known = Ewma::new(1_000);
        known.observe(50_000, 0);
        assert!(new.cost(0, 0) < known.cost(0, 0));
        assert!(new.cost(1, 0) > known.cost(1, 0));
    }

    proptest! {
        #[test]
        fn it_lies_between_the_extremes_and_never_rises_by_itself(
            seen in proptest::collection::vec((1u64..10_000_000, 0u64..5_000), 1..60), later in 0u64..100_000,
        ) {
            let (mut ewma, mut now) = (Ewma::new(10_000), 0);
            let (least, most) = (seen.iter().map(|s| s.0).min().unwrap(), seen.iter().map(|s| s.0).max().unwrap());
            for (latency, passed) in &seen {
                now += passed;
                ewma.observe(*latency, now);
                prop_assert!((least..=most).contains(&ewma.value_us(now)));
            }
            prop_assert!(ewma.value_us(now + later) <= ewma.value_us(now));
            prop_assert!(ewma.cost(3, now) >= ewma.cost(2, now));
        }
    }
}
