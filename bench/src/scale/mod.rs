//! What a large cluster's metadata cost on real processes: three nodes are filled with API keys and deployments through HTTP,
//! then looked at, restarted, joined and asked beside an empty cluster. Used by `bench scale`.
//!
//! The deployments want no replicas, so that no engine runs: what is measured is the metadata. It never asserts on time.

mod ask;
mod fill;
mod look;
mod restore;
mod tables;

use crate::child::{Child, free_ports};
use crate::llmhub::Cluster;
use crate::nginx::wait_healthy;
use anyhow::Context;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
pub use tables::render;

/// Clients that fill the tables, each with a connection of its own.
const CLIENTS: usize = 64;
/// How long idle nodes are watched.
const IDLE: Duration = Duration::from_secs(10);

/// How much there is to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    pub deployments: usize,
    pub keys: usize,
}

/// What filling one table showed, a tenth of it at a time.
#[derive(Debug, Clone)]
pub struct Filled {
    pub what: &'static str,
    pub count: usize,
    pub tenths: Vec<Tenth>,
}

/// A tenth of the rows.
#[derive(Debug, Clone, Copy)]
pub struct Tenth {
    pub rows: usize,
    pub took: Duration,
    /// Processor time of all nodes together.
    pub cpu: Duration,
    pub p50: Duration,
    pub p99: Duration,
}

/// What the nodes take at one moment, each on average.
#[derive(Debug, Clone)]
pub struct Weight {
    pub when: &'static str,
    pub resident_bytes: u64,
    pub disk_bytes: u64,
    /// Of one core.
    pub idle_percent: f64,
}

/// One request, asked again and again, one at a time.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub p50: Duration,
    pub longest: Duration,
    /// Processor time of all nodes, each.
    pub cpu: Duration,
    pub bytes: usize,
}

/// Plain chats, one at a time, through the large cluster and through an empty one.
#[derive(Debug, Clone, Copy)]
pub struct Chats {
    pub p50: Duration,
    pub p99: Duration,
    pub cpu: Duration,
}

/// A backup of everything, and its restore into a new cluster. Every row came back byte by byte.
#[derive(Debug, Clone, Copy)]
pub struct Restored {
    /// Nodes of the new cluster.
    pub nodes: usize,
    pub rows: usize,
    pub backup: Duration,
    /// Another one, when nothing had changed.
    pub again: Duration,
    /// Reading and opening both.
    pub verify: Duration,
    pub restore: Duration,
}

/// Everything that was measured.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    pub filled: Vec<Filled>,
    pub weights: Vec<Weight>,
    pub asked: Vec<Asked>,
    /// Until a node that was stopped, or killed, is ready again, and until a fourth one is; each with when it had all there was.
    pub starts: Vec<(&'static str, Duration, Duration)>,
    pub chats: Option<(Chats, Chats)>,
    pub restored: Option<Restored>,
}

/// Starts three nodes, measures, and stops them.
pub async fn run(llmhub: &Path, plan: Plan) -> anyhow::Result<Figures> {
    let folder =
        tempfile::Builder::new().prefix("llmhub-scale-").tempdir().context("make the run's folder")?;
    let (_upstream, upstream) = upstream(folder.path()).await?;
    let mut cluster = three_nodes(llmhub, &folder.path().join("large"), upstream).await?;
    let mut figures = Figures::default();
    figures.weights.push(look::weight(&cluster, "empty").await?);
    progress(&format!("making {} keys", plan.keys));
    figures.filled.push(fill::fill(&cluster, fill::What::Keys, plan.keys).await?);
    figures.weights.push(look::weight(&cluster, "with the keys").await?);
    progress(&format!("making {} deployments", plan.deployments));
    figures.filled.push(fill::fill(&cluster, fill::What::Deployments, plan.deployments).await?);
    figures.weights.push(look::weight(&cluster, "with the deployments too").await?);
    for path in look::PATHS {
        progress(&format!("asking for {path}"));
        figures.asked.push(look::ask(&cluster, path).await?);
    }
    for (how, kill) in [("stopped and started", false), ("killed and started", true)] {
        progress(&format!("a node is {how}"));
        let (ready, caught_up) = look::restart(&mut cluster, 2, kill).await?;
        figures.starts.push((how, ready, caught_up));
    }
    progress("a fourth node joins");
    let (ready, caught_up) = look::join(&mut cluster).await?;
    figures.starts.push(("a fourth node joins", ready, caught_up));
    progress("chats, beside an empty cluster");
    let empty = three_nodes(llmhub, &folder.path().join("small"), upstream).await?;
    figures.chats = Some(look::chats(&cluster, &empty).await?);
    drop(empty);
    figures.restored = Some(restore::restore(llmhub, folder.path(), &cluster).await?);
    Ok(figures)
}

async fn upstream(folder: &Path) -> anyhow::Result<(Child, std::net::SocketAddr)> {
    let [address] = free_ports::<1>()?;
    let own: PathBuf = std::env::current_exe().context("find this program")?;
    let mut command = Command::new(own);
    command.args(["upstream", "--listen", &address.to_string()]);
    let mut child = Child::start("the mock upstream", &mut command, &folder.join("upstream.out"))?;
    wait_healthy(&mut child, address).await?;
    Ok((child, address))
}

async fn three_nodes(
    llmhub: &Path,
    folder: &Path,
    upstream: std::net::SocketAddr,
) -> anyhow::Result<Cluster> {
    std::fs::create_dir_all(folder)?;
    let mut cluster = Cluster::start(llmhub, folder).await?;
    cluster.add_provider(upstream).await?;
    cluster.join().await?;
    cluster.join().await?;
    cluster.wait_for_voters(3).await?;
    Ok(cluster)
}

fn progress(text: &str) {
    eprintln!("bench: {text}");
}
