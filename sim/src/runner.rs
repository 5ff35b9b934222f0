//! Many seeds: each in a process of its own, some at a time. Tells of each failure with its time line and the one line that
//! repeats it, minimises the first one, and sums everything up.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::child::{LOOK, Running, What};
use crate::choice::{self, Choice};
use crate::minimise::{Verdict, minimise};
use crate::outcome::{Broken, Outcome};
use crate::recipe::{self, Recipe};
use crate::scenario::Scenario;
use crate::summary::Summary;

/// How often progress is told.
const TELL_EVERY: u64 = 20;
/// Failures that are told with their time line; of further ones only what broke.
const STORIES_MAX: u64 = 3;
/// How long minimising may take.
const MINIMISING_MAX: Duration = Duration::from_secs(900);

/// Why runs could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process could not be started or looked at.
    #[error("a run could not be started: {0}")]
    Process(#[from] std::io::Error),
    /// A file could not be read or written.
    #[error(transparent)]
    Recipe(#[from] recipe::Error),
    /// There is no such scenario.
    #[error(transparent)]
    Unknown(#[from] choice::Unfit),
}

/// What to run.
#[derive(Debug, Clone)]
pub struct Batch {
    /// This program.
    pub program: PathBuf,
    /// The seeds.
    pub seeds: Range<u64>,
    /// How many at a time.
    pub jobs: usize,
    /// The scenario.
    pub choice: Choice,
    /// How many tries minimising the first failure may take; none leaves it as it is.
    pub tries: usize,
    /// The folder for minimised runs.
    pub found: PathBuf,
}

impl Batch {
    fn repeated(&self, seed: u64) -> String {
        format!("sim replay --seed {seed} {}", self.choice.arguments().join(" "))
    }
}

/// Runs all seeds of a batch.
///
/// # Errors
/// When processes cannot be started or files not written.
pub fn run(batch: &Batch) -> Result<Summary, Error> {
    let began = Instant::now();
    let mut waiting = batch.seeds.clone();
    let mut running: Vec<Running> = Vec::new();
    let mut summary = Summary::of(batch);
    let mut first: Option<(u64, Broken)> = None;
    loop {
        while running.len() < batch.jobs.max(1)
            && let Some(seed) = waiting.next()
        {
            running.push(Running::start(&batch.program, &What::Seed(seed, &batch.choice))?);
        }
        if running.is_empty() {
            break;
        }
        let mut at = 0;
        while at < running.len() {
            let Some(outcome) = running[at].poll()? else {
                at += 1;
                continue;
            };
            drop(running.swap_remove(at));
            if let Some(broken) = outcome.broken.first() {
                tell(&outcome, batch, summary.failed() < STORIES_MAX);
                first.get_or_insert_with(|| (outcome.seed, broken.clone()));
            }
            summary.add(&outcome, &batch.repeated(outcome.seed));
            if summary.runs().is_multiple_of(TELL_EVERY) {
                let all = batch.seeds.end - batch.seeds.start;
                println!("{} of {all} seeds, {} failed", summary.runs(), summary.failed());
            }
        }
        std::thread::sleep(LOOK);
    }
    summary.took(began.elapsed());
    if let Some((seed, broken)) = first.filter(|_| batch.tries > 0) {
        reduce(batch, seed, &broken)?;
    }
    Ok(summary)
}

fn tell(outcome: &Outcome, batch: &Batch, whole: bool) {
    println!("seed {} failed", outcome.seed);
    outcome.complaints().iter().for_each(|line| println!("  {line}"));
    if whole {
        outcome.story.iter().for_each(|line| println!("  {line}"));
    }
    println!("  repeat it with: {}", batch.repeated(outcome.seed));
}

/// Makes a failing seed's scenario smaller, prints the smallest that fails in the same way, and keeps it as a file.
///
/// # Errors
/// When processes cannot be started or files not written.
pub fn reduce(batch: &Batch, seed: u64, broken: &Broken) -> Result<(), Error> {
    let start = batch.choice.scenario(seed)?;
    println!("minimising seed {seed} ({}), {} tries at most", broken.check, batch.tries);
    let began = Instant::now();
    let path = batch.found.join(format!("{}-{seed}.json", start.name));
    let attempt = path.with_extension("try.json");
    let (mut tries, mut trouble) = (0, None);
    let best = minimise(&start, &broken.check, |candidate| {
        if tries == batch.tries || began.elapsed() > MINIMISING_MAX {
            return Verdict::Enough;
        }
        tries += 1;
        match fails(&batch.program, &attempt, seed, candidate, broken) {
            Ok(true) => {
                println!("  try {tries}: {}, and it fails still", size(candidate));
                Verdict::Same
            }
            Ok(false) => Verdict::Other,
            Err(error) => {
                trouble = Some(error);
                Verdict::Enough
            }
        }
    });
    // It is there only when something was tried.
    let _ = std::fs::remove_file(&attempt);
    if let Some(error) = trouble {
        return Err(error);
    }
    let recipe = Recipe::new(seed, best, Some(broken.check.clone()));
    recipe.write(&path)?;
    println!("from {}", size(&start));
    println!("to   {}, in {tries} tries and {:.0} s:", size(&recipe.scenario), began.elapsed().as_secs_f64());
    println!("{}", recipe.text()?);
    println!("repeat it with: sim replay --file {}", path.display());
    Ok(())
}

/// Whether a scenario fails like that.
fn fails(
    program: &Path,
    path: &Path,
    seed: u64,
    scenario: &Scenario,
    broken: &Broken,
) -> Result<bool, Error> {
    let recipe = Recipe::new(seed, scenario.clone(), None);
    recipe.write(path)?;
    let outcome = Running::start(program, &What::File(path, &recipe))?.wait()?;
    Ok(outcome.broken.iter().any(|other| other.is_like(broken)))
}

fn size(scenario: &Scenario) -> String {
    format!(
        "{} steps, {} loads, {} deployments, {} nodes, {} s",
        scenario.steps.len(),
        scenario.load.len(),
        scenario.deployments.len(),
        scenario.nodes,
        scenario.load_for.as_secs(),
    )
}

/// Runs one file in a process of its own and tells what it came to; answers whether everything held.
///
/// # Errors
/// When the file is no run, or the process cannot be started.
pub fn repeat(program: &Path, path: &Path) -> Result<bool, Error> {
    let recipe = Recipe::read(path)?;
    let outcome = Running::start(program, &What::File(path, &recipe))?.wait()?;
    println!("{}", outcome.line());
    outcome.complaints().iter().chain(&outcome.story).for_each(|line| println!("{line}"));
    Ok(outcome.passed())
}
