//! Builds and runs the simulator of the scratch copy and judges what it prints. A bug counts as found only when the
//! run failed *and* said why: a crash of the harness is no find.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// The word every report of a broken invariant contains.
const INVARIANT: &str = "invariant";
/// How much of a failed build or run is shown.
const LINES_SHOWN: usize = 20;

/// What a run over some seeds came to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// A seed broke an invariant.
    Found {
        seed: String,
        line: String,
    },
    /// The run failed for another reason.
    Broken {
        line: String,
    },
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Passed => write!(f, "NO: every seed passed"),
            Outcome::Found { seed, line } if seed_in(line).as_ref() == Some(seed) => write!(f, "{line}"),
            Outcome::Found { seed, line } => write!(f, "seed {seed}: {line}"),
            Outcome::Broken { line } => write!(f, "NO: failed without the invariant it should name: {line}"),
        }
    }
}

/// The simulator of a scratch tree, built into a folder of its own.
pub(crate) struct Simulator {
    target: PathBuf,
    jobs: usize,
}

impl Simulator {
    pub(crate) fn new(target: PathBuf, jobs: usize) -> Simulator {
        Simulator { target, jobs }
    }

    /// The folder it is built into.
    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    pub(crate) fn build(&self, tree: &Path) -> Result<()> {
        let built = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .args(["build", "--quiet", "--package", "sim", "--bin", "sim"])
            .current_dir(tree)
            .env("CARGO_TARGET_DIR", &self.target)
            .stdin(Stdio::null())
            .output()
            .context("cargo could not be started")?;
        if !built.status.success() {
            bail!("{}", last_lines(&String::from_utf8_lossy(&built.stderr)));
        }
        Ok(())
    }

    /// Runs the seeds; with an invariant, a failure counts only when it names that one.
    pub(crate) fn run(
        &self,
        tree: &Path,
        scenario: &str,
        seeds: &str,
        invariant: Option<&str>,
    ) -> Result<Outcome> {
        let mut command = Command::new(self.target.join("debug/sim"));
        command.args(["run", "--seeds", seeds, "--jobs", &self.jobs.to_string(), "--tries", "0"]);
        if scenario != "any" {
            command.args(["--scenario", scenario]);
        }
        let ran =
            command.current_dir(tree).stdin(Stdio::null()).output().context("starting the simulator")?;
        let text =
            format!("{}\n{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        Ok(judge(ran.status.success(), &text, &said(invariant)))
    }
}

/// What a report says of an invariant that is broken, or of any.
fn said(invariant: Option<&str>) -> String {
    invariant.map_or_else(|| INVARIANT.to_owned(), |name| format!("{INVARIANT} {name} broken"))
}

fn judge(passed: bool, text: &str, named: &str) -> Outcome {
    if passed {
        return Outcome::Passed;
    }
    match text.lines().find(|line| line.contains(named)) {
        Some(line) => {
            let seed =
                seed_in(line).or_else(|| text.lines().find_map(seed_in)).unwrap_or_else(|| "?".to_string());
            Outcome::Found { seed, line: line.trim().to_string() }
        }
        None => Outcome::Broken { line: last_lines(text) },
    }
}

/// The number after the word `seed` or the option `--seed`.
fn seed_in(line: &str) -> Option<String> {
    let mut words = line.split(|c: char| c.is_whitespace() || matches!(c, '=' | ':' | ','));
    words.find(|word| matches!(*word, "seed" | "--seed"))?;
    let number = words.find(|word| !word.is_empty())?;
    number.parse::<u64>().ok().map(|seed| seed.to_string())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines[lines.len().saturating_sub(LINES_SHOWN)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const FAILED: &str = "seed 3: ok\nseed 7: invariant one_leader broken at 12.3 s\nsim replay --seed 7\n";

    #[test]
    fn a_failure_that_names_an_invariant_is_a_find_with_its_seed() {
        let Outcome::Found { seed, line } = judge(false, FAILED, &said(Some("one_leader"))) else {
            panic!("not found")
        };
        assert_eq!(seed, "7");
        assert!(line.contains("one_leader"));
    }

    #[test]
    fn a_failure_of_another_kind_is_none() {
        assert!(matches!(judge(false, FAILED, &said(Some("no_lost_write"))), Outcome::Broken { .. }));
        // A word of the report is not what it is about.
        assert!(matches!(judge(false, FAILED, &said(Some("leader"))), Outcome::Broken { .. }));
        assert!(matches!(judge(false, "thread 'main' panicked\n", INVARIANT), Outcome::Broken { .. }));
        assert_eq!(judge(true, FAILED, INVARIANT), Outcome::Passed);
    }

    #[test]
    fn a_seed_is_read_in_each_form() {
        assert_eq!(seed_in("sim replay --seed 12"), Some("12".to_string()));
        assert_eq!(seed_in("FAILED seed=9, invariant x"), Some("9".to_string()));
        assert_eq!(seed_in("30 seeds in 4 s"), None);
    }
}
