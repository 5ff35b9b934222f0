//! Times measured, and what is told of them.

use std::fmt::Write;
use std::time::Duration;

use serde_json::{Value, json};

/// Times in the order in which they were measured.
#[derive(Debug, Clone, Default)]
pub(super) struct Samples(Vec<Duration>);

impl Samples {
    pub(super) fn push(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The last one, under a name.
    pub(super) fn last(&self, name: &str) -> String {
        format!("{name} {:.3} s", self.0.last().copied().unwrap_or_default().as_secs_f64())
    }

    /// The smallest time that at least so many of a hundred do not exceed; zero when nothing was measured.
    fn percentile(&self, percent: usize) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        let rank = (sorted.len() * percent).div_ceil(100);
        sorted.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// Everything, in milliseconds.
    pub(super) fn json(&self, name: &str) -> Value {
        let ms = |time: Duration| time.as_millis() as u64;
        json!({
            "name": name,
            "median_ms": ms(self.percentile(50)),
            "p90_ms": ms(self.percentile(90)),
            "p99_ms": ms(self.percentile(99)),
            "worst_ms": ms(self.percentile(100)),
            "all_ms": self.0.iter().map(|time| ms(*time)).collect::<Vec<_>>(),
        })
    }
}

/// All stores beside each other.
pub(super) fn table<'a>(stores: impl Iterator<Item = (&'a str, &'a Samples)>) -> String {
    let mut text = String::from("\nleader killed, until the first write:\n");
    for (name, samples) in stores {
        let at = |percent| samples.percentile(percent).as_secs_f64();
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "  {name:8} median {:.3} s, p90 {:.3} s, p99 {:.3} s, worst {:.3} s, of {} kills",
            at(50),
            at(90),
            at(99),
            at(100),
            samples.0.len()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let mut samples = Samples::default();
        assert_eq!(samples.percentile(50), Duration::ZERO);
        (1..=100).rev().for_each(|ms| samples.push(Duration::from_millis(ms)));
        let told = samples.json("x");
        assert_eq!(
            (&told["median_ms"], &told["p99_ms"], &told["worst_ms"]),
            (&json!(50), &json!(99), &json!(100))
        );
        let text = table([("x", &samples)].into_iter());
        assert!(
            text.contains("median 0.050 s, p90 0.090 s, p99 0.099 s, worst 0.100 s, of 100 kills"),
            "{text}"
        );
    }
}
