//! One run in this process: prepares what makes it repeatable, runs it, and tells what it came to, to people or to the
//! process that started it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Context;
use sim::outcome::{Broken, Outcome};
use sim::scenario::{Check, Scenario};
use sim::trace::Trace;

use crate::entropy;

/// Panics told of one run.
const PANICS_MAX: usize = 5;
/// The stack of the thread that simulates: as large as a program's first one usually is.
const STACK_BYTES: usize = 8 << 20;

/// Runs a scenario under a seed; `file` takes the whole trace, and `json` tells it to a program.
pub(crate) fn replay(
    seed: u64,
    scenario: &Scenario,
    file: Option<&Path>,
    json: bool,
) -> anyhow::Result<ExitCode> {
    stay_on_one_cpu();
    let trace = match file {
        Some(path) => Trace::to_file(path).with_context(|| format!("creating {}", path.display()))?,
        None => Trace::folded(),
    };
    let outcome = outcome(seed, scenario, &trace);
    trace.flush().context("writing the trace")?;
    if json {
        println!("{}", serde_json::to_string(&outcome)?);
    } else {
        println!("{}", outcome.line());
        outcome.complaints().iter().chain(&outcome.story).for_each(|line| println!("{line}"));
    }
    Ok(ExitCode::from(u8::from(!outcome.passed())))
}

fn outcome(seed: u64, scenario: &Scenario, trace: &Trace) -> Outcome {
    let panics = listen_for_panics();
    let ran = on_a_thread_of_its_own(|| {
        entropy::seed(seed);
        catch_unwind(AssertUnwindSafe(|| sim::run(seed, scenario, trace))).ok()
    });
    let mut broken = panics.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let report = ran.flatten();
    for violation in report.iter().flat_map(|report| &report.violations) {
        let (check, what) = (violation.check.name().to_owned(), violation.what.clone());
        broken.push(Broken { check, what, place: None });
    }
    let whats: Vec<&str> = broken.iter().map(|b| b.what.as_str()).collect();
    let story = if broken.is_empty() { Vec::new() } else { trace.story(|story| story.tell(&whats)) };
    let (lines, hash) = trace.folded_into();
    Outcome {
        seed,
        scenario: scenario.name.clone(),
        simulated_s: report.as_ref().map_or(0.0, |report| report.simulated.as_secs_f64()),
        cpu_s: cpu_s(),
        done: report.as_ref().map_or(0, |report| report.done),
        faults: trace.story(|story| story.faults().clone()),
        checks: scenario.always.iter().map(|check| check.name().to_owned()).collect(),
        lines,
        hash: format!("{hash:016x}"),
        broken,
        story,
    }
}

/// What a thread keeps for itself starts fresh on a new one: whatever was read before, the keys of its hash maps among it,
/// leaves nothing behind that would make another run of a seed. `None` when there can be no thread.
fn on_a_thread_of_its_own<T: Send>(work: impl FnOnce() -> T + Send) -> Option<T> {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, work);
        thread.ok()?.join().ok()
    })
}

/// From now on panics are kept, whoever catches them: a task that panics does not end its node.
fn listen_for_panics() -> Arc<Mutex<Vec<Broken>>> {
    let heard: Arc<Mutex<Vec<Broken>>> = Arc::default();
    let (panics, print) = (heard.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        let mut panics = panics.lock().unwrap_or_else(PoisonError::into_inner);
        if panics.len() < PANICS_MAX {
            let check = Check::NoPanic.name().to_owned();
            let place = panic.location().map(|at| format!("{}:{}", at.file(), at.line()));
            panics.push(Broken { check, what: panic.to_string(), place });
        }
        print(panic);
    }));
    heard
}

/// The time of a CPU that this process has taken, in seconds.
fn cpu_s() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the call only fills the value it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Some libraries size what they keep by the number of CPUs, and that shows in the order of things. The CPU is the one that the
/// system started this process on: an idle one where there is one, so that seeds that run at the same time do not share it.
fn stay_on_one_cpu() {
    // SAFETY: the set is plain bits of this frame, and the calls only read it.
    unsafe {
        let Ok(here) = usize::try_from(libc::sched_getcpu()) else { return };
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(here, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const one);
    }
}
