//! How long and how often everything is measured. Chosen by the command line, shown in the report's conditions.

use crate::load::StreamPlan;
use std::time::Duration;

/// The numbers of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How often each measurement is taken of each way; the ways take turns, and turn round each time.
    pub rounds: u32,
    /// Load sent and thrown away before the first round, per way.
    pub warm_up: Duration,
    /// Closed loop: connections, and seconds per round and way.
    pub connections: usize,
    pub plain: Duration,
    /// Fixed rates in requests per second, and seconds per round and way.
    pub rates: Vec<u32>,
    pub fixed: Duration,
    /// Paced streams, per round and way.
    pub streams: StreamPlan,
    /// Streams sent one at a time, per way, to time their first event.
    pub first_events: u32,
    /// How long nodes are watched while nothing happens.
    pub idle: Duration,
}

impl Plan {
    /// The run whose figures are kept: about six minutes.
    pub fn full() -> Plan {
        Plan {
            rounds: 5,
            warm_up: Duration::from_secs(1),
            connections: 32,
            plain: Duration::from_secs(4),
            rates: vec![200, 1000],
            fixed: Duration::from_secs(4),
            streams: StreamPlan { streams: 64, chunks: 300, pace: Duration::from_millis(20) },
            first_events: 300,
            idle: Duration::from_secs(10),
        }
    }

    /// A look in under a minute, with noisier figures.
    pub fn quick() -> Plan {
        Plan {
            rounds: 2,
            warm_up: Duration::from_millis(300),
            plain: Duration::from_secs(1),
            fixed: Duration::from_secs(1),
            streams: StreamPlan { chunks: 100, ..Plan::full().streams },
            first_events: 60,
            idle: Duration::from_secs(3),
            ..Plan::full()
        }
    }

    /// One line that says what was done, for the report.
    pub fn describe(&self) -> String {
        let rates: Vec<String> = self.rates.iter().map(|rate| format!("{rate}/s")).collect();
        format!(
            "{} rounds, ways taking turns; per round and way: {} s closed loop with {} connections, {} s at {}, {} streams \
             of {} events every {} ms; {} streams one at a time; {} s idle",
            self.rounds,
            self.plain.as_secs_f64(),
            self.connections,
            self.fixed.as_secs_f64(),
            rates.join(" and "),
            self.streams.streams,
            self.streams.chunks,
            self.streams.pace.as_millis(),
            self.first_events,
            self.idle.as_secs_f64(),
        )
    }
}
