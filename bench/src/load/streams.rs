//! Many paced streams at once: what an event costs, and whether the pace survives the way through a proxy.
//!
//! All streams run for the whole measurement, started evenly over one pace so that they do not tick together.

use super::{Call, Connection, Tally};
use anyhow::ensure;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How many streams of how many content events, at which pace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamPlan {
    pub streams: u32,
    pub chunks: u32,
    pub pace: Duration,
}

/// Runs all streams of the plan to their end; `call` must ask for the plan's chunks and pace.
pub async fn streams(call: &Call, plan: StreamPlan) -> Tally {
    let call = Arc::new(call.clone());
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for i in 0..plan.streams {
        let offset = plan.pace.mul_f64(f64::from(i) / f64::from(plan.streams));
        tasks.spawn(one_stream(Arc::clone(&call), plan.chunks, start + offset));
    }
    let mut total = Tally::default();
    while let Some(joined) = tasks.join_next().await {
        match joined {
            Ok(Ok(tally)) => total.merge(tally),
            Ok(Err(error)) => total.fail(&error),
            Err(panic) => total.fail(&panic.into()),
        }
    }
    total.elapsed = start.elapsed();
    total
}

async fn one_stream(call: Arc<Call>, chunks: u32, begin: Instant) -> anyhow::Result<Tally> {
    let mut connection = Connection::open(call.address).await?;
    tokio::time::sleep_until(begin.into()).await;
    let mut tally = Tally::default();
    let sent = Instant::now();
    let mut last = sent;
    let on_event = |at: Instant| {
        // After the content come the closing events, all at once: they say nothing about the pace.
        if tally.done < u64::from(chunks) {
            let gaps = if tally.done == 0 { &mut tally.first } else { &mut tally.latency };
            gaps.push(at.saturating_duration_since(last));
            last = at;
            tally.done += 1;
        }
    };
    connection.stream(&call, on_event).await?;
    ensure!(tally.done == u64::from(chunks), "{} events of {chunks} came", tally.done);
    Ok(tally)
}
