//! What LLMHub's metadata cost beside etcd: durable writes and linearizable reads through the interface that clients use,
//! three members each, in one run, taking turns. Processor time is that of all members together.

mod client;
pub mod etcd;

use crate::cpu::TreeTime;
use crate::llmhub::Cluster;
use crate::load::Tally;
use anyhow::Context;
use bytes::Bytes;
pub use client::Ask;
use client::{Client, Store};
use std::fmt::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Bytes of a value.
const VALUE_LEN: usize = 256;
/// Keys that are written, per client: every client has its own.
const KEYS_PER_CLIENT: usize = 64;

/// How much is measured.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Numbers of clients.
    pub clients: Vec<usize>,
    /// Rounds of each measurement; the stores take turns.
    pub rounds: u32,
    /// How long each lasts.
    pub each: Duration,
}

/// Which programs.
#[derive(Debug, Clone)]
pub struct Programs {
    pub llmhub: PathBuf,
    pub etcd: Option<PathBuf>,
}

/// What one store showed with some clients, over all rounds.
#[derive(Debug, Clone)]
pub struct Figure {
    pub store: &'static str,
    pub ask: Ask,
    pub clients: usize,
    pub tally: Tally,
    pub cpu: Duration,
}

struct Side {
    name: &'static str,
    store: Store,
    addresses: Vec<SocketAddr>,
    pids: Vec<u32>,
}

/// Starts both, measures, and stops them.
pub async fn run(programs: &Programs, plan: &Plan) -> anyhow::Result<Vec<Figure>> {
    let folder = tempfile::tempdir().context("make the run's folder")?;
    let mut cluster = Cluster::start(&programs.llmhub, folder.path()).await?;
    cluster.grow().await?;
    cluster.grow().await?;
    cluster.wait_for_voters(3).await?;
    let mut sides = vec![Side {
        name: "LLMHub",
        store: Store::LlmHub { key: cluster.key().to_owned() },
        addresses: cluster.nodes().iter().map(|node| node.http).collect(),
        pids: cluster.nodes().iter().map(crate::llmhub::Node::pid).collect(),
    }];
    let etcd = match &programs.etcd {
        Some(program) => Some(etcd::Etcd::start(program, folder.path()).await?),
        None => None,
    };
    sides.extend(etcd.as_ref().map(|etcd| Side {
        name: "etcd",
        store: Store::Etcd,
        addresses: etcd.addresses.clone(),
        pids: etcd.pids(),
    }));
    let mut figures = Vec::new();
    for ask in [Ask::Put, Ask::Get] {
        for clients in &plan.clients {
            let start = figures.len();
            for side in &sides {
                let (tally, cpu) = (Tally::default(), Duration::ZERO);
                figures.push(Figure { store: side.name, ask, clients: *clients, tally, cpu });
            }
            for round in 0..plan.rounds {
                for (side, figure) in sides.iter().zip(&mut figures[start..]) {
                    eprintln!("bench: {} {ask:?} with {clients} clients, round {}", side.name, round + 1);
                    measure(side, figure, plan.each).await?;
                }
            }
        }
    }
    Ok(figures)
}

async fn measure(side: &Side, figure: &mut Figure, each: Duration) -> anyhow::Result<()> {
    let mut clients = Vec::new();
    for n in 0..figure.clients {
        clients.push(Client::open(&side.store, side.addresses[n % side.addresses.len()]).await?);
    }
    // What is read must be there.
    let ask = figure.ask;
    drive(clients.iter_mut(), Ask::Put).await?;
    let before = read_cpu(&side.pids)?;
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for (n, client) in clients.into_iter().enumerate() {
        tasks.spawn(one_client(client, n, ask, start + each));
    }
    let mut tally = Tally::default();
    while let Some(joined) = tasks.join_next().await {
        tally.merge(joined.context("a client failed")?);
    }
    tally.elapsed = start.elapsed() + figure.tally.elapsed;
    let after = read_cpu(&side.pids)?;
    figure.cpu += after.iter().zip(&before).map(|(after, before)| after.since(before)).sum::<Duration>();
    figure.tally.merge(tally);
    Ok(())
}

async fn drive(clients: impl Iterator<Item = &mut Client>, ask: Ask) -> anyhow::Result<()> {
    let value = Bytes::from(vec![b'v'; VALUE_LEN]);
    for (n, client) in clients.enumerate() {
        client.ask(ask, &key(n, 0), &value).await?;
    }
    Ok(())
}

async fn one_client(mut client: Client, n: usize, ask: Ask, end: Instant) -> Tally {
    let value = Bytes::from(vec![b'v'; VALUE_LEN]);
    let mut tally = Tally::default();
    for turn in 0.. {
        let start = Instant::now();
        if start >= end {
            break;
        }
        let key = if ask == Ask::Put { key(n, turn % KEYS_PER_CLIENT) } else { key(n, 0) };
        match client.ask(ask, &key, &value).await {
            Ok(()) => {
                tally.latency.push(start.elapsed());
                tally.done += 1;
            }
            Err(error) => {
                tally.fail(&error);
                break;
            }
        }
    }
    tally
}

fn key(client: usize, turn: usize) -> String {
    format!("bench/{client:04}/{turn:04}")
}

fn read_cpu(pids: &[u32]) -> anyhow::Result<Vec<TreeTime>> {
    Ok(pids.iter().map(|pid| TreeTime::read(*pid)).collect::<Result<_, _>>()?)
}

/// The figures as a Markdown table; ratios are LLMHub's to etcd's.
pub fn render(figures: &[Figure]) -> String {
    let mut out = String::from(
        "| | clients | store | a second | p50 ms | p99 ms | CPU µs each | errors |\n|---|---|---|---|---|---|---|---|\n",
    );
    for figure in figures {
        let Figure { store, ask, clients, tally, cpu } = figure;
        let what = if *ask == Ask::Put { "durable write" } else { "linearizable read" };
        let ms = |d: Duration| d.as_secs_f64() * 1e3;
        let (p50, p99) = tally.latency.summary().map_or((0.0, 0.0), |s| (ms(s.p50), ms(s.p99)));
        let each = cpu.as_secs_f64() * 1e6 / tally.done.max(1) as f64;
        let rate = tally.per_second();
        let errors = tally.errors;
        // Writing into a String cannot fail.
        let _ = writeln!(
            out,
            "| {what} | {clients} | {store} | {rate:.0} | {p50:.2} | {p99:.2} | {each:.0} | {errors} |"
        );
        if let Some(error) = &tally.first_error {
            let _ = writeln!(out, "| | | | first error: {error} | | | | |");
        }
    }
    out
}
