//! Runs the named scenarios on real `llmhub` processes, judges them, and reports what was measured. Started by people and
//! by `make test`. It ends by itself, ends only processes that it started, and never judges by a clock: figures are
//! reported, and the only limits are those beyond which something hangs.

mod check;
mod cluster;
mod engine;
mod failover;
mod faults;
mod figures;
mod lab;
mod net;
mod outside;
mod place;
mod process;
mod report;
mod run;
mod soak;
mod stay;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use sim::scenario::{CORE, NAMES, Scenario, named};
use tokio::signal::unix::{SignalKind, signal};

use cluster::Programs;
use engine::{Engine, EngineKind};
use failover::FailoverArgs;
use lab::{Needs, lacking};
use report::{Outcome, Summary};
use run::Watch;
use soak::SoakArgs;

/// LLMHub's scenarios on real processes.
#[derive(Debug, Parser)]
#[command(name = "chaos", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios
    Run(RunArgs),
    /// Kill leaders under load, and measure how long nobody can write
    Failover(FailoverArgs),
    /// Load and random faults for a long time, and a look at what grows
    Soak(SoakArgs),
    /// List the scenarios
    List,
}

/// The exit status when nothing failed and something could not be run here, as test harnesses have it.
const SKIPPED: u8 = 77;

#[derive(Debug, Args)]
struct RunArgs {
    /// Run every scenario
    #[arg(long, conflicts_with_all = ["core", "scenario"], required_unless_present_any = ["core", "scenario"])]
    all: bool,
    /// Run those that every change is held to
    #[arg(long, conflicts_with = "scenario")]
    core: bool,
    /// Run this one
    #[arg(long, value_name = "NAME")]
    scenario: Option<String>,
    /// How often
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: u32,
    /// The program (default: the `llmhub` beside this one)
    #[arg(long, value_name = "PATH")]
    llmhub: Option<PathBuf>,
    /// An older program, for scenarios that upgrade it
    #[arg(long, value_name = "PATH")]
    old: Option<PathBuf>,
    /// What runs the model (default: `llama` where the environment names its program and a model, else `mock`)
    #[arg(long)]
    engine: Option<EngineKind>,
    /// Deploy so many replicas instead of the scenario's
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=9))]
    replicas: Option<u32>,
    /// Keep the nodes' logs of runs that pass as well
    #[arg(long)]
    keep: bool,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::List => {
            NAMES.iter().for_each(|name| println!("{name}"));
            Ok(ExitCode::SUCCESS)
        }
        Command::Run(args) => start(args),
        Command::Failover(args) => fail_over(args),
        Command::Soak(args) => soak(args),
    };
    done.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}

fn start(args: RunArgs) -> anyhow::Result<ExitCode> {
    let scenarios = chosen(&args)?;
    let secluded = match scenarios.iter().any(|scenario| Needs::of(scenario).seclusion()) {
        // Before there are other threads.
        true => net::leave_host().map_err(|error| error.to_string()),
        false => Ok(()),
    };
    // One thread: the kernel ends a node when the thread that started it ends, and this one stays to the end.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(or_stop(Box::pin(run_all(args, &scenarios, &secluded))))
}

fn fail_over(args: FailoverArgs) -> anyhow::Result<ExitCode> {
    let llmhub = program(args.llmhub.as_deref())?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(or_stop(Box::pin(failover::run(args, llmhub))))
}

fn soak(args: SoakArgs) -> anyhow::Result<ExitCode> {
    let llmhub = program(args.llmhub.as_deref())?;
    // Before there are other threads.
    let secluded = net::leave_host().map_err(|error| error.to_string());
    let mut scenario = soak::scenario(&args, true);
    if let Some(why) = lacking(&scenario, &secluded, &llmhub.clone().into()) {
        println!("faults of the network are left out: {why}");
        scenario = soak::scenario(&args, false);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(or_stop(Box::pin(soak::run(args, scenario, llmhub))))
}

/// Works until done or told to stop; nodes that still run end with their cluster.
async fn or_stop(work: impl Future<Output = anyhow::Result<ExitCode>>) -> anyhow::Result<ExitCode> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        done = work => done,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("told to stop"),
    }
}

async fn run_all(
    args: RunArgs,
    scenarios: &[Scenario],
    secluded: &Result<(), String>,
) -> anyhow::Result<ExitCode> {
    let new = program(args.llmhub.as_deref())?;
    let old = args.old.as_deref().map(|old| program(Some(old))).transpose()?;
    let programs = Programs { new, old };
    let engine = Engine::choose(args.engine, |name| std::env::var(name).ok())?;
    println!("{} with the {} engine", programs.new.display(), engine.name());
    let mut outcomes: Vec<Outcome> = Vec::new();
    for round in 0..args.rounds {
        for scenario in scenarios {
            println!("{} …", scenario.name);
            let outcome = match lacking(scenario, secluded, &programs) {
                Some(why) => Outcome::skipped(scenario, why),
                None => {
                    let watch = Watch { keep: args.keep, ..Watch::default() };
                    run::run(scenario, &programs, &engine, round, watch).await
                }
            };
            print!("{}", report::story(&outcome));
            outcomes.push(outcome);
        }
    }
    let summary = Summary { engine: engine.name(), outcomes: &outcomes };
    if let Some(file) = &args.report {
        let text = serde_json::to_string_pretty(&summary.json())?;
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    print!("{}", summary.table());
    Ok(if outcomes.iter().any(Outcome::failed) {
        ExitCode::FAILURE
    } else if outcomes.iter().any(|outcome| outcome.skipped.is_some()) {
        ExitCode::from(SKIPPED)
    } else {
        ExitCode::SUCCESS
    })
}

fn chosen(args: &RunArgs) -> anyhow::Result<Vec<Scenario>> {
    let names: Vec<&str> = match &args.scenario {
        Some(name) => vec![name],
        None if args.core => CORE.to_vec(),
        None => NAMES.to_vec(),
    };
    let mut scenarios = Vec::new();
    for name in names {
        let Some(scenario) = named(name) else {
            bail!("there is no scenario `{name}`: use one of {}", NAMES.join(", "));
        };
        scenarios.push(match args.replicas {
            Some(replicas) => run::with_replicas(scenario, replicas),
            None => scenario,
        });
    }
    Ok(scenarios)
}

/// The program under test.
fn program(given: Option<&std::path::Path>) -> anyhow::Result<PathBuf> {
    let path = match given {
        Some(path) => path.to_owned(),
        None => std::env::current_exe()?.with_file_name("llmhub"),
    };
    if !path.is_file() {
        bail!("there is no {}: build it (`cargo build -p node`) or name it with --llmhub", path.display());
    }
    Ok(path.canonicalize()?)
}
