//! `sim`: runs seeds of the deterministic simulator, repeats one, or makes one that fails smaller.

mod entropy;
mod replay;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Parser, Subcommand};
use sim::child::{Running, What};
use sim::choice::Choice;
use sim::recipe::Recipe;
use sim::runner::{self, Batch};
use sim::scenario::NAMES;
use sim::{gossip, swarm, what_if};

/// Where minimised runs are kept unless it is said otherwise.
const FOUND: &str = ".data/sim";

#[derive(Parser)]
#[command(name = "sim", about = "Simulates whole clusters, each from a seed", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run many seeds, each in a process of its own; fails when one fails
    Run(RunArgs),
    /// Run one seed, or one file, here
    Replay {
        /// The seed
        #[arg(long, required_unless_present = "file")]
        seed: Option<u64>,
        #[command(flatten)]
        choice: Choice,
        /// A run that was minimised
        #[arg(long, conflicts_with_all = ["seed", "scenario", "nodes"])]
        file: Option<PathBuf>,
        /// Write every line of the trace to this file
        #[arg(long)]
        trace: Option<PathBuf>,
        /// Tell what it came to in one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a seed that fails smaller, as long as it fails in the same way
    Minimise {
        /// The seed
        #[arg(long)]
        seed: u64,
        #[command(flatten)]
        choice: Choice,
        #[command(flatten)]
        minimising: Minimising,
    },
    /// Tell what would happen to a cluster, of which `llmhub export --view FILE` wrote the view
    WhatIf {
        /// The exported view
        #[arg(long, value_name = "FILE")]
        view: PathBuf,
        /// What is lost: zone=NAME or node=NAME; may be given several times
        #[arg(long, required = true)]
        fault: Vec<what_if::Fault>,
        /// How long an engine takes to start, in seconds
        #[arg(long, default_value_t = 5.0, value_name = "SECONDS")]
        start: f64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Measure gossip alone, at sizes beyond whole nodes
    Gossip(GossipArgs),
    /// List the named scenarios
    List,
}

#[derive(Args)]
struct RunArgs {
    /// The seeds, `A..B` without B
    #[arg(long, value_parser = seeds, required_unless_present = "file")]
    seeds: Option<Range<u64>>,
    /// A run that was minimised, instead of seeds
    #[arg(long, conflicts_with = "seeds")]
    file: Option<PathBuf>,
    /// How many at a time
    #[arg(long, default_value_t = 1)]
    jobs: usize,
    #[command(flatten)]
    choice: Choice,
    /// Write a summary to this file, in Markdown
    #[arg(long, value_name = "FILE")]
    summary: Option<PathBuf>,
    #[command(flatten)]
    minimising: Minimising,
}

#[derive(Args)]
struct GossipArgs {
    /// Numbers of nodes
    #[arg(long, value_delimiter = ',', default_value = "10,30,100", value_parser = clap::value_parser!(u16).range(2..=1000))]
    nodes: Vec<u16>,
    /// Of a thousand datagrams, how many are lost
    #[arg(long, value_delimiter = ',', default_value = "0,10,50", value_parser = clap::value_parser!(u64).range(0..=900))]
    lost: Vec<u64>,
    /// How many nodes die in each run, one after the other
    #[arg(long, default_value_t = 50)]
    deaths: usize,
    /// What chance follows from
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write a plot to this file, as SVG
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
}

#[derive(Args)]
struct Minimising {
    /// How many runs minimising a failure may take; 0 leaves it as it is
    #[arg(long, default_value_t = 80)]
    tries: usize,
    /// The folder for minimised runs
    #[arg(long, default_value = FOUND, value_name = "DIR")]
    found: PathBuf,
}

fn main() -> anyhow::Result<ExitCode> {
    match Arguments::parse().command {
        Command::Run(args) => run(args),
        Command::Replay { file: Some(file), trace, json, .. } => {
            let recipe = Recipe::read(&file).with_context(|| file.display().to_string())?;
            replay::replay(recipe.seed, &recipe.scenario, trace.as_deref(), json)
        }
        Command::Replay { seed, choice, trace, json, .. } => {
            let seed = seed.context("name the seed")?;
            replay::replay(seed, &choice.scenario(seed)?, trace.as_deref(), json)
        }
        Command::Minimise { seed, choice, minimising } => minimise(seed, choice, minimising),
        Command::WhatIf { view, fault, start, json } => what_if(&view, &fault, start, json),
        Command::Gossip(args) => gossip(&args),
        Command::List => {
            NAMES.iter().for_each(|name| println!("{name}"));
            println!("{}", swarm::NAME);
            Ok(ExitCode::SUCCESS)
        }
    }
}

fn run(args: RunArgs) -> anyhow::Result<ExitCode> {
    if let Some(file) = &args.file {
        let passed = runner::repeat(&this_program()?, file).with_context(|| file.display().to_string())?;
        return Ok(ExitCode::from(u8::from(!passed)));
    }
    args.choice.scenario(0)?;
    let seeds = args.seeds.context("name the seeds")?;
    let summary = runner::run(&batch(seeds, args.jobs, args.choice, args.minimising)?)?;
    println!("{}", summary.text());
    if let Some(file) = &args.summary {
        std::fs::write(file, summary.markdown()).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(ExitCode::from(u8::from(summary.failed() > 0)))
}

fn minimise(seed: u64, choice: Choice, minimising: Minimising) -> anyhow::Result<ExitCode> {
    choice.scenario(seed)?;
    let batch = batch(seed..seed + 1, 1, choice, minimising)?;
    let outcome = Running::start(&batch.program, &What::Seed(seed, &batch.choice))?.wait()?;
    let Some(broken) = outcome.broken.first() else { bail!("seed {seed} passes: nothing to minimise") };
    outcome.complaints().iter().for_each(|line| println!("{line}"));
    runner::reduce(&batch, seed, broken)?;
    Ok(ExitCode::SUCCESS)
}

fn what_if(file: &Path, faults: &[what_if::Fault], start_s: f64, json: bool) -> anyhow::Result<ExitCode> {
    let name = || file.display().to_string();
    let text = std::fs::read_to_string(file).with_context(name)?;
    let export = serde_json::from_str(&text).with_context(name)?;
    let answer = what_if::ask(&export, faults, (start_s * 1000.0) as u64)?;
    if json {
        println!("{}", serde_json::to_string_pretty(&answer)?);
    } else {
        print!("{answer}");
    }
    Ok(ExitCode::SUCCESS)
}

fn gossip(args: &GossipArgs) -> anyhow::Result<ExitCode> {
    entropy::seed(args.seed);
    let mut all = Vec::new();
    for lost_permille in &args.lost {
        for nodes in &args.nodes {
            let (nodes, lost_permille) = (usize::from(*nodes), *lost_permille);
            let plan = gossip::Plan { nodes, lost_permille, deaths: args.deaths, seed: args.seed };
            eprintln!("{nodes} nodes, {} % lost …", lost_permille as f64 / 10.0);
            all.push(gossip::measure(plan)?);
        }
    }
    print!("{}", gossip::table(&all));
    if let Some(file) = &args.plot {
        std::fs::write(file, gossip::svg(&all)).with_context(|| format!("writing {}", file.display()))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn batch(seeds: Range<u64>, jobs: usize, choice: Choice, minimising: Minimising) -> anyhow::Result<Batch> {
    let Minimising { tries, found } = minimising;
    Ok(Batch { program: this_program()?, seeds, jobs, choice, tries, found })
}

fn this_program() -> anyhow::Result<PathBuf> {
    std::env::current_exe().context("finding this program")
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let ends = text.split_once("..").map(|(a, b)| (a.parse(), b.parse()));
    match ends {
        Some((Ok(first), Ok(end))) if first < end => Ok(first..end),
        _ => Err("write A..B with A less than B".to_owned()),
    }
}
