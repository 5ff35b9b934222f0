//! Looking at a filled cluster: what nodes weigh, how long answers take, how long a node takes to be there.

use super::ask::Client;
use super::fill::cpu;
use super::{Asked, Chats, IDLE, Weight, progress};
use crate::child::POLL_PAUSE;
use crate::control;
use crate::cpu::resident_bytes;
use crate::llmhub::{Cluster, MODEL, Node};
use crate::load::{Call, Connection};
use crate::stats::Samples;
use anyhow::{Context, bail};
use http::Method;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What is asked for.
pub(super) const PATHS: [&str; 7] = [
    "/api/status",
    "/api/nodes",
    "/api/deployments",
    "/api/deployments/deployment-00000",
    "/api/keys",
    "/v1/models",
    "/metrics",
];
/// How often each is asked for.
const TIMES: u32 = 9;
/// Chats of one round, and rounds, through each cluster.
const CHATS: usize = 1_000;
const ROUNDS: usize = 5;
/// How long a node may take until it is ready and has all there is.
const START_DEADLINE: Duration = Duration::from_secs(300);

/// What the nodes weigh, on average.
pub(super) async fn weight(cluster: &Cluster, when: &'static str) -> anyhow::Result<Weight> {
    progress(&format!("watching idle nodes, {when}"));
    let (before, start) = (cpu(cluster)?, Instant::now());
    tokio::time::sleep(IDLE).await;
    let (after, watched) = (cpu(cluster)?, start.elapsed());
    let used: Duration = after.iter().zip(&before).map(|(after, before)| after.since(before)).sum();
    let nodes = cluster.nodes();
    let count = nodes.len() as u64;
    let mut weight = Weight { when, resident_bytes: 0, disk_bytes: 0, idle_percent: 0.0 };
    for node in nodes {
        weight.resident_bytes += resident_bytes(node.pid())? / count;
        weight.disk_bytes += size_of(&cluster.folder_of(node))? / count;
    }
    weight.idle_percent = 100.0 * used.as_secs_f64() / watched.as_secs_f64() / count as f64;
    Ok(weight)
}

/// Bytes of all files below a folder. A file may go while it is looked at.
fn size_of(folder: &Path) -> anyhow::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        match entry.metadata() {
            Ok(meta) if meta.is_dir() => bytes += size_of(&entry.path())?,
            Ok(meta) => bytes += meta.len(),
            Err(_) => {}
        }
    }
    Ok(bytes)
}

/// Asks the first node.
pub(super) async fn ask(cluster: &Cluster, path: &str) -> anyhow::Result<Asked> {
    let mut client = Client::open(cluster.nodes()[0].http, cluster.key()).await?;
    let mut bytes = client.ask(Method::GET, path, None).await?.len();
    let (mut samples, before) = (Samples::default(), cpu(cluster)?);
    for _ in 0..TIMES {
        let start = Instant::now();
        bytes = client.ask(Method::GET, path, None).await?.len();
        samples.push(start.elapsed());
    }
    let after = cpu(cluster)?;
    let used: Duration = after.iter().zip(&before).map(|(after, before)| after.since(before)).sum();
    let summary = samples.summary().context("nothing was asked")?;
    Ok(Asked { path: path.to_owned(), p50: summary.p50, longest: summary.max, cpu: used / TIMES, bytes })
}

/// Stops or kills a node and starts it again; how long until it is ready, and until it has all there was then.
pub(super) async fn restart(
    cluster: &mut Cluster,
    place: usize,
    kill: bool,
) -> anyhow::Result<(Duration, Duration)> {
    cluster.stop(place, kill)?;
    let wanted = applied(cluster, 0).await?;
    let start = Instant::now();
    cluster.start_again(place)?;
    until_there(cluster, place, start, wanted).await
}

/// One more node joins; how long until it is ready, and until it has all there was.
pub(super) async fn join(cluster: &mut Cluster) -> anyhow::Result<(Duration, Duration)> {
    let wanted = applied(cluster, 0).await?;
    let start = Instant::now();
    let place = cluster.begin_to_grow().await?;
    until_there(cluster, place, start, wanted).await
}

async fn until_there(
    cluster: &mut Cluster,
    place: usize,
    start: Instant,
    wanted: u64,
) -> anyhow::Result<(Duration, Duration)> {
    let mut ready = None;
    loop {
        let http = cluster.alive(place)?.http;
        if ready.is_none() {
            let answer = control::request(http, Method::GET, "/ready", None, None).await;
            ready = answer.is_ok_and(|a| a.status.is_success()).then(|| start.elapsed());
        }
        if let Some(ready) = ready
            && applied(cluster, place).await.is_ok_and(|applied| applied >= wanted)
        {
            return Ok((ready, start.elapsed()));
        }
        if start.elapsed() > START_DEADLINE {
            bail!("node {place} is not there after {START_DEADLINE:?}");
        }
        tokio::time::sleep(POLL_PAUSE / 5).await;
    }
}

async fn applied(cluster: &Cluster, place: usize) -> anyhow::Result<u64> {
    let http = cluster.nodes()[place].http;
    let status = control::request_ok(http, Method::GET, "/api/status", Some(cluster.key()), None).await?;
    status["applied"].as_u64().context("GET /api/status tells no `applied`")
}

/// Chats through both clusters, taking turns.
pub(super) async fn chats(large: &Cluster, empty: &Cluster) -> anyhow::Result<(Chats, Chats)> {
    let mut seen = [(Samples::default(), Duration::ZERO), (Samples::default(), Duration::ZERO)];
    for round in 0..=ROUNDS {
        for (cluster, (latency, used)) in [large, empty].into_iter().zip(&mut seen) {
            let (took, cpu) = chat(cluster).await?;
            // The first round opens connections and fills caches.
            if round > 0 {
                latency.merge(took);
                *used += cpu;
            }
        }
    }
    let told = |(latency, used): &(Samples, Duration)| {
        let summary = latency.summary().context("no chat succeeded")?;
        let cpu = *used / u32::try_from(summary.count)?;
        anyhow::Ok(Chats { p50: summary.p50, p99: summary.p99, cpu })
    };
    Ok((told(&seen[0])?, told(&seen[1])?))
}

/// Some chats, one at a time; how long each took, and the processor time of the node that was asked.
async fn chat(cluster: &Cluster) -> anyhow::Result<(Samples, Duration)> {
    let node: &Node = &cluster.nodes()[0];
    let call = Call::plain(node.http, MODEL, Some(cluster.key()))?;
    let mut connection = Connection::open(node.http).await?;
    let mut latency = Samples::default();
    let before = crate::cpu::TreeTime::read(node.pid())?;
    for _ in 0..CHATS {
        let start = Instant::now();
        connection.plain(&call).await?;
        latency.push(start.elapsed());
    }
    Ok((latency, crate::cpu::TreeTime::read(node.pid())?.since(&before)))
}
