//! What many runs came to, as a table in Markdown, which is kept in a page of the documentation.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use crate::outcome::Outcome;
use crate::runner::Batch;

/// Failures listed at most.
const FAILURES_MAX: usize = 50;

/// The sum of many runs.
#[derive(Debug, Clone)]
pub struct Summary {
    what: String,
    jobs: usize,
    runs: u64,
    failed: u64,
    simulated_s: f64,
    cpu_s: f64,
    took: Duration,
    done: usize,
    faults: BTreeMap<String, u64>,
    checks: BTreeMap<String, u64>,
    /// What broke, and the line that repeats it.
    failures: Vec<(String, String)>,
}

impl Summary {
    /// Of nothing yet.
    pub fn of(batch: &Batch) -> Self {
        Self {
            what: format!("{}, seeds {}..{}", batch.choice.scenario, batch.seeds.start, batch.seeds.end),
            jobs: batch.jobs.max(1),
            runs: 0,
            failed: 0,
            simulated_s: 0.0,
            cpu_s: 0.0,
            took: Duration::ZERO,
            done: 0,
            faults: BTreeMap::new(),
            checks: BTreeMap::new(),
            failures: Vec::new(),
        }
    }

    /// Adds a run, which this line repeats.
    pub fn add(&mut self, outcome: &Outcome, repeated: &str) {
        self.runs += 1;
        self.failed += u64::from(!outcome.passed());
        self.simulated_s += outcome.simulated_s;
        self.cpu_s += outcome.cpu_s;
        self.done += outcome.done;
        for (kind, times) in &outcome.faults {
            *self.faults.entry(kind.clone()).or_default() += times;
        }
        for check in &outcome.checks {
            *self.checks.entry(check.clone()).or_default() += 1;
        }
        if let Some(broken) = outcome.broken.first().filter(|_| self.failures.len() < FAILURES_MAX) {
            self.failures.push((broken.check.clone(), repeated.to_owned()));
        }
    }

    /// How long all of it took.
    pub(crate) fn took(&mut self, took: Duration) {
        self.took = took;
    }

    /// How many runs there were.
    pub fn runs(&self) -> u64 {
        self.runs
    }

    /// How many of them failed.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Two lines for a terminal.
    pub fn text(&self) -> String {
        format!(
            "{}: {} passed, {} failed, in {:.0} s\n{:.0} s simulated in {:.0} s of a CPU: {:.1} simulated seconds per second and core",
            self.what,
            self.runs - self.failed,
            self.failed,
            self.took.as_secs_f64(),
            self.simulated_s,
            self.cpu_s,
            self.pace(),
        )
    }

    fn pace(&self) -> f64 {
        self.simulated_s / self.cpu_s.max(f64::MIN_POSITIVE)
    }

    /// The summary as a table.
    pub fn markdown(&self) -> String {
        let listed = |counts: &BTreeMap<String, u64>| {
            let parts: Vec<String> = counts.iter().map(|(name, count)| format!("{name} {count}")).collect();
            parts.join(", ")
        };
        let faults: u64 = self.faults.values().sum();
        let checks: u64 = self.checks.values().sum();
        let rows = [
            ("runs", format!("{} ({})", self.runs, self.what)),
            ("simulated", format!("{:.1} hours", self.simulated_s / 3600.0)),
            (
                "took",
                format!(
                    "{:.1} hours of CPUs, {} at a time, {:.1} simulated seconds per second and core",
                    self.cpu_s / 3600.0,
                    self.jobs,
                    self.pace()
                ),
            ),
            ("client operations", self.done.to_string()),
            ("faults injected", format!("{faults}: {}", listed(&self.faults))),
            ("checks made", format!("{checks}: {}", listed(&self.checks))),
            ("failures", self.failed.to_string()),
        ];
        let mut text = String::from("| | |\n|---|---|\n");
        for (name, value) in rows {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "| {name} | {value} |");
        }
        if !self.failures.is_empty() {
            text.push_str("\n| failed | repeat it with |\n|---|---|\n");
        }
        for (check, repeated) in &self.failures {
            let _ = writeln!(text, "| {check} | `{repeated}` |");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Choice;
    use crate::outcome::Broken;

    fn summary() -> Summary {
        let batch = Batch {
            program: "sim".into(),
            seeds: 0..2,
            jobs: 2,
            choice: Choice { scenario: "swarm".to_owned(), nodes: None },
            tries: 0,
            found: "x".into(),
        };
        let broken = Broken { check: "one_leader".to_owned(), what: "two".to_owned(), place: None };
        let failed = Outcome {
            simulated_s: 60.0,
            cpu_s: 2.0,
            faults: [("Kill".to_owned(), 3)].into(),
            checks: vec!["one_leader".to_owned()],
            ..Outcome::silent(1, "swarm", broken)
        };
        let mut summary = Summary::of(&batch);
        summary.add(&Outcome { broken: Vec::new(), ..failed.clone() }, "a");
        summary.add(&failed, "sim replay --seed 1");
        summary
    }

    #[test]
    fn runs_faults_checks_and_failures_are_summed_up() {
        let text = summary().markdown();
        for part in [
            "| runs | 2 (swarm, seeds 0..2) |",
            "6: Kill 6",
            "2: one_leader 2",
            "30.0 simulated seconds",
            "| one_leader | `sim replay --seed 1` |",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
