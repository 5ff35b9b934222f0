//! The command line of `bench`: arguments, signals and exit codes. The work is in the library beside it.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // a benchmark reads the real clock

use anyhow::Context;
use bench::cpu::TreeTime;
use bench::load::{Call, StreamPlan, Tally, closed_loop, open_loop, streams};
use bench::plan::Plan;
use bench::suite::Options;
use bench::{conditions, llmhub, metadata, nginx, report, scale, suite, upstream};
use clap::{Args, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{SignalKind, signal};

/// Where the figures that are kept lie, from the root of the checkout.
const KEPT_PAGE: &str = "docs/benchmarks.md";

/// What a request through LLMHub costs, beside the same request sent directly and through nginx.
///
/// Everything runs on 127.0.0.1, on ports that are picked, and is stopped at the end.
#[derive(Parser)]
#[command(name = "bench", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure everything in one run and print the tables
    All(All),
    /// Send load to one address and print what came of it
    Load(Load),
    /// Measure writes and reads of metadata beside etcd
    Metadata(Metadata),
    /// Fill a cluster with keys and deployments, and measure what that costs
    Scale(Scale),
    /// Serve as a mock OpenAI provider until stopped
    Upstream(Upstream),
}

/// Starts the mock upstream, nginx and three nodes, measures each way in turn, prints Markdown to standard output (progress
/// goes to standard error) and stops everything. Takes about six minutes, with --quick under one.
#[derive(Args)]
struct All {
    /// Shorter and noisier
    #[arg(long)]
    quick: bool,
    /// The llmhub binary [default: the one beside this program, else on PATH]
    #[arg(long, value_name = "PATH")]
    llmhub: Option<PathBuf>,
    /// The nginx binary [default: on PATH]
    #[arg(long, value_name = "PATH")]
    nginx: Option<PathBuf>,
    /// Leave a proxy out; may be given twice
    #[arg(long, value_name = "PROXY")]
    without: Vec<Proxy>,
    /// Rounds of each measurement, instead of the plan's
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: Option<u32>,
    /// A JSON file of the chaos driver, whose figures are put into the page; may be given several times
    #[arg(long, value_name = "FILE")]
    chaos_report: Vec<PathBuf>,
    /// Write the page to this file as well [default: docs/benchmarks.md, if nothing is shortened or left out]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Starts three nodes and three members of etcd, lets clients write (256 bytes, durable) and read (linearizable) through
/// each in turn, and prints Markdown to standard output.
#[derive(Args)]
struct Metadata {
    /// Numbers of clients, each with a connection of its own
    #[arg(long, value_name = "N", value_delimiter = ',', default_value = "1,16,64,256")]
    clients: Vec<usize>,
    /// Rounds of each measurement
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// How long each lasts, in seconds
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// The llmhub binary [default: the one beside this program, else on PATH]
    #[arg(long, value_name = "PATH")]
    llmhub: Option<PathBuf>,
    /// The etcd binary [default: on PATH]
    #[arg(long, value_name = "PATH")]
    etcd: Option<PathBuf>,
    /// Measure LLMHub alone
    #[arg(long)]
    without_etcd: bool,
}

/// Starts three nodes, lets 64 clients fill them with keys and with deployments that want no replicas, then looks at what
/// nodes weigh, how long listings, a restart and a fourth node take, and chats beside an empty cluster. Prints Markdown.
#[derive(Args)]
struct Scale {
    /// Deployments to make
    #[arg(long, value_name = "N", default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(10..=99_999))]
    deployments: u32,
    /// API keys to make
    #[arg(long, value_name = "N", default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(10..=999_999))]
    keys: u32,
    /// The llmhub binary [default: the one beside this program, else on PATH]
    #[arg(long, value_name = "PATH")]
    llmhub: Option<PathBuf>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Proxy {
    Nginx,
    Llmhub,
}

/// Without --rate or --streams, a closed loop: each connection sends its next request when the last was answered.
#[derive(Args)]
struct Load {
    /// Where to send it
    #[arg(long, value_name = "IP:PORT")]
    to: SocketAddr,
    /// The model to ask for
    #[arg(long, default_value = "bench-model")]
    model: String,
    /// The key to send; better from the environment than as an argument, which others can see
    #[arg(long, env = "LLMHUB_KEY", hide_env_values = true)]
    key: Option<String>,
    /// How long, in seconds
    #[arg(long, value_name = "S", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Connections of the closed loop
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Send that many requests a second, whether or not earlier ones were answered
    #[arg(long, value_name = "N", conflicts_with = "streams", value_parser = clap::value_parser!(u32).range(1..=100_000))]
    rate: Option<u32>,
    /// Run that many streams at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=4096))]
    streams: Option<u32>,
    /// The pace of their events, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pace_ms: u32,
    /// Tell the processor time of this process and its descendants, per answer or event
    #[arg(long)]
    pid: Option<u32>,
}

/// POST /v1/chat/completions answers a fixed text or, with "stream": true, a paced stream; GET /v1/models and /health
/// answer too. A request's field "mock": {"chunks": 64, "chunk_delay_ms": 20, "delay_ms": 0} replaces the flags below.
#[derive(Args)]
struct Upstream {
    /// Where to listen; port 0 picks one, which is printed
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:9100")]
    listen: SocketAddr,
    /// Content events of a stream
    #[arg(long, value_name = "N", default_value_t = 64)]
    chunks: u32,
    /// The delay between them, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 20)]
    chunk_delay_ms: u64,
    /// The delay before an answer or the first event, in milliseconds
    #[arg(long, value_name = "MS", default_value_t = 0)]
    delay_ms: u64,
    /// Threads, each with a runtime of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Command::All(all) => run_until_stopped(run_all(all)),
        Command::Load(load) => run_until_stopped(run_load(load)),
        Command::Metadata(metadata) => run_until_stopped(run_metadata(metadata)),
        Command::Scale(scale) => run_until_stopped(run_scale(scale)),
        Command::Upstream(upstream) => run_upstream(&upstream),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_all(all: All) -> anyhow::Result<()> {
    let out = out_file(&all);
    let wanted = |proxy| !all.without.contains(&proxy);
    let plan = if all.quick { Plan::quick() } else { Plan::full() };
    let options = Options {
        bench: std::env::current_exe().context("find this program")?,
        nginx: wanted(Proxy::Nginx).then(|| nginx::program(all.nginx.as_deref())).transpose()?,
        llmhub: wanted(Proxy::Llmhub).then(|| llmhub::program(all.llmhub.as_deref())).transpose()?,
        plan: Plan { rounds: all.rounds.unwrap_or(plan.rounds), ..plan },
        chaos_reports: all.chaos_report,
    };
    let conditions = options.conditions();
    for (label, value) in &conditions {
        eprintln!("bench: {label}: {value}");
    }
    let results = suite::run(&options).await?;
    let page = report::render(&conditions, &results);
    print!("{page}");
    if let Some(file) = &out {
        report::write(file, &page)?;
        eprintln!("bench: written to {}", file.display());
    }
    Ok(())
}

async fn run_metadata(asked: Metadata) -> anyhow::Result<()> {
    let etcd = (!asked.without_etcd).then(|| metadata::etcd::program(asked.etcd.as_deref())).transpose()?;
    let programs = metadata::Programs { llmhub: llmhub::program(asked.llmhub.as_deref())?, etcd };
    let Metadata { clients, rounds, seconds, .. } = asked;
    let plan = metadata::Plan { clients, rounds, each: Duration::from_secs(seconds) };
    print!("{}", metadata::render(&metadata::run(&programs, &plan).await?));
    Ok(())
}

async fn run_scale(asked: Scale) -> anyhow::Result<()> {
    let program = llmhub::program(asked.llmhub.as_deref())?;
    let mut conditions = conditions::machine();
    conditions.push(("llmhub".to_owned(), conditions::llmhub_version(&program)));
    let plan = scale::Plan { deployments: asked.deployments as usize, keys: asked.keys as usize };
    print!("{}", scale::render(&conditions, &scale::run(&program, plan).await?));
    Ok(())
}

/// A passing look must not replace the figures that are kept.
fn out_file(all: &All) -> Option<PathBuf> {
    let whole = !all.quick && all.rounds.is_none() && all.without.is_empty();
    all.out.clone().or_else(|| whole.then(|| PathBuf::from(KEPT_PAGE)))
}

async fn run_load(load: Load) -> anyhow::Result<()> {
    let duration = Duration::from_secs(load.seconds.into());
    let plain = Call::plain(load.to, &load.model, load.key.as_deref())?;
    let before = load.pid.map(TreeTime::read).transpose()?;
    let tally = match (load.rate, load.streams) {
        (Some(rate), _) => open_loop(&plain, rate, duration).await,
        (None, Some(count)) => {
            let chunks = (load.seconds.saturating_mul(1000) / load.pace_ms).clamp(1, upstream::CHUNKS_MAX);
            let plan =
                StreamPlan { streams: count, chunks, pace: Duration::from_millis(load.pace_ms.into()) };
            let call = Call::streamed(load.to, &load.model, load.key.as_deref(), chunks, plan.pace)?;
            streams(&call, plan).await
        }
        (None, None) => closed_loop(&plain, load.connections.into(), duration).await,
    };
    let after = load.pid.map(TreeTime::read).transpose()?;
    print_tally(&tally);
    if let (Some(before), Some(after), 1..) = (before, after, tally.done) {
        println!("cpu_us_each   {:.2}", after.since(&before).as_secs_f64() * 1e6 / tally.done as f64);
    }
    anyhow::ensure!(tally.done > 0, "no request succeeded");
    Ok(())
}

fn print_tally(tally: &Tally) {
    println!(
        "done          {}\nerrors        {}\nper_second    {:.1}",
        tally.done,
        tally.errors,
        tally.per_second()
    );
    let series = [("latency", &tally.latency), ("first_event", &tally.first), ("send_late", &tally.lateness)];
    for (name, samples) in series {
        if let Some(s) = samples.summary() {
            println!("{name:<13} p50 {:?}  p90 {:?}  p99 {:?}  max {:?}", s.p50, s.p90, s.p99, s.max);
        }
    }
    if let Some(error) = &tally.first_error {
        println!("first_error   {error}");
    }
}

fn run_upstream(arguments: &Upstream) -> anyhow::Result<()> {
    let script = upstream::Script {
        chunks: arguments.chunks.min(upstream::CHUNKS_MAX),
        chunk_delay: Duration::from_millis(arguments.chunk_delay_ms.min(upstream::DELAY_MS_MAX)),
        delay: Duration::from_millis(arguments.delay_ms.min(upstream::DELAY_MS_MAX)),
    };
    let shared = arguments.threads > 1;
    let listen = |address| upstream::listen(address, shared).with_context(|| format!("listen on {address}"));
    let runtime = one_thread()?;
    let first = runtime.block_on(async { listen(arguments.listen) })?;
    let address = first.local_addr()?;
    for _ in 1..arguments.threads {
        let runtime = one_thread()?;
        let listener = runtime.block_on(async { listen(address) })?;
        std::thread::spawn(move || runtime.block_on(upstream::serve(listener, script)));
    }
    println!("listening on http://{address}");
    runtime.block_on(async { upstream::serve(first, script).await.map(drop) }).context("serve")
}

/// Drops the work, and with it every child, when a signal asks us to stop.
fn run_until_stopped(work: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    one_thread()?.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        tokio::select! {
            outcome = work => outcome,
            _ = interrupt.recv() => anyhow::bail!("interrupted"),
            _ = terminate.recv() => anyhow::bail!("terminated"),
        }
    })
}

fn one_thread() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("start the runtime")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn out(arguments: &[&str]) -> Option<PathBuf> {
        let all = ["bench", "all"].iter().chain(arguments);
        match Arguments::try_parse_from(all).map(|a| a.command) {
            Ok(Command::All(all)) => out_file(&all),
            _ => panic!("not understood: {arguments:?}"),
        }
    }

    #[test]
    fn only_a_whole_run_replaces_the_kept_page_by_itself() {
        assert_eq!(out(&[]), Some(PathBuf::from(KEPT_PAGE)));
        assert_eq!(out(&["--quick"]), None);
        assert_eq!(out(&["--without", "nginx"]), None);
        assert_eq!(out(&["--quick", "--out", "x.md"]), Some(PathBuf::from("x.md")));
    }
}
