//! The mock upstream, the load generator and the suite against each other over real sockets of 127.0.0.1.
//!
//! Nothing here judges how long something took; the durations only say for how long load is sent.
#![allow(clippy::disallowed_methods)] // starts the real binary

use bench::control;
use bench::load::{Call, Connection, StreamPlan, closed_loop, open_loop, streams};
use bench::plan::Plan;
use bench::results::Via;
use bench::suite::{self, Options};
use bench::{nginx, report, upstream};
use http::{Method, StatusCode};
use serde_json::json;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

const LOAD: Duration = Duration::from_millis(200);

/// Starts the upstream as a task of the test's runtime.
fn start_upstream() -> anyhow::Result<SocketAddr> {
    let listener = upstream::listen(([127, 0, 0, 1], 0).into(), false)?;
    let address = listener.local_addr()?;
    tokio::spawn(upstream::serve(listener, upstream::Script::default()));
    Ok(address)
}

/// An address where nobody listens.
fn nobody() -> anyhow::Result<SocketAddr> {
    let [address] = bench::child::free_ports::<1>()?;
    Ok(address)
}

#[tokio::test]
async fn the_upstream_answers_like_a_provider() -> anyhow::Result<()> {
    let address = start_upstream()?;
    let models = control::request_ok(address, Method::GET, "/v1/models", None, None).await?;
    assert_eq!(models["data"][0]["id"], "bench-model");
    control::request_ok(address, Method::GET, "/health", None, None).await?;
    let ask = json!({ "model": "bench-model", "messages": [] });
    let chat = control::request_ok(address, Method::POST, "/v1/chat/completions", None, Some(&ask)).await?;
    assert_eq!(
        (&chat["choices"][0]["finish_reason"], &chat["usage"]["total_tokens"]),
        (&json!("stop"), &json!(22))
    );
    let bad =
        control::request(address, Method::POST, "/v1/chat/completions", None, Some(&json!([1]))).await?;
    assert_eq!(bad.status, StatusCode::BAD_REQUEST);
    let none = control::request(address, Method::GET, "/v1/nothing", None, None).await?;
    assert_eq!(none.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn a_stream_has_the_events_asked_for_with_usage_and_an_end() -> anyhow::Result<()> {
    let address = start_upstream()?;
    let ask = json!({
        "stream": true, "stream_options": { "include_usage": true }, "mock": { "chunks": 3, "chunk_delay_ms": 1 },
    });
    let answer = control::request_ok(address, Method::POST, "/v1/chat/completions", None, Some(&ask)).await?;
    let text = answer.as_str().unwrap_or_default();
    let events: Vec<&str> = text.split("\n\n").filter(|event| !event.is_empty()).collect();
    assert_eq!(events.len(), 3 + 3, "three of content, then stop, usage and the end: {text}");
    assert!(events[4].contains("\"total_tokens\":22") && events[5] == "data: [DONE]", "{text}");
    Ok(())
}

#[tokio::test]
async fn a_closed_loop_gets_answers_without_errors() -> anyhow::Result<()> {
    let call = Call::plain(start_upstream()?, "bench-model", Some("sk-x"))?;
    let tally = closed_loop(&call, 4, LOAD).await;
    assert_eq!((tally.errors, &tally.first_error), (0, &None));
    assert!(tally.done > 0 && tally.latency.len() as u64 == tally.done);
    Ok(())
}

#[tokio::test]
async fn a_fixed_rate_sends_exactly_as_many_requests_as_it_says() -> anyhow::Result<()> {
    let call = Call::plain(start_upstream()?, "bench-model", None)?;
    let tally = open_loop(&call, 500, LOAD).await;
    assert_eq!((tally.done, tally.errors, tally.lateness.len()), (100, 0, 100));
    Ok(())
}

#[tokio::test]
async fn streams_count_every_content_event_and_the_gaps_between_them() -> anyhow::Result<()> {
    let plan = StreamPlan { streams: 5, chunks: 7, pace: Duration::from_millis(2) };
    let call = Call::streamed(start_upstream()?, "bench-model", None, plan.chunks, plan.pace)?;
    let tally = streams(&call, plan).await;
    assert_eq!((tally.done, tally.errors, tally.first.len(), tally.latency.len()), (35, 0, 5, 30));
    Ok(())
}

#[tokio::test]
async fn a_connection_serves_one_stream_after_the_other() -> anyhow::Result<()> {
    let address = start_upstream()?;
    let call = Call::streamed(address, "bench-model", None, 4, Duration::ZERO)?;
    let mut connection = Connection::open(address).await?;
    for _ in 0..3 {
        assert_eq!(connection.first_event(&call).await?.events, 4 + 1, "the content and the closing event");
    }
    Ok(())
}

#[tokio::test]
async fn failures_are_counted_and_told_instead_of_measured() -> anyhow::Result<()> {
    let call = Call::plain(nobody()?, "bench-model", None)?;
    let closed = closed_loop(&call, 2, LOAD).await;
    assert!(closed.errors >= 2 && closed.done == 0 && closed.latency.is_empty());
    let open = open_loop(&call, 100, LOAD).await;
    assert_eq!((open.errors, open.done), (20, 0));
    assert!(open.first_error.is_some_and(|error| error.contains("connect to 127.0.0.1")));
    let plan = StreamPlan { streams: 3, chunks: 1, pace: Duration::from_millis(1) };
    assert_eq!(streams(&call, plan).await.errors, 3);
    Ok(())
}

#[tokio::test]
async fn a_stream_with_fewer_events_than_asked_for_is_an_error() -> anyhow::Result<()> {
    let plan = StreamPlan { streams: 2, chunks: 9, pace: Duration::from_millis(1) };
    let call = Call::streamed(start_upstream()?, "bench-model", None, 3, plan.pace)?;
    let tally = streams(&call, plan).await;
    assert_eq!((tally.errors, tally.done), (2, 0));
    Ok(())
}

/// As short as a run can be.
fn tiny() -> Plan {
    Plan {
        rounds: 2,
        warm_up: Duration::from_millis(50),
        connections: 4,
        plain: Duration::from_millis(100),
        rates: vec![100],
        fixed: Duration::from_millis(100),
        streams: StreamPlan { streams: 4, chunks: 5, pace: Duration::from_millis(5) },
        first_events: 5,
        idle: Duration::from_millis(50),
    }
}

#[tokio::test]
async fn a_run_measures_direct_and_nginx_and_renders_a_page() -> anyhow::Result<()> {
    let Ok(program) = nginx::program(None) else {
        eprintln!("skipped: {}", nginx::MISSING);
        return Ok(());
    };
    let bench = PathBuf::from(env!("CARGO_BIN_EXE_bench"));
    let options =
        Options { bench, nginx: Some(program), llmhub: None, plan: tiny(), chaos_reports: Vec::new() };
    let results = suite::run(&options).await?;
    for ways in [&results.plain, &results.fixed[&100], &results.streams, &results.first_event] {
        assert_eq!(ways.keys().copied().collect::<Vec<_>>(), [Via::Direct, Via::Nginx]);
        assert!(ways.values().all(|series| series.tally.errors == 0 && series.tally.done > 0));
    }
    assert_eq!((results.plain[&Via::Direct].cpu_us.len(), results.plain[&Via::Nginx].cpu_us.len()), (0, 2));
    let page = report::render(&options.conditions(), &results);
    assert!(page.contains("plain: CPU per request") && page.contains("nginx/"), "{page}");
    Ok(())
}

#[test]
fn a_missing_program_is_told_with_what_to_do() -> anyhow::Result<()> {
    let bench = || Command::new(env!("CARGO_BIN_EXE_bench"));
    for (flag, hint) in
        [("--nginx", "apt-get install nginx-light"), ("--llmhub", "cargo build --release -p node")]
    {
        let other = if flag == "--nginx" { "llmhub" } else { "nginx" };
        let output = bench().args(["all", flag, "/nowhere/at-all", "--without", other]).output()?;
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && told.contains(hint), "{told}");
    }
    Ok(())
}

#[test]
fn a_run_that_is_asked_to_end_leaves_no_process_behind() -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let mut run = Command::new(env!("CARGO_BIN_EXE_bench"))
        .args(["all", "--without", "nginx", "--without", "llmhub"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let child = loop {
        assert!(run.try_wait()?.is_none(), "the run ended by itself");
        let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", run.id()))?;
        if let Some(pid) = children.split_whitespace().next() {
            break PathBuf::from(format!("/proc/{pid}"));
        }
    };
    assert!(Command::new("kill").arg(run.id().to_string()).status()?.success());
    assert_eq!(run.wait()?.code(), Some(1));
    assert!(!Path::new(&child).exists(), "the mock upstream still runs");
    assert_eq!(std::fs::read_dir(folder.path())?.count(), 0, "the run's folder is still there");
    Ok(())
}
