//! What the way from one node to another adds to the first event of a stream. Used by the suite.
//!
//! The same replica is asked through the node that runs it and through one that does not, taking turns.

use super::progress;
use super::rounds::{BETWEEN_STREAMS, SHORT_CHUNKS, SHORT_PACE, time_first_event};
use crate::llmhub::{Cluster, DEPLOYMENT};
use crate::load::{Call, Connection, Tally};
use crate::plan::Plan;
use crate::results::Hop;
use anyhow::{Context, ensure};
use std::time::Duration;

/// Measures all nodes and compares the host with the others.
pub(super) async fn measure(cluster: &Cluster, plan: &Plan) -> anyhow::Result<Hop> {
    let told = cluster.replica_host().await;
    progress("first events through each node, one at a time");
    let mut open = Vec::new();
    for node in cluster.nodes() {
        let call = Call::streamed(node.http, DEPLOYMENT, Some(cluster.key()), SHORT_CHUNKS, SHORT_PACE)?;
        let mut connection = Connection::open(node.http).await?;
        connection
            .first_event(&call)
            .await
            .with_context(|| format!("a stream of {DEPLOYMENT} through {}", node.name))?;
        open.push((node, call, connection, Tally::default()));
    }
    for _ in 0..plan.first_events {
        for (_, call, connection, tally) in &mut open {
            tokio::time::sleep(BETWEEN_STREAMS).await;
            time_first_event(call, connection, tally).await;
        }
    }
    for (node, _, _, tally) in &open {
        let why = tally.first_error.as_deref().unwrap_or("nothing was sent");
        ensure!(tally.done > 0, "no stream of {DEPLOYMENT} through {} succeeded: {why}", node.name);
    }
    let named = open.into_iter().map(|(node, _, _, tally)| (node.name.clone(), tally)).collect();
    compare(named, told)
}

/// Splits the nodes into the host and the others; without being told, the fastest is taken for the host.
fn compare(mut nodes: Vec<(String, Tally)>, told: Option<usize>) -> anyhow::Result<Hop> {
    let p50 = |tally: &Tally| tally.latency.summary().map_or(Duration::MAX, |s| s.p50);
    let fastest = (0..nodes.len()).min_by_key(|&i| p50(&nodes[i].1)).context("there is no node")?;
    let (name, host) = nodes.remove(told.unwrap_or(fastest));
    let mut hop = Hop { errors: host.errors, first_error: host.first_error.clone(), ..Hop::default() };
    hop.note = match told {
        Some(_) => format!("the replica runs on {name}"),
        None => format!("/api/deployments does not tell the host; {name} was fastest and is taken for it"),
    };
    hop.host = host.latency;
    for (_, other) in nodes {
        hop.errors += other.errors;
        hop.first_error = hop.first_error.or(other.first_error);
        hop.other.merge(other.latency);
    }
    Ok(hop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(name: &str, micros: u64) -> (String, Tally) {
        let mut tally = Tally::default();
        tally.latency.push(Duration::from_micros(micros));
        (name.to_owned(), tally)
    }

    fn split(told: Option<usize>) -> (Option<Duration>, usize, String) {
        let hop = compare(vec![node("a", 900), node("b", 300), node("c", 800)], told).expect("nodes");
        (hop.host.summary().map(|s| s.p50), hop.other.len(), hop.note)
    }

    #[test]
    fn the_host_is_the_one_told() {
        let (host, others, note) = split(Some(2));
        assert_eq!((host, others), (Some(Duration::from_micros(800)), 2));
        assert_eq!(note, "the replica runs on c");
    }

    #[test]
    fn the_fastest_node_stands_in_for_an_untold_host_and_the_report_says_so() {
        let (host, others, note) = split(None);
        assert_eq!((host, others), (Some(Duration::from_micros(300)), 2));
        assert!(note.contains("b was fastest"), "{note}");
    }
}
