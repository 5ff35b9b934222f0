//! Open loop: requests are sent at a fixed rate, whether or not earlier ones were answered.
//!
//! A slow answer does not slow the sending down, so waiting is seen (no coordinated omission). The generator's own timer is
//! coarse (1 ms); its lateness is reported apart and is not charged to what is measured.

use super::{Call, Connection, Tally};
use anyhow::Context;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Connections opened at most; further requests wait for a free one, and the wait counts as latency.
pub const CONNECTIONS_MAX: usize = 256;
/// Requests waiting or under way at most; more are counted as errors.
const IN_FLIGHT_MAX: usize = 4096;

/// Sends `rate` requests a second for `duration`.
pub async fn open_loop(call: &Call, rate: u32, duration: Duration) -> Tally {
    let shared = Arc::new(Shared {
        call: call.clone(),
        idle: Mutex::new(Vec::new()),
        room: Semaphore::new(CONNECTIONS_MAX),
    });
    let mut total = Tally::default();
    let mut tasks = JoinSet::new();
    let start = Instant::now();
    let count = (f64::from(rate) * duration.as_secs_f64()).floor() as u32;
    for i in 0..count {
        let due = start + Duration::from_secs_f64(f64::from(i) / f64::from(rate.max(1)));
        tokio::time::sleep_until(due.into()).await;
        let sent = Instant::now();
        total.lateness.push(sent.saturating_duration_since(due));
        while let Some(joined) = tasks.try_join_next() {
            record(&mut total, joined);
        }
        if tasks.len() < IN_FLIGHT_MAX {
            tasks.spawn(one_request(Arc::clone(&shared), sent));
        } else {
            total.fail(&anyhow::anyhow!(
                "more than {IN_FLIGHT_MAX} requests wait: the target does not keep up"
            ));
        }
    }
    while let Some(joined) = tasks.join_next().await {
        record(&mut total, joined);
    }
    total.elapsed = start.elapsed();
    total
}

struct Shared {
    call: Call,
    idle: Mutex<Vec<Connection>>,
    room: Semaphore,
}

async fn one_request(shared: Arc<Shared>, sent: Instant) -> anyhow::Result<Duration> {
    let _permit = shared.room.acquire().await.context("the generator stopped")?;
    let free = shared.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
    let mut connection = match free {
        Some(connection) => connection,
        None => Connection::open(shared.call.address).await?,
    };
    connection.plain(&shared.call).await?;
    let took = sent.elapsed();
    shared.idle.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
    Ok(took)
}

fn record(total: &mut Tally, joined: Result<anyhow::Result<Duration>, tokio::task::JoinError>) {
    match joined {
        Ok(Ok(took)) => {
            total.latency.push(took);
            total.done += 1;
        }
        Ok(Err(error)) => total.fail(&error),
        Err(panic) => total.fail(&panic.into()),
    }
}
