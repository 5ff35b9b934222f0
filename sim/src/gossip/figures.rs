//! What was measured, and its table.

use std::fmt::Write as _;
use std::time::Duration;

use super::Plan;
use super::air::Sent;
use super::cluster::{Heard, Known};

/// What one plan came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// What was measured.
    pub plan: Plan,
    /// How soon each other node knew of each death, sorted.
    pub known: Vec<Duration>,
    /// How soon the last other node knew, a death each, sorted.
    pub known_to_all: Vec<Duration>,
    /// How often some node suspected a live one while nobody was hurt.
    pub suspicions: u64,
    /// How often some node gave a live one up while nobody was hurt.
    pub given_up: u64,
    /// How long nobody was hurt.
    pub quiet: Duration,
    /// Datagrams that each node sent in a second meanwhile.
    pub packets_per_s: f64,
    /// Bytes that each node sent in a second meanwhile, with the headers of IP and UDP.
    pub bytes_per_s: f64,
}

impl Figures {
    pub(super) fn new(plan: Plan) -> Self {
        Self {
            plan,
            known: Vec::new(),
            known_to_all: Vec::new(),
            suspicions: 0,
            given_up: 0,
            quiet: Duration::ZERO,
            packets_per_s: 0.0,
            bytes_per_s: 0.0,
        }
    }

    pub(super) fn quiet(&mut self, quiet: Duration, from: Sent, to: Sent, before: &Heard, after: &Heard) {
        let node_seconds = quiet.as_secs_f64() * self.plan.nodes as f64;
        self.quiet = quiet;
        self.packets_per_s = (to.packets - from.packets) as f64 / node_seconds;
        self.bytes_per_s = (to.bytes - from.bytes) as f64 / node_seconds;
        self.suspicions = after.suspicions - before.suspicions;
        self.given_up = after.given_up - before.given_up;
    }

    pub(super) fn death(&mut self, Known(times): Known) {
        self.known_to_all.extend(times.iter().max());
        self.known.extend(times);
        self.known.sort();
        self.known_to_all.sort();
    }

    /// The longest time until all knew of a death.
    pub fn known_to_all_max(&self) -> Duration {
        self.known_to_all.last().copied().unwrap_or_default()
    }
}

/// The value below which so many percent lie; of sorted values.
pub(super) fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(at).copied().unwrap_or_default()
}

/// A table in Markdown, a row for each plan.
pub fn table(all: &[Figures]) -> String {
    let mut text = String::from(
        "| nodes | lost | deaths | a node knows: p50 | p99 | all know: p50 | p99 | longest | false suspicions per node and hour | live nodes given up | packets/s per node | bytes/s per node |\n\
         |---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    let s = |time: Duration| format!("{:.2} s", time.as_secs_f64());
    for one in all {
        let node_hours = one.quiet.as_secs_f64() / 3600.0 * one.plan.nodes as f64;
        // Writing into a string cannot fail.
        let _ = writeln!(
            text,
            "| {} | {} % | {} | {} | {} | {} | {} | {} | {:.1} | {} | {:.0} | {:.0} |",
            one.plan.nodes,
            one.plan.lost_permille as f64 / 10.0,
            one.plan.deaths,
            s(percentile(&one.known, 50)),
            s(percentile(&one.known, 99)),
            s(percentile(&one.known_to_all, 50)),
            s(percentile(&one.known_to_all, 99)),
            s(one.known_to_all_max()),
            one.suspicions as f64 / node_hours,
            one.given_up,
            one.packets_per_s,
            one.bytes_per_s,
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let values: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert_eq!(percentile(&values, 50), Duration::from_millis(100));
        assert_eq!(percentile(&values, 99), Duration::from_millis(198));
        assert_eq!(percentile(&values[..1], 99), Duration::from_millis(1));
        assert_eq!(percentile(&[], 50), Duration::ZERO);
    }
}
