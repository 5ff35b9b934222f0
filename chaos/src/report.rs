//! What became of the runs: told line by line, as a table, and as JSON for `bench`. Keeps the folder of a run that failed.

use std::fmt::Write;
use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use sim::history::Entry;
use sim::invariants::Violation;
use sim::scenario::Scenario;

use crate::figures::{Cost, Figures};
use crate::soak::sample::Sample;

/// How much of a log's end is told when a run failed, in bytes.
const TAIL_BYTES: usize = 2_000;
/// The clients' record, in the folder of a run that failed.
const RECORD: &str = "clients.log";

/// What became of one run.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// The scenario.
    pub(crate) scenario: String,
    /// How many replicas its deployment had; 0 without one.
    pub(crate) replicas: u32,
    /// Which time it was run, from 0.
    pub(crate) round: u32,
    /// How long it took.
    pub(crate) took: Duration,
    /// Why it was not run at all.
    pub(crate) skipped: Option<String>,
    /// What should not be.
    pub(crate) violations: Vec<Violation>,
    /// What was measured.
    pub(crate) figures: Figures,
    /// What nodes took of the machine, if that was watched.
    pub(crate) samples: Vec<Sample>,
    /// What clients did and saw.
    pub(crate) entries: Vec<Entry>,
    /// Where the logs of a run that failed are.
    pub(crate) folder: Option<PathBuf>,
    /// The ends of these logs.
    pub(crate) tails: Vec<(String, String)>,
}

impl Outcome {
    /// Of a run that begins.
    pub(crate) fn new(scenario: &Scenario, round: u32) -> Self {
        let replicas = scenario.deployments.iter().map(|(_, replicas)| *replicas).max().unwrap_or(0);
        Self { scenario: scenario.name.clone(), replicas, round, ..Self::default() }
    }

    /// Of one that this machine cannot run.
    pub(crate) fn skipped(scenario: &Scenario, why: String) -> Self {
        Self { skipped: Some(why), ..Self::new(scenario, 0) }
    }

    /// Whether it was run and everything held.
    pub(crate) fn passed(&self) -> bool {
        self.skipped.is_none() && self.violations.is_empty()
    }

    /// Whether something did not hold.
    pub(crate) fn failed(&self) -> bool {
        !self.violations.is_empty()
    }
}

/// Where a run's nodes keep data and logs. Removed when it is dropped, unless the run failed.
pub(crate) struct Folder(Option<PathBuf>);

impl Folder {
    /// An empty folder for a run.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn new(scenario: &Scenario, round: u32) -> anyhow::Result<Self> {
        Self::named(&format!("{}-{round}", scenario.name))
    }

    /// An empty folder for something else.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) fn named(what: &str) -> anyhow::Result<Self> {
        let name = format!("llmhub-chaos-{}-{what}", std::process::id());
        let path = std::env::temp_dir().join(name);
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("make {}", path.display()))?;
        Ok(Self(Some(path.canonicalize()?)))
    }

    /// Its path.
    pub(crate) fn path(&self) -> &Path {
        self.0.as_deref().unwrap_or(Path::new(""))
    }

    /// Ends its use: a run that failed keeps it, with the clients' record in it, and so does one that is asked to.
    pub(crate) fn close(mut self, outcome: &mut Outcome, keep_it: bool) {
        if (keep_it || !outcome.passed())
            && let Some(path) = self.0.take()
        {
            keep(&path, outcome);
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Some(path) = &self.0 {
            // What cannot be removed is in the folder for temporary files.
            let _ = fs::remove_dir_all(path);
        }
    }
}

fn keep(folder: &Path, outcome: &mut Outcome) {
    let mut record = String::new();
    for entry in &outcome.entries {
        // Writing into a string cannot fail.
        let _ = writeln!(
            record,
            "{:9.3} {:9.3} node {} {:?}",
            entry.start.as_secs_f64(),
            entry.end.as_secs_f64(),
            entry.node,
            entry.what
        );
    }
    if let Err(error) = fs::write(folder.join(RECORD), record) {
        eprintln!("the clients' record cannot be kept: {error}");
    }
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let mut logs: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|e| e == "log")).collect();
    logs.retain(|path| !path.ends_with(RECORD));
    logs.sort();
    for log in logs {
        let bytes = fs::read(&log).unwrap_or_default();
        let tail = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(TAIL_BYTES)..]).into_owned();
        outcome.tails.push((log.display().to_string(), tail));
    }
    outcome.folder = Some(folder.to_owned());
}

/// One run, told.
pub(crate) fn story(outcome: &Outcome) -> String {
    let mut text = String::new();
    for (log, tail) in outcome.tails.iter().filter(|_| outcome.failed()) {
        text.push_str(&format!("--- the end of {log}\n{}\n", tail.trim_end()));
    }
    for (strike, cost) in &outcome.figures.costs {
        text.push_str(&format!("  {} {}: {}\n", strike.hit.join(" and "), strike.what, costs(cost)));
    }
    for violation in &outcome.violations {
        text.push_str(&format!("  {}: {}\n", violation.check.name(), violation.what));
    }
    if let Some(folder) = &outcome.folder {
        text.push_str(&format!("  logs: {}\n", folder.display()));
    }
    if let Some(why) = &outcome.skipped {
        return format!("  SKIPPED: {why}\n");
    }
    let verdict = if outcome.passed() { "passed" } else { "FAILED" };
    text.push_str(&format!("  {verdict} in {:.1} s\n", outcome.took.as_secs_f64()));
    text
}

fn costs(cost: &Cost) -> String {
    let times = [
        ("last failed call", cost.last_failed),
        ("routers settled", cost.rerouted),
        ("model answers", cost.model_answers),
        ("replicas ready elsewhere", cost.replicas_whole),
        ("writes go on", cost.writes_resume),
    ];
    let known = times.iter().filter_map(|(name, time)| {
        let time = (*time)?;
        Some(format!("{name} after {:.2} s", time.as_secs_f64()))
    });
    let told: Vec<String> = known.collect();
    if told.is_empty() { "nothing was seen of it".to_owned() } else { told.join(", ") }
}

/// All runs.
pub(crate) struct Summary<'a> {
    /// The engine that ran the models.
    pub(crate) engine: &'a str,
    /// What became of each run.
    pub(crate) outcomes: &'a [Outcome],
}

impl Summary<'_> {
    /// The figures of all runs.
    pub(crate) fn json(&self) -> Value {
        let runs = self.outcomes.iter().map(|outcome| {
            let mut run = json!({ "name": outcome.scenario, "passed": outcome.passed() });
            if self.outcomes.iter().any(|other| other.round > 0) {
                run["name"] = json!(format!("{} {}", outcome.scenario, outcome.round + 1));
            }
            if let Some(why) = &outcome.skipped {
                run["skipped"] = json!(why);
            }
            if outcome.replicas > 0 {
                run["replicas"] = json!(outcome.replicas);
            }
            run["figures"] = outcome.figures.json();
            run
        });
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        json!({ "engine": self.engine, "cores": cores, "scenarios": runs.collect::<Vec<_>>() })
    }

    /// The figures as a table, and how many runs passed.
    pub(crate) fn table(&self) -> String {
        let width = self.outcomes.iter().map(|outcome| outcome.scenario.len()).max().unwrap_or(0);
        let mut text = String::from("\n");
        for outcome in self.outcomes {
            let figures = outcome.figures.json();
            let fields = figures.as_object().into_iter().flatten();
            for (place, (name, value)) in fields.enumerate() {
                let label = if place == 0 { outcome.scenario.as_str() } else { "" };
                text.push_str(&format!("{label:width$}  {name:32} {value:>8}\n"));
            }
        }
        let count = |test: fn(&Outcome) -> bool| self.outcomes.iter().filter(|o| test(o)).count();
        let skipped = count(|outcome| outcome.skipped.is_some());
        text.push_str(&format!("{} passed, {} failed", count(Outcome::passed), count(Outcome::failed)));
        if skipped > 0 {
            text.push_str(&format!(", {skipped} SKIPPED: this machine cannot run them"));
        }
        text + "\n"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::scenario::Check;

    fn outcome(name: &str, violations: Vec<Violation>) -> Outcome {
        let mut figures = Figures { writes: 7, ..Figures::default() };
        figures.calls.insert("chats well".to_owned(), 3);
        Outcome { scenario: name.to_owned(), violations, figures, ..Outcome::default() }
    }

    fn broken() -> Vec<Violation> {
        vec![Violation { check: Check::NoHang, what: "it hung".to_owned() }]
    }

    #[test]
    fn the_last_line_counts_what_passed() {
        let outcomes = [outcome("a", Vec::new()), outcome("b", broken())];
        let table = Summary { engine: "mock", outcomes: &outcomes }.table();
        assert!(table.ends_with("\n1 passed, 1 failed\n"), "{table}");
    }

    #[test]
    fn what_was_skipped_neither_passed_nor_failed() {
        let why = "it needs root".to_owned();
        let outcomes = [outcome("a", Vec::new()), Outcome::skipped(&Scenario::nodes(3), why)];
        assert!(!outcomes[1].passed() && !outcomes[1].failed());
        assert!(story(&outcomes[1]).contains("SKIPPED: it needs root"));
        let table = Summary { engine: "mock", outcomes: &outcomes }.table();
        assert!(table.contains("\n1 passed, 0 failed, 1 SKIPPED: "), "{table}");
    }

    #[test]
    fn figures_are_found_below_the_scenarios_name() {
        let outcomes = [outcome("a", Vec::new())];
        let told = Summary { engine: "mock", outcomes: &outcomes }.json();
        assert_eq!(told["scenarios"][0]["name"], "a");
        assert_eq!(told["scenarios"][0]["figures"]["writes acknowledged"], 7);
    }

    #[test]
    fn a_failure_names_what_does_not_hold() {
        let told = story(&outcome("b", broken()));
        assert!(told.contains("no_hang: it hung") && told.contains("FAILED"), "{told}");
    }
}
