//! `chaos soak`: a cluster under load and random faults for a long time, its nodes' memory, open files, threads and disk
//! watched. It fails where a scenario would (an acknowledged write lost, a request that hangs, a node that does not come
//! back), and where something grows faster than the limits declared here.

mod plan;
mod plot;
pub(crate) mod sample;
mod trend;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Value, json};
use sim::scenario::Scenario;

use crate::engine::{Engine, EngineKind};
use crate::report::{self, Outcome, Summary};
use crate::run::{self, Watch};
use sample::{Quantity, Sampler};
use trend::Growth;

/// Options of `chaos soak`.
#[derive(Debug, Args)]
pub(crate) struct SoakArgs {
    /// How long clients work
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    minutes: u32,
    /// Which faults come when follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The program (default: the `llmhub` beside this one)
    #[arg(long, value_name = "PATH")]
    pub(crate) llmhub: Option<PathBuf>,
    /// What runs the model (default: `llama` where the environment names its program and a model, else `mock`)
    #[arg(long)]
    engine: Option<EngineKind>,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Draw what was sampled into this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

/// The scenario of a soak; with faults of the network where there can be one.
pub(crate) fn scenario(args: &SoakArgs, network: bool) -> Scenario {
    plan::scenario(args.minutes, args.seed, network)
}

/// Runs, judges, and tells.
///
/// # Errors
/// When a report cannot be written.
pub(crate) async fn run(args: SoakArgs, scenario: Scenario, llmhub: PathBuf) -> anyhow::Result<ExitCode> {
    let engine = Engine::choose(args.engine, |name| std::env::var(name).ok())?;
    println!("{} with the {} engine, {} faults:", scenario.name, engine.name(), scenario.steps.len());
    let watch = Watch { sampler: Some(Sampler::default()), keep: false };
    let outcome = run::run(&scenario, &llmhub.into(), &engine, 0, watch).await;
    let growths = trend::growths(&outcome.samples, &plan::steady(scenario.nodes));
    print!("{}", report::story(&outcome));
    print!("{}", table(&growths));
    if let Some(file) = &args.report {
        let text = serde_json::to_string_pretty(&figures(&args, &engine, &outcome, &growths))?;
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    if let Some(file) = &args.plot {
        let strikes: Vec<_> = outcome.figures.costs.iter().map(|(strike, _)| strike.at).collect();
        let text = plot::svg(&outcome.samples, scenario.nodes, &strikes);
        std::fs::write(file, text).with_context(|| format!("write {}", file.display()))?;
    }
    let steady = growths.iter().all(|growth| !growth.is_too_fast());
    Ok(if outcome.passed() && steady { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn figures(args: &SoakArgs, engine: &Engine, outcome: &Outcome, growths: &[Growth]) -> Value {
    let outcomes = std::slice::from_ref(outcome);
    let mut told = Summary { engine: engine.name(), outcomes }.json();
    told["minutes"] = json!(args.minutes);
    told["seed"] = json!(args.seed);
    told["faults"] = json!(outcome.figures.costs.len());
    let rows: Vec<Value> = growths.iter().map(Growth::json).collect();
    told["growth"] = json!(rows);
    told
}

fn table(growths: &[Growth]) -> String {
    let mut text = String::from("\ngrowth an hour, after warming up:\n");
    for growth in growths {
        text.push_str(&format!("  {growth}\n"));
    }
    if growths.is_empty() {
        text.push_str("  too short to tell\n");
    }
    text
}

/// What may grow how fast, an hour, on a node that runs all the time; and the growth within a run below which it is noise.
/// The load leaves four keys a second behind, which are rows in memory and on disk.
fn limit(quantity: Quantity) -> (f64, f64) {
    match quantity {
        Quantity::MemoryMib => (120.0, 16.0),
        Quantity::OpenFiles => (120.0, 64.0),
        Quantity::Threads => (12.0, 4.0),
        Quantity::DiskMib => (600.0, 64.0),
    }
}
