//! One run in a process of its own, so that what libraries keep for the whole process starts fresh: starts this program
//! again, waits without blocking, and reads what the run came to. Used by the runner and the minimiser.

use std::io::{self, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::choice::Choice;
use crate::outcome::{Broken, Outcome, STUCK};
use crate::recipe::Recipe;
use crate::scenario::Check;

/// How long one run may take of real time before it is given up as stuck.
const PATIENCE: Duration = Duration::from_secs(600);
/// The pause between two looks at a process.
pub const LOOK: Duration = Duration::from_millis(10);
/// How much of a dead process' last words is kept, in characters.
const LAST_WORDS: usize = 600;

/// What is run.
#[derive(Debug, Clone)]
pub enum What<'a> {
    /// A scenario under a seed.
    Seed(u64, &'a Choice),
    /// A file of this run.
    File(&'a Path, &'a Recipe),
}

/// A run under way. Ends with this.
pub struct Running {
    seed: u64,
    name: String,
    child: Child,
    began: Instant,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

impl Running {
    /// Starts a run with this program.
    ///
    /// # Errors
    /// When the program cannot be started.
    pub fn start(program: &Path, what: &What<'_>) -> io::Result<Self> {
        let mut command = Command::new(program);
        command.args(["replay", "--json"]);
        let (seed, name) = match what {
            What::Seed(seed, choice) => {
                command.args(["--seed", &seed.to_string()]).args(choice.arguments());
                (*seed, choice.scenario.clone())
            }
            What::File(path, recipe) => {
                command.arg("--file").arg(path);
                (recipe.seed, recipe.scenario.name.clone())
            }
        };
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn()?;
        let (stdout, stderr) = (child.stdout.take().map(reader), child.stderr.take().map(reader));
        Ok(Self { seed, name, child, began: Instant::now(), stdout, stderr })
    }

    /// What it came to, once it has ended. One that does not end is killed.
    ///
    /// # Errors
    /// When the system does not tell of the process.
    pub fn poll(&mut self) -> io::Result<Option<Outcome>> {
        let stuck = self.began.elapsed() > PATIENCE;
        if stuck {
            self.child.kill()?;
            self.child.wait()?;
        }
        let Some(status) = self.child.try_wait()? else { return Ok(None) };
        let said = text(self.stdout.take());
        let complained = text(self.stderr.take());
        let told = said.lines().rev().find_map(|line| serde_json::from_str::<Outcome>(line).ok());
        Ok(Some(
            told.filter(|_| !stuck).unwrap_or_else(|| self.silent(stuck, &status.to_string(), &complained)),
        ))
    }

    /// Waits until it has ended.
    ///
    /// # Errors
    /// When the system does not tell of the process.
    pub fn wait(mut self) -> io::Result<Outcome> {
        loop {
            if let Some(outcome) = self.poll()? {
                return Ok(outcome);
            }
            std::thread::sleep(LOOK);
        }
    }

    fn silent(&self, stuck: bool, status: &str, complained: &str) -> Outcome {
        let broken = if stuck {
            let what = format!("it did not end within {} s", PATIENCE.as_secs());
            Broken { check: STUCK.to_owned(), what, place: None }
        } else {
            let skipped = complained.chars().count().saturating_sub(LAST_WORDS);
            let words: String = complained.chars().skip(skipped).collect();
            let what = format!("the process ended with {status}: {}", words.trim());
            Broken { check: Check::NoPanic.name().to_owned(), what, place: Some(status.to_owned()) }
        };
        Outcome::silent(self.seed, &self.name, broken)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only where it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads all of a pipe beside, so that a process that says more than a pipe holds does not wait for its reader.
fn reader(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        // What was read before the pipe broke is what there is.
        let _ = pipe.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

fn text(reader: Option<JoinHandle<String>>) -> String {
    reader.and_then(|reader| reader.join().ok()).unwrap_or_default()
}
