//! `sim`: runs seeds of the deterministic simulator, or repeats one.

mod entropy;

use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{Parser, Subcommand};
use sim::scenario::{NAMES, Scenario, named};
use sim::trace::Trace;
use sim::{runner, swarm};

/// Lines of the trace shown with a failure.
const TRACE_SHOWN: usize = 40;

#[derive(Parser)]
#[command(name = "sim", about = "Simulates whole clusters, each from a seed", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run many seeds, each in a process of its own; fails when one fails
    Run {
        /// The seeds, `A..B` without B
        #[arg(long, value_parser = seeds)]
        seeds: Range<u64>,
        /// How many at a time
        #[arg(long, default_value_t = 1)]
        jobs: usize,
        /// A named scenario, or `swarm`: whatever the seed says
        #[arg(long, default_value = swarm::NAME)]
        scenario: String,
    },
    /// Run one seed here
    Replay {
        /// The seed
        #[arg(long)]
        seed: u64,
        /// A named scenario, or `swarm`: whatever the seed says
        #[arg(long, default_value = swarm::NAME)]
        scenario: String,
        /// Write every line of the trace to this file
        #[arg(long)]
        trace: Option<PathBuf>,
    },
    /// List the named scenarios
    List,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Run { seeds, jobs, scenario } => {
            scenario_named(&scenario, 0)?;
            let program = std::env::current_exe().context("finding this program")?;
            let failed = runner::run(&program, &runner::Batch { seeds, jobs, scenario })?;
            Ok(ExitCode::from(u8::from(failed > 0)))
        }
        Command::Replay { seed, scenario, trace } => replay(seed, &scenario, trace.as_deref()),
        Command::List => {
            NAMES.iter().for_each(|name| println!("{name}"));
            println!("{}", swarm::NAME);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..").map(|(a, b)| (a.parse(), b.parse()));
    match ends {
        Some((Ok(first), Ok(end))) if first < end => Ok(first..end),
        _ => Err("write A..B with A less than B".to_owned()),
    }
}

fn scenario_named(name: &str, seed: u64) -> anyhow::Result<Scenario> {
    if name == swarm::NAME {
        return Ok(swarm::scenario(seed));
    }
    match named(name) {
        Some(scenario) if scenario.needs_processes() => {
            bail!("`{name}` needs real processes: use `chaos run --scenario {name}`")
        }
        Some(scenario) => Ok(scenario),
        None => bail!("there is no scenario `{name}`: use {} or one of {}", swarm::NAME, NAMES.join(", ")),
    }
}

fn replay(seed: u64, scenario: &str, file: Option<&Path>) -> anyhow::Result<ExitCode> {
    let scenario = scenario_named(scenario, seed)?;
    stay_on_one_cpu();
    let trace = match file {
        Some(path) => Trace::to_file(path).with_context(|| format!("creating {}", path.display()))?,
        None => Trace::folded(),
    };
    let began = Instant::now();
    entropy::seed(seed);
    let ran = catch_unwind(AssertUnwindSafe(|| sim::run(seed, &scenario, &trace)));
    trace.flush().context("writing the trace")?;
    let (lines, hash) = trace.folded_into();
    let report = match ran {
        Ok(report) => report,
        Err(_) => {
            println!("seed {seed}: invariant no_panic broken: see above for the panic");
            show_last(&trace);
            return Ok(ExitCode::FAILURE);
        }
    };
    let took = began.elapsed().as_secs_f64();
    let simulated = report.simulated.as_secs_f64();
    println!(
        "seed {seed} {}: {simulated:.1} s simulated in {took:.1} s, {} faults, {} client operations, {lines} lines, {hash:016x}",
        report.scenario, report.faults, report.done,
    );
    for violation in &report.violations {
        println!("seed {seed}: invariant {} broken: {}", violation.check.name(), violation.what);
    }
    if report.violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    if file.is_none() {
        show_last(&trace);
    }
    Ok(ExitCode::FAILURE)
}

fn show_last(trace: &Trace) {
    let last = trace.last();
    println!("the last lines:");
    last[last.len().saturating_sub(TRACE_SHOWN)..].iter().for_each(|line| println!("  {line}"));
}

/// Some libraries size what they keep by the number of CPUs, and that shows in the order of things.
fn stay_on_one_cpu() {
    // SAFETY: the sets are plain bits of this frame, and the calls only read and fill them.
    unsafe {
        let mut allowed: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut allowed) != 0 {
            return;
        }
        let cpus: Vec<usize> =
            (0..libc::CPU_SETSIZE as usize).filter(|cpu| libc::CPU_ISSET(*cpu, &allowed)).collect();
        // Spread over the CPUs there are, so that seeds that run at the same time do not share one.
        let Some(cpu) = cpus.get(std::process::id() as usize % cpus.len().max(1)) else { return };
        let mut one: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(*cpu, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const one);
    }
}
