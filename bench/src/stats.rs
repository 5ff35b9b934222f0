//! Percentiles over what a run measured. Used by the load generator and the report.
//!
//! Exact values, not buckets: the differences of interest are a few microseconds. It never reads a clock.

use std::time::Duration;

/// The most values one [`Samples`] keeps (8 bytes each). Later ones are counted in [`Samples::dropped`] only.
pub const SAMPLES_MAX: usize = 8_000_000;

/// Durations in the order they were measured, with nanosecond resolution.
#[derive(Debug, Clone, Default)]
pub struct Samples {
    nanos: Vec<u64>,
    dropped: u64,
}

/// The usual percentiles of one [`Samples`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// How many values there were.
    pub count: usize,
    pub p50: Duration,
    pub p90: Duration,
    pub p99: Duration,
    pub max: Duration,
}

impl Samples {
    /// Adds one value.
    pub fn push(&mut self, value: Duration) {
        if self.nanos.len() < SAMPLES_MAX {
            self.nanos.push(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX));
        } else {
            self.dropped += 1;
        }
    }

    /// Adds all values of another series.
    pub fn merge(&mut self, other: Samples) {
        let room = SAMPLES_MAX - self.nanos.len();
        let kept = other.nanos.len().min(room);
        self.dropped += other.dropped + (other.nanos.len() - kept) as u64;
        self.nanos.extend_from_slice(&other.nanos[..kept]);
    }

    /// How many values are kept.
    pub fn len(&self) -> usize {
        self.nanos.len()
    }

    /// Whether nothing was measured.
    pub fn is_empty(&self) -> bool {
        self.nanos.is_empty()
    }

    /// How many values came after [`SAMPLES_MAX`] and are missing from the percentiles.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The percentiles, or nothing where nothing was measured.
    pub fn summary(&self) -> Option<Summary> {
        let mut sorted = self.nanos.clone();
        sorted.sort_unstable();
        let at = |q| quantile(&sorted, q).map(Duration::from_nanos);
        Some(Summary { count: sorted.len(), p50: at(0.50)?, p90: at(0.90)?, p99: at(0.99)?, max: at(1.0)? })
    }
}

/// The nearest-rank quantile of sorted values: the smallest value that at least `q` of all values do not exceed.
pub fn quantile(sorted: &[u64], q: f64) -> Option<u64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = (q.clamp(0.0, 1.0) * sorted.len() as f64).ceil() as usize;
    Some(sorted[rank.saturating_sub(1).min(last)])
}

/// The median of a few figures (one per round); the mean of the middle two where their number is even.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match sorted.len() {
        0 => None,
        n if n % 2 == 1 => Some(sorted[middle]),
        _ => Some((sorted[middle - 1] + sorted[middle]) / 2.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(values: impl IntoIterator<Item = u64>) -> Samples {
        let mut samples = Samples::default();
        values.into_iter().for_each(|v| samples.push(Duration::from_micros(v)));
        samples
    }

    #[test]
    fn percentiles_are_nearest_rank_and_do_not_depend_on_order() {
        let summary = samples((1..=100).rev()).summary().expect("values");
        let us = Duration::from_micros;
        assert_eq!(summary, Summary { count: 100, p50: us(50), p90: us(90), p99: us(99), max: us(100) });
    }

    #[test]
    fn one_value_is_every_percentile() {
        let summary = samples([7]).summary().expect("a value");
        assert_eq!(
            (summary.p50, summary.p99, summary.max),
            (summary.max, summary.max, Duration::from_micros(7))
        );
    }

    #[test]
    fn nothing_measured_has_no_percentiles() {
        assert_eq!(Samples::default().summary(), None);
        assert_eq!(median(&[]), None);
        assert_eq!(quantile(&[], 0.5), None);
    }

    #[test]
    fn merging_keeps_all_values() {
        let mut all = samples(1..=50);
        all.merge(samples(51..=100));
        assert_eq!(all.summary().map(|s| (s.count, s.p50)), Some((100, Duration::from_micros(50))));
        assert_eq!(all.dropped(), 0);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 3.0]), Some(3.0));
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), Some(2.5));
    }
}
