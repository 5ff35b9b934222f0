//! Closed loop: a fixed number of connections, each sending its next request when the last was answered.
//!
//! It shows throughput and cost under load. Its latencies tell of queueing, not of what a proxy adds: see `open.rs`.

use super::{Call, Connection, Tally};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// The pause before a lost connection is opened again.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);

/// Runs `connections` loops for `duration`.
pub async fn closed_loop(call: &Call, connections: usize, duration: Duration) -> Tally {
    let call = Arc::new(call.clone());
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..connections {
        tasks.spawn(one_loop(Arc::clone(&call), start + duration));
    }
    let mut total = Tally::default();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(tally) => total.merge(tally),
            Err(panic) => total.fail(&panic.into()),
        }
    }
    total.elapsed = start.elapsed();
    total
}

async fn one_loop(call: Arc<Call>, end: Instant) -> Tally {
    let mut tally = Tally::default();
    let mut connection = None;
    while Instant::now() < end {
        let outcome = match &mut connection {
            Some(open) => one_request(open, &call, &mut tally).await,
            None => Connection::open(call.address).await.map(|open| connection = Some(open)),
        };
        if let Err(error) = outcome {
            tally.fail(&error);
            connection = None;
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }
    tally
}

async fn one_request(connection: &mut Connection, call: &Call, tally: &mut Tally) -> anyhow::Result<()> {
    let start = Instant::now();
    connection.plain(call).await?;
    tally.latency.push(start.elapsed());
    tally.done += 1;
    Ok(())
}
