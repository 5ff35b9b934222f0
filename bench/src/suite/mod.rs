//! The whole run: starts what is needed, measures each way in turn, stops everything. Used by `bench all`.
//!
//! Order matters: what is measured with one node comes before the others are started, and the idle nodes are watched
//! before an engine runs on one of them. It never asserts on time; it fails where no request succeeds at all.

mod hop;
mod rounds;

use crate::child::Child;
use crate::llmhub::Cluster;
use crate::nginx::{Nginx, wait_healthy};
use crate::plan::Plan;
use crate::results::{Idle, Results, Via};
use crate::{child, conditions, cpu, failover, nginx};
use anyhow::Context;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;
use tempfile::TempDir;

/// Nodes of the cluster once all have joined.
const NODES: usize = 3;

/// What to measure with which programs.
#[derive(Debug, Clone)]
pub struct Options {
    /// This program, which also is the mock upstream.
    pub bench: PathBuf,
    /// Left out where there is none.
    pub nginx: Option<PathBuf>,
    /// Left out where there is none.
    pub llmhub: Option<PathBuf>,
    pub plan: Plan,
    /// JSON files with failover figures.
    pub chaos_reports: Vec<PathBuf>,
}

impl Options {
    /// The machine, the programs and the plan, for the report.
    pub fn conditions(&self) -> Vec<(String, String)> {
        let version = |program: &Option<PathBuf>, of: fn(&Path) -> String| {
            program.as_deref().map_or_else(|| "left out".to_owned(), of)
        };
        let mut all = conditions::machine();
        all.push(("nginx (one worker)".to_owned(), version(&self.nginx, nginx::version)));
        all.push(("llmhub".to_owned(), version(&self.llmhub, conditions::llmhub_version)));
        all.push(("plan".to_owned(), self.plan.describe()));
        all
    }
}

/// One way to the mock upstream, as the generator sees it.
#[derive(Debug, Clone)]
struct Way {
    via: Via,
    address: SocketAddr,
    key: Option<String>,
    /// The proxy's process, whose tree is charged for the work.
    pid: Option<u32>,
}

/// Everything that runs; children are declared, and so stopped, before the folder they write to goes.
struct Stage {
    nginx: Option<Nginx>,
    cluster: Option<Cluster>,
    upstream_address: SocketAddr,
    _upstream: Child,
    _folder: TempDir,
}

/// Runs everything. Dropping the future stops all programs as well.
pub async fn run(options: &Options) -> anyhow::Result<Results> {
    let plan = &options.plan;
    // Read first: a typo in its name should not cost minutes.
    let read: anyhow::Result<Vec<_>> =
        options.chaos_reports.iter().map(|file| failover::read(file)).collect();
    let failover = read?.concat();
    let mut stage = Stage::set(options).await?;
    let ways = stage.ways();
    let mut results = Results { failover, ..Results::default() };
    rounds::warm_up(&ways, plan).await?;
    results.plain = rounds::plain(&ways, plan).await?;
    for &rate in &plan.rates {
        results.fixed.insert(rate, rounds::fixed(&ways, plan, rate).await?);
    }
    results.streams = rounds::streams(&ways, plan).await?;
    results.first_event = rounds::first_event(&ways, plan).await?;
    if let Some(cluster) = &mut stage.cluster {
        while cluster.nodes().len() < NODES {
            progress(&format!("starting node {}", cluster.nodes().len() + 1));
            cluster.join().await?;
        }
        results.idle = idle(cluster, plan).await?;
        progress("deploying a replica of the mock engine");
        cluster.deploy().await?;
        results.hop = Some(hop::measure(cluster, plan).await?);
    }
    Ok(results)
}

impl Stage {
    async fn set(options: &Options) -> anyhow::Result<Stage> {
        let folder = tempfile::Builder::new()
            .prefix("llmhub-bench-")
            .tempdir()
            .context("make a folder for the run")?;
        let [upstream_address] = child::free_ports::<1>()?;
        let mut command = Command::new(&options.bench);
        command.args(["upstream", "--listen", &upstream_address.to_string()]);
        let mut upstream =
            Child::start("the mock upstream", &mut command, &folder.path().join("upstream.out"))?;
        wait_healthy(&mut upstream, upstream_address).await?;
        let nginx = match &options.nginx {
            Some(program) => {
                Some(Nginx::start(program, &folder.path().join("nginx"), upstream_address).await?)
            }
            None => None,
        };
        let cluster = match &options.llmhub {
            Some(program) => {
                progress("starting node 1");
                let mut cluster = Cluster::start(program, folder.path()).await?;
                cluster.add_provider(upstream_address).await?;
                Some(cluster)
            }
            None => None,
        };
        Ok(Stage { nginx, cluster, upstream_address, _upstream: upstream, _folder: folder })
    }

    fn ways(&self) -> Vec<Way> {
        let mut ways = vec![Way { via: Via::Direct, address: self.upstream_address, key: None, pid: None }];
        if let Some(nginx) = &self.nginx {
            ways.push(Way { via: Via::Nginx, address: nginx.address, key: None, pid: Some(nginx.pid()) });
        }
        if let Some(cluster) = &self.cluster {
            let first = &cluster.nodes()[0];
            let key = Some(cluster.key().to_owned());
            ways.push(Way { via: Via::Llmhub, address: first.http, key, pid: Some(first.pid()) });
        }
        // The same bytes travel every way, so that sizes compare: who checks no key gets one too.
        let key = ways.iter().find_map(|way| way.key.clone());
        ways.into_iter().map(|way| Way { key: key.clone(), ..way }).collect()
    }
}

async fn idle(cluster: &Cluster, plan: &Plan) -> anyhow::Result<Vec<Idle>> {
    progress("watching idle nodes");
    let read =
        || cluster.nodes().iter().map(|node| cpu::TreeTime::read(node.pid())).collect::<Result<Vec<_>, _>>();
    let (before, start) = (read()?, Instant::now());
    tokio::time::sleep(plan.idle).await;
    let (after, watched) = (read()?, start.elapsed());
    let nodes = cluster.nodes().iter().zip(before.iter().zip(&after));
    let found = nodes.map(|(node, (before, after))| {
        let core_percent = 100.0 * after.since(before).as_secs_f64() / watched.as_secs_f64();
        Ok(Idle { node: node.name.clone(), resident_bytes: cpu::resident_bytes(node.pid())?, core_percent })
    });
    found.collect()
}

/// Tells whoever waits how far the run is.
fn progress(text: &str) {
    eprintln!("bench: {text}");
}
