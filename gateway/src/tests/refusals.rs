//! Requests that cannot be answered are told what is wrong, in OpenAI's shape, with a request id.

use bytes::Bytes;
use domain::deployment::{self, Phase};
use domain::key::Scope;
use domain::{Command, Health};
use http::{Method, Request};
use http_body_util::Full;

use super::bed::*;
use crate::Config;

const CHAT: &str = "/v1/chat/completions";

fn bare(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(path)
}

fn empty() -> Full<Bytes> {
    Full::new(Bytes::new())
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_good_key_is_refused() {
    let bed = Bed::new();
    for path in [CHAT, "/v1/deploy"] {
        let got = bed.send(bare(Method::POST, path).body(empty()).unwrap()).await;
        got.is_error(401, "invalid_api_key", "no API key");
        for key in ["Bearer ", "Basic eDp5", "Bearer sk-llmhub-wrong", &format!("Bearer {}", "x".repeat(600))]
        {
            let request = bare(Method::POST, path).header("authorization", key).body(empty()).unwrap();
            assert_eq!(bed.send(request).await.error().0, 401, "{key}");
        }
    }
    assert_eq!(bed.metric("llmhub_gateway_refused_keys_total").await, "10");
}

#[tokio::test(start_paused = true)]
async fn a_key_without_the_scope_is_told_which_one_is_missing() {
    let bed = Bed::new();
    bed.ask(Method::POST, CHAT, Scope::Read, "{}").await.is_error(403, "missing_scope", "`inference`");
    bed.ask(Method::GET, "/metrics", Scope::Inference, "").await.is_error(403, "missing_scope", "`read`");
    bed.ask(Method::POST, "/v1/deploy", Scope::Read, "{}").await.is_error(403, "missing_scope", "`deploy`");
    bed.ask(Method::POST, "/api/keys", Scope::Deploy, "{}").await.is_error(403, "missing_scope", "`admin`");
    assert_eq!(bed.ask(Method::GET, "/api/nodes", Scope::Deploy, "").await.status, 200);
    assert_eq!(bed.ask(Method::GET, "/v1/models", Scope::Admin, "").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_wrong_is_told_where() {
    let bed = Bed::new();
    let ask = |path, scope, body: &'static str| bed.ask(Method::POST, path, scope, body);
    ask(CHAT, Scope::Inference, "{\n x}").await.is_error(400, "invalid_json", "line 2 column 2");
    ask(CHAT, Scope::Inference, "").await.is_error(400, "invalid_json", "empty");
    let got = ask(CHAT, Scope::Inference, r#"{"model":1,"messages":[]}"#).await;
    got.is_error(400, "invalid_value", "must be a string");
    assert_eq!(got.json()["error"]["param"], "model");
    assert_eq!(got.json()["error"]["type"], "invalid_request_error");
    let got =
        ask("/v1/deploy", Scope::Deploy, r#"{"modelId":"mock","cluster":"default","replicas":"x"}"#).await;
    got.is_error(400, "invalid_value", "expected u32");
    assert_eq!(got.json()["error"]["param"], "replicas");
    let got = ask("/v1/deploy", Scope::Deploy, r#"{"cluster":"default"}"#).await;
    assert_eq!(got.json()["error"]["param"], "modelId");
    let got = ask("/v1/deploy", Scope::Deploy, r#"{"modelID":"x"}"#).await;
    assert_eq!(got.json()["error"]["param"], "modelID");
    ask("/v1/deploy", Scope::Deploy, "[").await.is_error(400, "invalid_value", "object");
    ask("/v1/deploy", Scope::Deploy, "nope").await.is_error(400, "invalid_json", "line 1");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_refused_before_and_while_it_is_read() {
    let bed = Bed::with(Config { body_limit_bytes: 1024, ..Config::default() });
    let large = format!(r#"{{"model":"api","messages":["{}"]}}"#, "x".repeat(2000));
    bed.ask(Method::POST, CHAT, Scope::Inference, &large).await.is_error(413, "body_too_large", "1024");
    let request = bare(Method::POST, CHAT)
        .header("authorization", format!("Bearer {}", key_text(Scope::Inference)))
        .header("content-length", "5000");
    bed.send(request.body(empty()).unwrap()).await.is_error(413, "body_too_large", "1024");
    bed.ask(Method::POST, "/v1/deploy", Scope::Deploy, &large).await.is_error(413, "body_too_large", "1024");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_is_not_waited_for_for_ever() {
    let bed = Bed::new();
    let request = bare(Method::POST, CHAT)
        .header("authorization", format!("Bearer {}", key_text(Scope::Inference)))
        .body(body(vec![Piece::Hang], Dropped::default()))
        .unwrap();
    assert_eq!(bed.gateway.handle(request).await.status(), 408);
}

#[tokio::test(start_paused = true)]
async fn an_unknown_path_and_a_wrong_method_are_told() {
    let bed = Bed::new();
    bed.get("/v2/x").await.is_error(404, "not_found", "/v2/x");
    bed.ask(Method::PUT, "/api/nodes", Scope::Admin, "").await.is_error(
        405,
        "method_not_allowed",
        "/api/nodes",
    );
    bed.get(CHAT).await.is_error(405, "method_not_allowed", CHAT);
}

#[tokio::test(start_paused = true)]
async fn a_model_that_nobody_has_and_one_that_is_not_ready_are_told_apart() {
    let bed = Bed::new();
    let got = bed.chat("nope").await;
    got.is_error(404, "model_not_found", "GET /v1/models");
    assert_eq!(got.json()["error"]["param"], "model");

    let id = bed.deployment("slow", &[]);
    let got = bed.chat("slow").await;
    got.is_error(503, "model_not_ready", "being placed");
    assert_eq!(got.headers["retry-after"], "1");

    let epoch = bed.assign(id, 0, None, ME);
    let phase = Phase::Restarting { attempt: 2, reason: "out of memory".to_owned() };
    bed.apply(Command::Deployment(deployment::Command::Report { id, ordinal: 0, epoch, phase }));
    bed.chat("slow").await.is_error(503, "model_not_ready", "out of memory");

    bed.apply(Command::Deployment(deployment::Command::Stop(id)));
    bed.chat("slow").await.is_error(503, "model_not_ready", "is stopped");
}

#[tokio::test(start_paused = true)]
async fn a_replica_on_a_node_that_seems_gone_is_not_called() {
    let bed = Bed::new();
    bed.deployment("far", &[OTHER]);
    bed.health(OTHER, Health::Suspect);
    bed.chat("far").await.is_error(503, "model_not_ready", "not reachable");
    assert!(bed.targets.seen().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_sane_request_id_of_the_client_comes_back_and_another_is_replaced() {
    let bed = Bed::new();
    let with =
        |id: &'static str| bare(Method::GET, "/health").header("x-request-id", id).body(empty()).unwrap();
    assert_eq!(bed.send(with("abc-7")).await.headers["x-request-id"], "abc-7");
    let made = bed.send(with("a b")).await.headers["x-request-id"].clone();
    assert_eq!(made.len(), 32);
    assert_ne!(bed.send(with("a b")).await.headers["x-request-id"], made);
}
