//! `chaos failover`: how long nobody can write after the leader was killed, many times over, of LLMHub and, where it is
//! installed, of etcd, in turns and by the same clients. Figures are told, never judged.

mod etcd;
mod hub;
mod samples;
mod writers;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use async_trait::async_trait;
use clap::Args;
use serde_json::json;
use sim::Dice;
use sim::workload::{Ask, Clients};
use tokio::time::{Instant, sleep};

use crate::report::Folder;
use etcd::Etcd;
use hub::Hub;
use samples::Samples;
use writers::Writers;

/// Members of each store.
const MEMBERS: usize = 3;
/// Writes that must be acknowledged before a leader is killed: the least, and how many more by chance.
const WARM_UP: u64 = 100;
const WARM_UP_MORE: u64 = 400;
/// How long a store may take to become well, to take writes, and to take one after a kill.
const PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks at something that is waited for.
const LOOK: Duration = Duration::from_millis(20);

/// Options of `chaos failover`.
#[derive(Debug, Args)]
pub(crate) struct FailoverArgs {
    /// How many leaders to kill, of each store
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    kills: u32,
    /// Clients that write all the time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1024))]
    writers: u32,
    /// The program (default: the `llmhub` beside this one)
    #[arg(long, value_name = "PATH")]
    pub(crate) llmhub: Option<PathBuf>,
    /// Measure this etcd as well
    #[arg(long, value_name = "PATH")]
    etcd: Option<PathBuf>,
    /// What is left to chance follows from it
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write the figures to this file, as JSON
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// A write of a value under a key, as a request.
pub(crate) type Write = fn(key: u32, value: u64) -> Ask;

/// Something with three members of which one leads.
#[async_trait]
pub(crate) trait Store: Send {
    /// Its name in reports.
    fn name(&self) -> &'static str;
    /// How to talk to its members.
    fn clients(&self) -> &Clients;
    /// How to write a value, never used before, under a key that nobody else writes.
    fn write(&self) -> Write;
    /// Looks after its members, and says whether nothing is pending.
    ///
    /// # Errors
    /// When the system cannot start a member.
    async fn is_well(&mut self) -> anyhow::Result<bool>;
    /// The member that leads, when all agree.
    async fn leader(&self) -> Option<usize>;
    /// Kills a member with SIGKILL.
    async fn kill(&mut self, member: usize);
    /// Starts it again.
    ///
    /// # Errors
    /// When the system cannot.
    fn restart(&mut self, member: usize) -> anyhow::Result<()>;
    /// Anything that should not have happened.
    fn complaint(&self) -> Option<String> {
        None
    }
}

/// Measures, and tells.
///
/// # Errors
/// When a store does not work at all.
pub(crate) async fn run(args: FailoverArgs, llmhub: PathBuf) -> anyhow::Result<ExitCode> {
    let folder = Folder::named("failover")?;
    let mut stores: Vec<(Box<dyn Store>, Samples)> = Vec::new();
    stores.push((Box::new(Hub::start(&llmhub, folder.path()).await?), Samples::default()));
    if let Some(program) = &args.etcd {
        stores.push((Box::new(Etcd::start(program, folder.path())?), Samples::default()));
    }
    let mut dice = Dice::of(args.seed, "failover");
    for kill in 0..args.kills {
        for (store, samples) in &mut stores {
            let took = once(store.as_mut(), args.writers, kill, &mut dice).await;
            let took = took.with_context(|| format!("{}, kill {}", store.name(), kill + 1))?;
            samples.push(took);
        }
        let told: Vec<String> = stores.iter().map(|(store, s)| s.last(store.name())).collect();
        println!("kill {}: {}", kill + 1, told.join(", "));
    }
    print!("{}", samples::table(stores.iter().map(|(store, samples)| (store.name(), samples))));
    let complaints: Vec<String> = stores.iter().filter_map(|(store, _)| store.complaint()).collect();
    complaints.iter().for_each(|what| println!("{what}"));
    if let Some(file) = &args.report {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let rows: Vec<_> = stores.iter().map(|(store, samples)| samples.json(store.name())).collect();
        let text = json!({ "kills": args.kills, "writers": args.writers, "cores": cores, "stores": rows });
        std::fs::write(file, serde_json::to_string_pretty(&text)?)
            .with_context(|| format!("write {}", file.display()))?;
    }
    Ok(if complaints.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Kills a leader under load, and answers how long it took from its death to the first write that was begun after it and
/// acknowledged.
async fn once(store: &mut dyn Store, writers: u32, round: u32, dice: &mut Dice) -> anyhow::Result<Duration> {
    until_well(store).await?;
    let writers = Writers::start(store, writers, round);
    let enough = WARM_UP + dice.between(0, WARM_UP_MORE);
    writers.until("the store takes no writes", PATIENCE, |seen| seen.acknowledged >= enough).await?;
    // It may have changed under load; who is killed must be the one that leads now.
    let leader = store.leader().await.context("nobody leads any more")?;
    store.kill(leader).await;
    let killed = Instant::now();
    writers.killed(killed);
    let took = writers
        .until("nobody could write again", PATIENCE, |seen| seen.first_after.is_some())
        .await?
        .first_after
        .map(|first| first.saturating_duration_since(killed));
    writers.stop().await;
    store.restart(leader)?;
    took.context("no write was acknowledged")
}

async fn until_well(store: &mut dyn Store) -> anyhow::Result<()> {
    let limit = Instant::now() + PATIENCE;
    while !store.is_well().await? || store.leader().await.is_none() {
        if Instant::now() > limit {
            bail!("it does not become well");
        }
        sleep(LOOK * 5).await;
    }
    Ok(())
}

/// The only one of these, if they are all the same.
fn agreed<T: PartialEq>(told: Vec<Option<T>>) -> Option<T> {
    let mut told = told.into_iter();
    let first = told.next().flatten()?;
    told.all(|other| other.as_ref() == Some(&first)).then_some(first)
}
