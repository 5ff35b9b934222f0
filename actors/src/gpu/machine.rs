//! What is known of the GPUs after each reading; whether to read again.

use domain::Millis;
use domain::node::Gpu;
use serde::{Deserialize, Serialize};

use crate::ports::{GpuError, GpuReading};

/// Pause before GPUs that could not be listed are listed again.
pub const LIST_RETRY_MS: Millis = 30_000;
/// How often GPUs are read.
pub const READ_MS: Millis = 5_000;

/// The GPUs as they are.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Which there are.
    pub gpus: Vec<Gpu>,
    /// How they were when last read.
    pub readings: Vec<GpuReading>,
    /// When they were last read, on the node's monotonic clock.
    pub read_ms: Option<Millis>,
    /// Why they could not be listed or read last, if so; what is shown of them is older then.
    pub error: Option<String>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The GPUs were listed.
    Listed(Result<Vec<Gpu>, String>),
    /// They were read.
    Read(Result<Vec<GpuReading>, String>),
}

impl Event {
    /// A list.
    pub fn listed(list: Result<Vec<Gpu>, GpuError>) -> Self {
        Event::Listed(list.map_err(|e| e.to_string()))
    }
    /// A reading.
    pub fn read(reading: Result<Vec<GpuReading>, GpuError>) -> Self {
        Event::Read(reading.map_err(|e| e.to_string()))
    }
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// List them after this many milliseconds.
    ListAfter(Millis),
    /// Read them after this many milliseconds.
    ReadAfter(Millis),
}

/// The watcher's machine.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    /// What it knows.
    pub observed: Observed,
}

impl Machine {
    /// Takes in what happened and tells what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        match event {
            Event::Listed(Err(error)) => {
                self.observed.error = Some(error);
                vec![Effect::ListAfter(LIST_RETRY_MS)]
            }
            Event::Listed(Ok(gpus)) => {
                self.observed.gpus = gpus;
                self.observed.error = None;
                if self.observed.gpus.is_empty() { Vec::new() } else { vec![Effect::ReadAfter(0)] }
            }
            Event::Read(Ok(readings)) => {
                self.observed.readings = readings;
                self.observed.read_ms = Some(now);
                self.observed.error = None;
                vec![Effect::ReadAfter(READ_MS)]
            }
            Event::Read(Err(error)) => {
                self.observed.error = Some(error);
                vec![Effect::ReadAfter(READ_MS)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_without_gpus_reads_nothing() {
        let mut machine = Machine::default();
        assert_eq!(machine.step(Event::Listed(Ok(Vec::new())), 0), []);
        assert_eq!(machine.observed, Observed::default());
    }

    #[test]
    fn a_library_that_does_not_answer_is_shown_and_asked_again() {
        let mut machine = Machine::default();
        let hangs = Event::Listed(Err("no answer".to_owned()));
        assert_eq!(machine.step(hangs, 0), [Effect::ListAfter(LIST_RETRY_MS)]);
        assert_eq!(machine.observed.error.as_deref(), Some("no answer"));
        assert_eq!(machine.step(Event::Listed(Ok(Vec::new())), 10), []);
        assert_eq!(machine.observed, Observed::default());
    }

    #[test]
    fn a_failed_reading_keeps_the_last_one_and_is_tried_again() {
        let mut machine = Machine::default();
        let gpu = Gpu { index: 0, name: "H200".to_owned(), memory_mib: 143_771 };
        assert_eq!(machine.step(Event::Listed(Ok(vec![gpu])), 0), [Effect::ReadAfter(0)]);
        let reading = GpuReading {
            index: 0,
            memory_used_mib: 1,
            utilization_percent: 2,
            temperature_c: 30,
            power_mw: 70_000,
        };
        machine.step(Event::Read(Ok(vec![reading.clone()])), 10);
        assert_eq!(machine.step(Event::Read(Err("lost".to_owned())), 20), [Effect::ReadAfter(READ_MS)]);
        assert_eq!(machine.observed.readings, [reading]);
        assert_eq!(machine.observed.read_ms, Some(10));
        assert_eq!(machine.observed.error.as_deref(), Some("lost"));
    }
}
