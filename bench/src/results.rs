//! What a run found, before it is put into words. Filled by the suite, read by the report. It holds no text for people.

use crate::load::Tally;
use crate::stats::{Samples, Summary, median};
use std::collections::BTreeMap;
use std::time::Duration;

/// The way a request takes to the mock upstream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    Direct,
    Nginx,
    Llmhub,
}

impl Via {
    /// As it is called in tables and messages.
    pub fn name(self) -> &'static str {
        match self {
            Via::Direct => "direct",
            Via::Nginx => "nginx",
            Via::Llmhub => "llmhub",
        }
    }
}

/// One measurement of one way, over all rounds.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// All rounds together.
    pub tally: Tally,
    /// Answers or events per second, one figure a round.
    pub per_second: Vec<f64>,
    /// The proxy's processor time per answer or event in microseconds, one figure a round; empty without a proxy.
    pub cpu_us: Vec<f64>,
}

impl Series {
    /// Adds a round; `cpu` is what the proxy used during it.
    pub fn add(&mut self, tally: Tally, cpu: Option<Duration>) {
        self.per_second.push(tally.per_second());
        if let (Some(cpu), 1..) = (cpu, tally.done) {
            self.cpu_us.push(cpu.as_secs_f64() * 1e6 / tally.done as f64);
        }
        self.tally.merge(tally);
    }

    /// The percentiles of its latencies (streams: of the gaps between events).
    pub fn latency(&self) -> Option<Summary> {
        self.tally.latency.summary()
    }

    /// The median over the rounds.
    pub fn cpu_us_median(&self) -> Option<f64> {
        median(&self.cpu_us)
    }

    /// The median over the rounds.
    pub fn per_second_median(&self) -> Option<f64> {
        median(&self.per_second)
    }
}

/// One measurement of all ways.
pub type PerVia = BTreeMap<Via, Series>;

/// The first event of a model that runs on one node, asked for on that node and on another.
#[derive(Debug, Clone, Default)]
pub struct Hop {
    /// Through the node that runs the replica.
    pub host: Samples,
    /// Through a node that does not.
    pub other: Samples,
    pub errors: u64,
    pub first_error: Option<String>,
    /// How the two nodes were told apart.
    pub note: String,
}

/// A node with nothing to do.
#[derive(Debug, Clone, PartialEq)]
pub struct Idle {
    pub node: String,
    /// Resident memory, in bytes.
    pub resident_bytes: u64,
    /// Share of one core, in percent.
    pub core_percent: f64,
}

/// Everything a run found.
#[derive(Debug, Clone, Default)]
pub struct Results {
    pub plain: PerVia,
    /// By rate in requests per second.
    pub fixed: BTreeMap<u32, PerVia>,
    pub streams: PerVia,
    /// Streams one at a time: `latency` is the time to the first event.
    pub first_event: PerVia,
    pub hop: Option<Hop>,
    pub idle: Vec<Idle>,
    /// As the chaos driver wrote them.
    pub failover: Vec<crate::failover::Row>,
}
