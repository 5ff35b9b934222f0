//! What a run came to, as data: the process that ran a seed writes it as one line of JSON, the one that started it reads
//! it. Used by the runner, the minimiser and the summary; nothing here judges.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The name of the check that is broken by a run that never ends.
pub const STUCK: &str = "stuck";

/// A check that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// Its name.
    pub check: String,
    /// What was seen.
    pub what: String,
    /// What tells this failure from others of the same check, where the check alone does not.
    pub place: Option<String>,
}

impl Broken {
    /// Whether both are the same failure as far as can be told.
    pub fn is_like(&self, other: &Self) -> bool {
        self.check == other.check && self.place == other.place
    }
}

/// What a run came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// The scenario's name.
    pub scenario: String,
    /// Simulated time, in seconds.
    pub simulated_s: f64,
    /// Time of a CPU it took, in seconds.
    pub cpu_s: f64,
    /// Things that clients did.
    pub done: usize,
    /// Faults that happened, by kind.
    pub faults: BTreeMap<String, u64>,
    /// Checks that were made, by name.
    pub checks: Vec<String>,
    /// Lines of the trace, and the number they fold into.
    pub lines: u64,
    /// The number that the trace's lines fold into.
    pub hash: String,
    /// What does not hold.
    pub broken: Vec<Broken>,
    /// The run's story, where something does not hold.
    pub story: Vec<String>,
}

impl Outcome {
    /// A run that told nothing of itself.
    pub fn silent(seed: u64, scenario: &str, broken: Broken) -> Self {
        Self {
            seed,
            scenario: scenario.to_owned(),
            simulated_s: 0.0,
            cpu_s: 0.0,
            done: 0,
            faults: BTreeMap::new(),
            checks: Vec::new(),
            lines: 0,
            hash: String::new(),
            broken: vec![broken],
            story: Vec::new(),
        }
    }

    /// Whether everything held.
    pub fn passed(&self) -> bool {
        self.broken.is_empty()
    }

    /// One line on how it went.
    pub fn line(&self) -> String {
        let faults: u64 = self.faults.values().sum();
        format!(
            "seed {} {}: {:.1} s simulated in {:.1} s of a CPU, {faults} faults, {} client operations, {} lines, {}",
            self.seed, self.scenario, self.simulated_s, self.cpu_s, self.done, self.lines, self.hash,
        )
    }

    /// What does not hold, a line each.
    pub fn complaints(&self) -> Vec<String> {
        let told = |b: &Broken| format!("seed {}: invariant {} broken: {}", self.seed, b.check, b.what);
        self.broken.iter().map(told).collect()
    }
}
