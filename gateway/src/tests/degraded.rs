//! What a node does and says while no majority answers it: the declared table, held row by row.

use std::time::Duration;

use actors::ports::ProposeError;
use domain::decide::mode::{CONTACT_MAX_MS, DEGRADED};
use domain::key::Scope;
use http::Method;
use serde_json::json;

use super::bed::*;

const ANSWER: &str = r#"{"id":"1","choices":[]}"#;

fn cut_off() -> Bed {
    let bed = Bed::new();
    bed.contacts.set(CONTACT_MAX_MS + 1_000, true);
    bed
}

fn bare(path: &str) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    http::Request::get(path).body(Default::default()).unwrap()
}

fn no_quorum() -> ProposeError {
    ProposeError::Unavailable { reason: "no leader".to_owned(), retry_after: Duration::from_secs(2) }
}

#[tokio::test(start_paused = true)]
async fn every_answer_says_that_the_node_is_degraded_and_none_does_otherwise() {
    let bed = cut_off();
    bed.targets.then(json(ANSWER));
    for got in [
        bed.chat("api").await,
        bed.chat("unknown").await,
        bed.ask(Method::GET, "/api/nodes", Scope::Read, "").await,
        bed.send(bare("/health")).await,
        bed.send(bare("/nowhere")).await,
    ] {
        assert_eq!(got.headers["x-llmhub-degraded"], "no-quorum");
    }
    bed.contacts.set(CONTACT_MAX_MS, true);
    assert!(!bed.send(bare("/health")).await.headers.contains_key("x-llmhub-degraded"));
}

#[tokio::test(start_paused = true)]
async fn health_and_status_show_the_table() {
    let bed = cut_off();
    let health = bed.send(bare("/health")).await.json();
    assert_eq!((&health["status"], &health["mode"]), (&json!("ok"), &json!("degraded")));
    let told = &health["degraded"];
    assert_eq!((&told["reason"], &told["for_ms"]), (&json!("no_quorum"), &json!(CONTACT_MAX_MS + 1_000)));
    let names: Vec<_> =
        told["abilities"].as_array().unwrap().iter().map(|a| a["ability"].as_str().unwrap()).collect();
    assert_eq!(names, DEGRADED.iter().map(|a| a.name).collect::<Vec<_>>());
    let status = bed.ask(Method::GET, "/api/status", Scope::Read, "").await.json();
    assert_eq!((&status["mode"], &status["degraded"]), (&json!("degraded"), told));
    let warnings = status["warnings"].to_string();
    assert!(warnings.contains("no majority of the voters has answered this node for 4 s"), "{warnings}");
}

#[tokio::test(start_paused = true)]
async fn a_balancer_keeps_a_degraded_node_but_not_one_that_has_just_started() {
    let bed = cut_off();
    let ready = bed.send(bare("/ready")).await;
    assert_eq!((ready.status.as_u16(), &ready.json()["mode"]), (200, &json!("degraded")));
    bed.contacts.set(10_000, false);
    let ready = bed.send(bare("/ready")).await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["reason"], "no leader has answered since the node started");
    bed.contacts.set(20_000, false);
    assert_eq!(bed.send(bare("/ready")).await.status, 200, "with what it knew when it stopped");
}

#[tokio::test(start_paused = true)]
async fn inference_and_reads_work_and_changes_and_fresh_reads_are_refused() {
    let bed = cut_off();
    bed.targets.then(json(ANSWER));
    assert_eq!(bed.chat("api").await.status, 200);
    assert_eq!(bed.ask(Method::GET, "/api/nodes", Scope::Read, "").await.status, 200);
    for (method, path, body) in [
        (Method::GET, "/api/nodes?consistent=true", ""),
        (Method::POST, "/api/keys", r#"{"name":"k","scopes":["read"]}"#),
        (Method::PUT, "/api/config/a", r#"{"value":"1"}"#),
    ] {
        bed.log.failures.lock().unwrap().push_back(no_quorum());
        let got = bed.ask(method, path, Scope::Admin, body).await;
        got.is_error(503, "no_quorum", "no leader");
        assert_eq!(got.headers["retry-after"], "2");
    }
}
