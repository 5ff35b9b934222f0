//! Filling the tables through HTTP, by many clients over all nodes, a tenth at a time.

use super::ask::Client;
use super::{CLIENTS, Filled, Tenth};
use crate::cpu::TreeTime;
use crate::llmhub::{Cluster, Node};
use crate::stats::Samples;
use anyhow::Context;
use http::Method;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Which rows.
#[derive(Debug, Clone, Copy)]
pub(super) enum What {
    Keys,
    Deployments,
}

impl What {
    fn name(self) -> &'static str {
        match self {
            What::Keys => "keys",
            What::Deployments => "deployments",
        }
    }

    fn path(self) -> &'static str {
        match self {
            What::Keys => "/api/keys",
            What::Deployments => "/v1/deploy",
        }
    }

    /// The request that makes the row of this number.
    fn body(self, n: usize) -> Value {
        match self {
            What::Keys => json!({ "name": format!("key-{n:06}") }),
            What::Deployments => json!({
                "modelId": "mock", "cluster": "default", "engine": "mock", "replicas": 0, "name": format!("deployment-{n:05}"),
                "resources": { "cpu": 1 }, "env": { "CONTEXT": "8192" }, "args": ["--threads", "1"],
            }),
        }
    }
}

/// Makes so many rows.
pub(super) async fn fill(cluster: &Cluster, what: What, count: usize) -> anyhow::Result<Filled> {
    let mut clients = Vec::new();
    for n in 0..CLIENTS {
        let nodes = cluster.nodes();
        clients.push(Client::open(nodes[n % nodes.len()].http, cluster.key()).await?);
    }
    let mut tenths = Vec::new();
    for tenth in 0..10 {
        let rows = count * tenth / 10..count * (tenth + 1) / 10;
        let (start, before) = (Instant::now(), cpu(cluster)?);
        let (back, latency) = make(clients, what, rows.clone()).await?;
        clients = back;
        let (took, after) = (start.elapsed(), cpu(cluster)?);
        let Some(summary) = latency.summary() else { continue };
        let cpu = after.iter().zip(&before).map(|(after, before)| after.since(before)).sum();
        tenths.push(Tenth { rows: rows.len(), took, cpu, p50: summary.p50, p99: summary.p99 });
    }
    Ok(Filled { what: what.name(), count, tenths })
}

/// The clients take row after row until there are none; they come back with how long each row took.
async fn make(
    clients: Vec<Client>,
    what: What,
    rows: std::ops::Range<usize>,
) -> anyhow::Result<(Vec<Client>, Samples)> {
    let next = Arc::new(AtomicUsize::new(rows.start));
    let mut tasks: JoinSet<anyhow::Result<(Client, Vec<Duration>)>> = JoinSet::new();
    for mut client in clients {
        let next = next.clone();
        tasks.spawn(async move {
            let mut took = Vec::new();
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= rows.end {
                    return Ok((client, took));
                }
                let start = Instant::now();
                client.ask(Method::POST, what.path(), Some(&what.body(n))).await?;
                took.push(start.elapsed());
            }
        });
    }
    let (mut clients, mut latency) = (Vec::new(), Samples::default());
    while let Some(joined) = tasks.join_next().await {
        let (client, took) = joined.context("a client failed")??;
        clients.push(client);
        took.into_iter().for_each(|took| latency.push(took));
    }
    Ok((clients, latency))
}

/// Processor time of each node.
pub(super) fn cpu(cluster: &Cluster) -> anyhow::Result<Vec<TreeTime>> {
    Ok(cluster.nodes().iter().map(Node::pid).map(TreeTime::read).collect::<Result<_, _>>()?)
}
