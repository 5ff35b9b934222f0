//! Which of the fixed actors to start, and when to start again one that failed.

use std::collections::BTreeMap;

use domain::Millis;
use serde::{Deserialize, Serialize};

use crate::supervision::Record;

/// The fixed actors of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// Reads GPUs.
    Gpu,
    /// Renews the lease.
    Membership,
    /// Places replicas, on the leader.
    Scheduler,
    /// Runs what the tables want here.
    Reconciler,
    /// Asks for leases on keys' limits.
    Limiter,
}

impl Part {
    /// All of them, in the order they start.
    pub const ALL: [Part; 5] =
        [Part::Gpu, Part::Membership, Part::Scheduler, Part::Reconciler, Part::Limiter];
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Begin.
    Begin,
    /// One is over: none of them ends by itself, so it failed.
    Failed {
        /// Which one.
        part: Part,
        /// Why.
        reason: String,
        /// A random number.
        draw: u64,
    },
    /// The pause is over.
    Due(Part),
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start it.
    Start(Part),
    /// Come back after this many milliseconds.
    After(Millis, Part),
}

/// The root's machine.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    records: BTreeMap<Part, Record>,
}

impl Machine {
    /// How each one stands.
    pub fn records(&self) -> &BTreeMap<Part, Record> {
        &self.records
    }

    /// Takes in what happened and tells what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        match event {
            Event::Begin => {
                self.records = Part::ALL.into_iter().map(|part| (part, Record::default())).collect();
                Part::ALL.into_iter().map(Effect::Start).collect()
            }
            Event::Failed { part, reason, draw } => {
                let record = self.records.entry(part).or_default();
                vec![Effect::After(record.failed(reason, now, draw), part)]
            }
            Event::Due(part) => {
                self.records.entry(part).or_default().restarted();
                vec![Effect::Start(part)]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::supervision::Standing;

    #[test]
    fn a_part_that_fails_is_started_again_and_the_others_are_left_alone() {
        let mut machine = Machine::default();
        assert_eq!(machine.step(Event::Begin, 0).len(), Part::ALL.len());
        let failed = Event::Failed { part: Part::Gpu, reason: "boom".to_owned(), draw: 3 };
        let effects = machine.step(failed, 10);
        assert!(matches!(effects[..], [Effect::After(_, Part::Gpu)]));
        assert_eq!(machine.records()[&Part::Gpu].standing, Standing::Restarting);
        assert_eq!(machine.step(Event::Due(Part::Gpu), 200), [Effect::Start(Part::Gpu)]);
        assert_eq!(machine.records()[&Part::Gpu].restarts, 1);
        assert_eq!(machine.records()[&Part::Scheduler], Record::default());
    }
}
