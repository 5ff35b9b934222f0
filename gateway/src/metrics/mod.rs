//! Counters of one gateway: plain atomics with fixed label sets, so that counting costs nothing and several nodes may
//! share a process. Rendered on demand in Prometheus' text format.

mod names;
mod render;

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use actors::limiter::Reason;
use adapters::Operation;
use domain::limit::Unit;

/// Upper bounds of histogram buckets, in microseconds.
const BOUNDS_US: [u64; 14] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    10_000_000,
    30_000_000,
    120_000_000,
];
/// Why limits do not let calls through.
const REFUSALS: [&str; 3] = ["exhausted", "not_granted", "too_large"];
const OPERATIONS: usize = Operation::ALL.len();

/// How an inference call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Answered in full.
    Ok,
    /// Refused because of the request: 4xx.
    Refused,
    /// Not answered: 5xx.
    Failed,
    /// Broke off after its first byte.
    Broken,
    /// The client went away.
    Cancelled,
}

impl Outcome {
    const ALL: [(Outcome, &'static str); 5] = [
        (Outcome::Ok, "ok"),
        (Outcome::Refused, "refused"),
        (Outcome::Failed, "failed"),
        (Outcome::Broken, "broken"),
        (Outcome::Cancelled, "cancelled"),
    ];
}

/// A number that grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub(crate) struct Gauge(AtomicI64);

impl Gauge {
    pub(crate) fn add(&self, n: i64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }
    pub(crate) fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Durations by size.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    buckets: [Counter; BOUNDS_US.len() + 1],
    sum_us: Counter,
}

impl Histogram {
    pub(crate) fn record(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].add(1);
        self.sum_us.add(us);
    }
}

/// Everything the gateway counts.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    pub requests: [[Counter; Outcome::ALL.len()]; OPERATIONS],
    pub duration: [Histogram; OPERATIONS],
    pub first_byte: [Histogram; OPERATIONS],
    pub in_flight: Gauge,
    pub connections: Gauge,
    pub prompt_tokens: Counter,
    pub completion_tokens: Counter,
    pub retries: Counter,
    pub relayed: Counter,
    pub refused_keys: Counter,
    /// Calls of keys with limits that were let through.
    pub admitted: Counter,
    /// Those that were not, by unit and reason.
    pub refused: [[Counter; REFUSALS.len()]; Unit::ALL.len()],
    /// By the first digit of the status, 1 to 5.
    pub api: [Counter; 5],
}

impl Metrics {
    pub(crate) fn finished(&self, operation: Operation, outcome: Outcome, took: Duration) {
        self.requests[operation as usize][outcome as usize].add(1);
        self.duration[operation as usize].record(took);
    }

    pub(crate) fn refused(&self, unit: Unit, reason: &Reason) {
        let reason = match reason {
            Reason::Exhausted => 0,
            Reason::NotGranted(_) => 1,
            Reason::TooLarge => 2,
        };
        self.refused[unit as usize][reason].add(1);
    }

    pub(crate) fn api_answered(&self, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        self.api[class].add(1);
    }
}

pub(crate) use render::render;
