//! Changes of metadata: what the log's answers become, and how a change is repeated safely.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actors::ports::ProposeError;
use bytes::Bytes;
use domain::Command;
use domain::key::Scope;
use domain::node;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::json;

use super::bed::*;

const DEPLOY: &str = r#"{"modelId":"mock","cluster":"default","name":"m"}"#;

fn unknown() -> ProposeError {
    ProposeError::Unknown { reason: "the leader was lost".to_owned() }
}

async fn deploy(bed: &Bed, body: &str) -> Got {
    bed.ask(Method::POST, "/v1/deploy", Scope::Deploy, body).await
}

async fn keyed(bed: &Bed, method: Method, path: &str, scope: Scope, key: &str, body: &'static str) -> Got {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("authorization", format!("Bearer {}", key_text(scope)))
        .header("idempotency-key", key)
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap();
    bed.send(request).await
}

async fn posted(bed: &Bed, path: &str, scope: Scope, key: &str, body: &'static str) -> Got {
    keyed(bed, Method::POST, path, scope, key, body).await
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_accepted_in_the_document_s_shape() {
    let bed = Bed::new();
    let got = deploy(&bed, DEPLOY).await;
    assert_eq!(got.status, 202);
    let body = got.json();
    assert!(body["deploymentId"].as_str().unwrap().starts_with("dep-"));
    assert_eq!(
        (&body["status"], &body["startedAt"]),
        (&json!("pending"), &json!("2023-11-14T22:13:20.000Z"))
    );
    let view = bed.view.load();
    assert_eq!(view.state.deployment_named("m").unwrap().spec.engine, "mock");
}

#[tokio::test(start_paused = true)]
async fn a_file_is_registered_and_another_file_of_its_name_gets_another_one() {
    let bed = Bed::new();
    for (path, name) in [("file:///m/tiny.gguf", "a"), ("/m/tiny.gguf", "b"), ("/other/tiny.gguf", "c")] {
        let body = format!(r#"{{"modelId":"{path}","cluster":"blue","name":"{name}"}}"#);
        assert_eq!(deploy(&bed, &body).await.status, 202, "{path}");
    }
    let view = bed.view.load();
    let model = |name: &str| view.state.deployment_named(name).unwrap().spec.model.0.clone();
    assert_eq!((model("a").as_str(), model("b").as_str()), ("tiny", "tiny"));
    assert!(model("c").starts_with("tiny-"));
    assert_eq!(view.state.deployment_named("a").unwrap().spec.engine, "llama");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_makes_no_sense_is_told_why() {
    let bed = Bed::new();
    let param = |got: Got| got.json()["error"]["param"].as_str().unwrap_or_default().to_owned();
    let got = deploy(&bed, r#"{"modelId":"mock","cluster":"green"}"#).await;
    got.is_error(400, "invalid_value", "`blue`");
    assert_eq!(param(got), "cluster");
    let got = deploy(&bed, r#"{"modelId":"nope","cluster":"default"}"#).await;
    got.is_error(404, "not_found", "absolute path");
    let got = deploy(&bed, r#"{"modelId":"/m/x.bin","cluster":"default"}"#).await;
    assert_eq!(param(got), "engine");
    let got = deploy(&bed, r#"{"modelId":"mock","cluster":"default","engine":"vllm"}"#).await;
    got.is_error(400, "invalid_value", "no node offers");
    let got = deploy(&bed, r#"{"modelId":"mock","cluster":"default","name":"-"}"#).await;
    got.is_error(400, "invalid_value", "name");
    assert_eq!(deploy(&bed, DEPLOY).await.status, 202);
    deploy(&bed, DEPLOY).await.is_error(409, "conflict", "exists already");
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_a_leader_says_when_to_try_again() {
    let bed = Bed::new();
    let wait = Duration::from_millis(2500);
    let failure = ProposeError::Unavailable { reason: "no leader".to_owned(), retry_after: wait };
    bed.log.failures.lock().unwrap().push_back(failure);
    let got = deploy(&bed, DEPLOY).await;
    got.is_error(503, "no_quorum", "no leader");
    assert_eq!(got.headers["retry-after"], "3");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_outcome_is_told_with_a_way_to_find_out() {
    let bed = Bed::new();
    bed.log.failures.lock().unwrap().push_back(unknown());
    let body = r#"{"modelId":"mock","cluster":"default","name":"n"}"#;
    let got = deploy(&bed, body).await;
    got.is_error(504, "outcome_unknown", "Idempotency-Key: ");
    let message = got.error().2;
    let key = message.split('`').nth(1).unwrap().trim_start_matches("Idempotency-Key: ").to_owned();
    assert_eq!(posted(&bed, "/v1/deploy", Scope::Deploy, &key, body).await.status, 202);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_change_gets_the_first_outcome() {
    let bed = Bed::new();
    let first = posted(&bed, "/v1/deploy", Scope::Deploy, "k1", DEPLOY).await;
    let again = posted(&bed, "/v1/deploy", Scope::Deploy, "k1", DEPLOY).await;
    assert_eq!(first.json(), again.json());
    // Another caller's key of the same text is another change.
    let other = posted(&bed, "/v1/deploy", Scope::Admin, "k1", DEPLOY).await;
    other.is_error(409, "conflict", "exists already");
    posted(&bed, "/v1/deploy", Scope::Deploy, "", DEPLOY).await.is_error(400, "invalid_value", "visible");

    assert_eq!(posted(&bed, "/api/keys", Scope::Admin, "k2", r#"{"name":"x"}"#).await.status, 201);
    let again = posted(&bed, "/api/keys", Scope::Admin, "k2", r#"{"name":"x"}"#).await;
    again.is_error(409, "conflict", "make another");
    assert_eq!(bed.view.load().state.keys.len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_key_that_was_used_for_another_request_is_refused() {
    let bed = Bed::new();
    let id = bed.deployment("m", &[ME]);
    let scale = |key, body| posted(&bed, "/api/deployments/m/scale", Scope::Deploy, key, body);
    assert_eq!(scale("k", r#"{"replicas":2}"#).await.status, 200);
    scale("k", r#"{"replicas":3}"#).await.is_error(422, "idempotency_key_reused", "new key");
    let stop = posted(&bed, "/api/deployments/m/stop", Scope::Deploy, "k", "").await;
    stop.is_error(422, "idempotency_key_reused", "new key");
    assert_eq!(scale("k", r#"{"replicas":2}"#).await.status, 200);
    assert_eq!(bed.view.load().state.deployments.get(&id).unwrap().wanted(), 2);
    // What was refused before anything was asked of the cluster used no key.
    posted(&bed, "/v1/deploy", Scope::Deploy, "d", r#"{"modelId":"mock","cluster":"no"}"#).await.error();
    assert_eq!(posted(&bed, "/v1/deploy", Scope::Deploy, "d", DEPLOY).await.error().0, 409);
}

#[tokio::test(start_paused = true)]
async fn a_repeated_removal_gets_the_first_outcome() {
    let bed = Bed::new();
    let id = bed.deployment("m", &[ME]).to_string();
    bed.deployment("n", &[ME]);
    let cases = [
        (Method::DELETE, "/api/deployments/n".to_owned(), Scope::Deploy),
        (Method::DELETE, format!("/api/deployments/{id}"), Scope::Deploy),
        (Method::POST, "/api/nodes/two/leave".to_owned(), Scope::Admin),
        (Method::DELETE, "/api/nodes/two".to_owned(), Scope::Admin),
    ];
    let leaving = json!({ "id": OTHER.to_string(), "standing": "leaving" });
    let [name, id, two] = ["n", &id, "two"].map(|named| json!({ "deleted": named }));
    // What left is gone by then.
    let answers = [(&name, &name), (&id, &id), (&leaving, &two), (&two, &two)];
    for ((method, path, scope), (first, _)) in cases.iter().zip(answers) {
        let got = keyed(&bed, method.clone(), path, *scope, path, "").await;
        assert_eq!((got.status.as_u16(), &got.json()), (200, first), "{path}");
    }
    for ((method, path, scope), (_, later)) in cases.iter().zip(answers) {
        let again = keyed(&bed, method.clone(), path, *scope, path, "").await;
        assert_eq!((again.status.as_u16(), &again.json()), (200, later), "{path}");
        let other = keyed(&bed, method.clone(), path, *scope, "another", "").await;
        assert_eq!(other.error().0, 404, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_repeated_removal_spares_what_has_the_name_now() {
    let bed = Bed::new();
    bed.deployment("m", &[ME]);
    let remove = || keyed(&bed, Method::DELETE, "/api/deployments/m", Scope::Deploy, "k", "");
    assert_eq!(remove().await.status, 200);
    let later = bed.deployment("m", &[ME]);
    assert_eq!(remove().await.status, 200);
    assert!(bed.view.load().state.deployments.contains(&later));
}

#[tokio::test(start_paused = true)]
async fn a_consistent_read_waits_for_the_log() {
    let bed = Bed::new();
    assert_eq!(bed.get("/api/nodes?consistent=true").await.status, 200);
    assert_eq!(bed.log.barriers.load(Ordering::SeqCst), 1);
    assert_eq!(bed.get("/api/nodes").await.status, 200);
    assert_eq!(bed.log.barriers.load(Ordering::SeqCst), 1);
    bed.log.failures.lock().unwrap().push_back(unknown());
    assert_eq!(bed.get("/api/nodes?consistent=true").await.error().0, 504);
    assert_eq!(bed.get("/api/nodes?consistent=maybe").await.error().0, 400);
}

#[tokio::test(start_paused = true)]
async fn what_the_domain_refuses_becomes_its_status() {
    let bed = Bed::new();
    let admin = |method, path| bed.ask(method, path, Scope::Admin, "");
    admin(Method::DELETE, "/api/keys/key-999").await.is_error(404, "not_found", "key-");
    admin(Method::DELETE, "/api/keys/7").await.is_error(400, "invalid_value", "key-");
    admin(Method::DELETE, "/api/models/none").await.is_error(404, "not_found", "none");
    let last = bed.view.load().state.keys.rows().last().unwrap().id;
    let path = format!("/api/keys/{last}");
    admin(Method::DELETE, &path).await.is_error(409, "conflict", "last key");
    bed.apply(Command::Node(node::Command::Remove { id: OTHER }));
    admin(Method::DELETE, "/api/nodes/two").await.is_error(404, "not_found", "two");
}
