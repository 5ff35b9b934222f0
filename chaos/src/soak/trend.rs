//! How fast something grows: the slope of a straight line through the samples after a warm-up, by least squares.

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::limit;
use super::sample::{Quantity, Sample};

/// The share of a run, in percent, that is left out: caches fill, and requests are remembered for ten minutes.
const WARM_UP_PERCENT: u32 = 50;
/// With fewer samples nothing is told.
const SAMPLES_MIN: usize = 10;
const HOUR_S: f64 = 3600.0;

/// How one quantity of one node grew.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Growth {
    node: usize,
    quantity: Quantity,
    /// An hour.
    rate: f64,
    /// Within the samples, along the line.
    total: f64,
    last: f64,
}

impl Growth {
    /// Whether it is beyond its limit, and more than noise.
    pub(super) fn is_too_fast(&self) -> bool {
        let (rate, noise) = limit(self.quantity);
        self.rate > rate && self.total > noise
    }

    /// For reports.
    pub(super) fn json(&self) -> Value {
        let rounded = |value: f64| (value * 10.0).round() / 10.0;
        json!({
            "node": format!("n{}", self.node + 1),
            "what": self.quantity.name(),
            "per_hour": rounded(self.rate),
            "limit_per_hour": limit(self.quantity).0,
            "last": rounded(self.last),
            "within_limit": !self.is_too_fast(),
        })
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = if self.is_too_fast() { "TOO FAST" } else { "ok" };
        let (node, name, limit) = (self.node + 1, self.quantity.name(), limit(self.quantity).0);
        write!(
            f,
            "n{node} {name:12} {:+9.1}, at {:.1} in the end (limit {limit}): {verdict}",
            self.rate, self.last
        )
    }
}

/// The growth of everything on these nodes.
pub(super) fn growths(samples: &[Sample], nodes: &[usize]) -> Vec<Growth> {
    let end = samples.iter().map(|sample| sample.at).max().unwrap_or_default();
    let warm = end * WARM_UP_PERCENT / 100;
    let mut growths = Vec::new();
    for node in nodes {
        let ours: Vec<&Sample> = samples.iter().filter(|s| s.node == *node && s.at >= warm).collect();
        if ours.len() < SAMPLES_MIN {
            continue;
        }
        for quantity in Quantity::ALL {
            let points: Vec<(f64, f64)> = ours.iter().map(|s| (seconds(s.at), s.of(quantity))).collect();
            let slope = slope(&points);
            let span = points.last().map_or(0.0, |last| last.0) - points[0].0;
            let last = points.last().map_or(0.0, |last| last.1);
            growths.push(Growth { node: *node, quantity, rate: slope * HOUR_S, total: slope * span, last });
        }
    }
    growths
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// The slope of the line that fits best; zero where all are at one place.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|p| p.0), mean(|p| p.1));
    let across = points.iter().map(|p| (p.0 - x) * (p.1 - y)).sum::<f64>();
    let along = points.iter().map(|p| (p.0 - x).powi(2)).sum::<f64>();
    if along > 0.0 { across / along } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(value: impl Fn(u64) -> f64) -> Vec<Sample> {
        let at = |second| Sample {
            at: Duration::from_secs(second),
            node: 0,
            values: [value(second), 50.0, 9.0, 3.0],
        };
        (0..600).step_by(5).map(at).collect()
    }

    #[test]
    fn a_line_is_found_again_and_the_warm_up_does_not_count() {
        let told =
            growths(&samples(|second| if second < 250 { 500.0 } else { 100.0 + second as f64 / 10.0 }), &[0]);
        assert!((told[0].rate - 360.0).abs() < 0.01, "{}", told[0]);
        assert!(told[0].is_too_fast() && told[1..].iter().all(|growth| growth.rate == 0.0));
    }

    #[test]
    fn what_is_steady_but_noisy_is_not_told() {
        let told = growths(&samples(|second| 100.0 + (second % 35) as f64), &[0]);
        assert!(!told[0].is_too_fast(), "{}", told[0]);
        assert_eq!(growths(&samples(|_| 1.0), &[1]), Vec::new());
    }
}
