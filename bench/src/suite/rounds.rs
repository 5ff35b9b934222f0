//! The measurements that all ways share, taken in rounds. Used by the suite.
//!
//! The ways take turns within each round and the order turns round with each, so that a slow minute of the machine hits all
//! alike.

use super::{Way, progress};
use crate::cpu::TreeTime;
use crate::llmhub::MODEL;
use crate::load::{Call, Connection, Tally, closed_loop, open_loop, streams as run_streams};
use crate::plan::Plan;
use crate::results::{PerVia, Series};
use anyhow::ensure;
use std::time::{Duration, Instant};

/// Events of a stream that is only asked for its first, and their pace.
pub(super) const SHORT_CHUNKS: u32 = 4;
pub(super) const SHORT_PACE: Duration = Duration::from_millis(1);
/// The pause between two such streams: the machine is to be idle when the next one starts.
pub(super) const BETWEEN_STREAMS: Duration = Duration::from_millis(5);

/// Load that is thrown away: connections are opened, caches and allocators filled.
pub(super) async fn warm_up(ways: &[Way], plan: &Plan) -> anyhow::Result<()> {
    for way in ways {
        let tally = closed_loop(&plain_call(way)?, plan.connections, plan.warm_up).await;
        ensure_some(way, "warm-up", &tally)?;
    }
    Ok(())
}

/// Plain requests in a closed loop.
pub(super) async fn plain(ways: &[Way], plan: &Plan) -> anyhow::Result<PerVia> {
    in_turns(ways, plan, "plain", async |way| {
        Ok(closed_loop(&plain_call(way)?, plan.connections, plan.plain).await)
    })
    .await
}

/// Plain requests at a fixed rate.
pub(super) async fn fixed(ways: &[Way], plan: &Plan, rate: u32) -> anyhow::Result<PerVia> {
    in_turns(ways, plan, &format!("{rate}/s"), async |way| {
        Ok(open_loop(&plain_call(way)?, rate, plan.fixed).await)
    })
    .await
}

/// Many paced streams.
pub(super) async fn streams(ways: &[Way], plan: &Plan) -> anyhow::Result<PerVia> {
    in_turns(ways, plan, "streams", async |way| {
        let wanted = plan.streams;
        let key = way.key.as_deref();
        let call = Call::streamed(way.address, MODEL, key, wanted.chunks, wanted.pace)?;
        Ok(run_streams(&call, wanted).await)
    })
    .await
}

/// Streams one at a time, the ways taking turns with each: the latency is the time to the first event.
pub(super) async fn first_event(ways: &[Way], plan: &Plan) -> anyhow::Result<PerVia> {
    progress("first events, one at a time");
    let mut open = Vec::new();
    for way in ways {
        let call = Call::streamed(way.address, MODEL, way.key.as_deref(), SHORT_CHUNKS, SHORT_PACE)?;
        let mut connection = Connection::open(way.address).await?;
        connection.first_event(&call).await?; // the first one on a connection pays for setting it up
        open.push((way, call, connection, Tally::default()));
    }
    for _ in 0..plan.first_events {
        for (_, call, connection, tally) in &mut open {
            tokio::time::sleep(BETWEEN_STREAMS).await;
            time_first_event(call, connection, tally).await;
        }
    }
    let mut found = PerVia::new();
    for (way, _, _, tally) in open {
        ensure_some(way, "first events", &tally)?;
        found.insert(way.via, Series { tally, ..Series::default() });
    }
    Ok(found)
}

/// One stream; a failure is counted and the connection replaced.
pub(super) async fn time_first_event(call: &Call, connection: &mut Connection, tally: &mut Tally) {
    match connection.first_event(call).await {
        Ok(first) => {
            tally.latency.push(first.after);
            tally.done += 1;
        }
        Err(error) => {
            tally.fail(&error);
            if let Ok(new) = Connection::open(call.address).await {
                *connection = new;
            }
        }
    }
}

async fn in_turns(
    ways: &[Way],
    plan: &Plan,
    what: &str,
    run: impl AsyncFn(&Way) -> anyhow::Result<Tally>,
) -> anyhow::Result<PerVia> {
    let mut found = PerVia::new();
    for round in 0..plan.rounds {
        for way in turn(ways, round) {
            let before = cpu_time(way)?;
            let start = Instant::now();
            let tally = run(way).await?;
            let took = start.elapsed();
            let cpu = cpu_time(way)?.zip(before).map(|(after, before)| after.since(&before));
            ensure_some(way, what, &tally)?;
            let errors = if tally.errors > 0 { format!(", {} errors", tally.errors) } else { String::new() };
            progress(&format!(
                "{what}, round {}/{}, {}: {:.0}/s for {:.1} s{errors}",
                round + 1,
                plan.rounds,
                way.via.name(),
                tally.per_second(),
                took.as_secs_f64()
            ));
            found.entry(way.via).or_default().add(tally, cpu);
        }
    }
    Ok(found)
}

/// Forth in even rounds, back in odd ones.
fn turn(ways: &[Way], round: u32) -> Vec<&Way> {
    let mut order: Vec<&Way> = ways.iter().collect();
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn plain_call(way: &Way) -> anyhow::Result<Call> {
    Call::plain(way.address, MODEL, way.key.as_deref())
}

fn cpu_time(way: &Way) -> anyhow::Result<Option<TreeTime>> {
    Ok(way.pid.map(TreeTime::read).transpose()?)
}

/// Figures of a way on which nothing succeeds would be about something else.
fn ensure_some(way: &Way, what: &str, tally: &Tally) -> anyhow::Result<()> {
    let why = tally.first_error.as_deref().unwrap_or("nothing was sent");
    ensure!(tally.done > 0, "{what}: no request through {} succeeded: {why}", way.via.name());
    Ok(())
}
