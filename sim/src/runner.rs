//! Many seeds: each in a process of its own, so that what libraries keep for the whole process starts fresh, some at a
//! time. Tells of each failure with the one line that repeats it.

use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long one seed may take of real time before it is given up as stuck.
const STUCK: Duration = Duration::from_secs(600);
/// The pause between two looks at the children.
const LOOK: Duration = Duration::from_millis(20);
/// How often progress is told.
const TELL_EVERY: usize = 20;

/// What to run.
#[derive(Debug, Clone)]
pub struct Batch {
    /// The seeds.
    pub seeds: Range<u64>,
    /// How many at a time.
    pub jobs: usize,
    /// The scenario's name.
    pub scenario: String,
}

struct Job {
    seed: u64,
    child: Child,
    began: Instant,
}

/// Runs all seeds of a batch with this program; answers how many failed.
pub fn run(program: &Path, batch: &Batch) -> io::Result<usize> {
    let began = Instant::now();
    let mut waiting = batch.seeds.clone();
    let mut running: Vec<Job> = Vec::new();
    let (mut passed, mut failed) = (0, 0);
    loop {
        while running.len() < batch.jobs.max(1)
            && let Some(seed) = waiting.next()
        {
            running.push(Job { seed, child: start(program, batch, seed)?, began: Instant::now() });
        }
        if running.is_empty() {
            break;
        }
        let mut at = 0;
        while at < running.len() {
            let job = &mut running[at];
            let stuck = job.began.elapsed() > STUCK;
            if stuck {
                job.child.kill()?;
            }
            let Some(status) = job.child.try_wait()? else {
                at += 1;
                continue;
            };
            let mut job = running.swap_remove(at);
            if status.success() {
                passed += 1;
            } else {
                failed += 1;
                tell(&mut job, batch, stuck)?;
            }
            if (passed + failed) % TELL_EVERY == 0 {
                println!("{} of {} seeds, {failed} failed", passed + failed, total(batch));
            }
        }
        std::thread::sleep(LOOK);
    }
    let took = began.elapsed().as_secs_f64();
    println!("{}: {passed} seeds passed, {failed} failed, in {took:.0} s", batch.scenario);
    Ok(failed)
}

fn total(batch: &Batch) -> u64 {
    batch.seeds.end.saturating_sub(batch.seeds.start)
}

fn start(program: &Path, batch: &Batch, seed: u64) -> io::Result<Child> {
    let mut command = Command::new(program);
    command.args(["replay", "--seed", &seed.to_string(), "--scenario", &batch.scenario]);
    // A file would be needed for more than a pipe holds; a report is far smaller.
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn()
}

fn tell(job: &mut Job, batch: &Batch, stuck: bool) -> io::Result<()> {
    let mut said = String::new();
    if let Some(out) = &mut job.child.stdout {
        out.read_to_string(&mut said)?;
    }
    println!("seed {} failed{}", job.seed, if stuck { ": it is stuck" } else { "" });
    said.lines().filter(|line| !line.trim().is_empty()).for_each(|line| println!("  {line}"));
    println!("  repeat it with: sim replay --seed {} --scenario {}", job.seed, batch.scenario);
    Ok(())
}
