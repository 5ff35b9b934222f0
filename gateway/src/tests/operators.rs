//! What operators see and do.

use std::collections::BTreeSet;

use domain::deployment::{self, Phase};
use domain::key::Scope;
use domain::{Command, Export, Health};
use http::Method;
use serde_json::{Value, json};

use super::bed::*;

async fn admin(bed: &Bed, method: Method, path: &str, body: &str) -> Got {
    bed.ask(method, path, Scope::Admin, body).await
}

#[tokio::test(start_paused = true)]
async fn health_and_readiness_need_no_key() {
    let bed = Bed::new();
    let bare = |path: &str| http::Request::get(path).body(Default::default()).unwrap();
    let health = bed.send(bare("/health")).await.json();
    assert_eq!(
        health,
        json!({"status": "ok", "node": ME.to_string(), "version": "0.0.0+level.6", "leader_known": true, "mode": "normal", "degraded": null})
    );
    assert_eq!(bed.send(bare("/ready")).await.status, 200);
    bed.gateway.drain();
    assert_eq!(bed.send(bare("/ready")).await.json()["reason"], "the node is draining");
}

#[tokio::test(start_paused = true)]
async fn models_are_listed_in_both_shapes() {
    let bed = Bed::new();
    bed.deployment("mine", &[ME]);
    let got = bed.ask(Method::GET, "/v1/models", Scope::Inference, "").await.json();
    assert_eq!(got["object"], "list");
    let ids = |field: &str| -> Vec<String> {
        got[field].as_array().unwrap().iter().map(|m| m["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(ids("data"), ["api", "mine"]);
    assert_eq!(got["data"][0]["object"], "model");
    assert_eq!(ids("models"), ["api", "mine", "mock"]);
    for field in ["id", "name", "description"] {
        assert!(got["models"][0][field].is_string());
    }
    let one = bed.ask(Method::GET, "/v1/models/mine", Scope::Inference, "").await.json();
    assert_eq!(one["owned_by"], "llmhub");
    for path in ["/v1/models/b/api", "/v1/models/b%2Fapi"] {
        let one = bed.ask(Method::GET, path, Scope::Inference, "").await.json();
        assert_eq!((&one["id"], &one["owned_by"]), (&json!("b/api"), &json!("b")), "{path}");
    }
    let none = bed.ask(Method::GET, "/v1/models/a/b", Scope::Inference, "").await;
    none.is_error(404, "model_not_found", "a/b");
}

#[tokio::test(start_paused = true)]
async fn nodes_are_shown_by_id_and_by_name_and_can_leave() {
    let bed = Bed::new();
    bed.health(OTHER, Health::Suspect);
    let got = bed.get("/api/nodes").await.json();
    let health: Vec<&Value> = got["nodes"].as_array().unwrap().iter().map(|n| &n["health"]).collect();
    assert_eq!(health, ["alive", "suspect"]);
    assert_eq!((&got["nodes"][0]["leader"], &got["nodes"][0]["voter"]), (&json!(true), &json!(true)));
    assert_eq!(bed.get("/api/nodes/two").await.json(), bed.get(&format!("/api/nodes/{OTHER}")).await.json());
    assert_eq!(admin(&bed, Method::POST, "/api/nodes/two/leave", "").await.status, 200);
    assert_eq!(bed.get("/api/nodes/two").await.json()["standing"], "leaving");
    assert_eq!(admin(&bed, Method::DELETE, "/api/nodes/two", "").await.status, 200);
    bed.get("/api/nodes/two").await.is_error(404, "not_found", "`two`");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_is_shown_with_its_replicas_and_with_what_keeps_others_from_running() {
    let bed = Bed::new();
    let id = bed.deployment("m", &[ME]);
    let shown = bed.get("/api/deployments/m").await.json();
    assert_eq!((&shown["status"], &shown["ready"]), (&json!("ready"), &json!(1)));
    assert_eq!(shown["replicas"][0]["node_name"], "one");
    let deploy = |path: &str, body: &'static str| {
        let path = format!("/api/deployments/{id}{path}");
        let bed = &bed;
        async move { bed.ask(Method::POST, &path, Scope::Deploy, body).await }
    };
    let scaled = deploy("/scale", r#"{"replicas":2}"#).await.json();
    assert_eq!((&scaled["status"], &scaled["wanted"]), (&json!("degraded"), &json!(2)));
    let epoch = bed.assign(id, 1, None, OTHER);
    let phase = Phase::Failed { reason: "no file".to_owned() };
    bed.apply(Command::Deployment(deployment::Command::Report { id, ordinal: 1, epoch, phase }));
    let shown = bed.get("/api/deployments/m").await.json();
    assert_eq!(
        (&shown["replicas"][1]["phase"], &shown["replicas"][1]["reason"]),
        (&json!("failed"), &json!("no file"))
    );
    assert_eq!(shown["refusals"][0]["reason"], "no file");
    assert_eq!(deploy("/stop", "").await.json()["desired"], "stopped");
    assert_eq!(deploy("/start", "").await.json()["desired"], "running");
    assert_eq!(deploy("/restart", "").await.status, 200);
    deploy("/scale", r#"{"replicas":5000}"#).await.is_error(400, "invalid_value", "replicas");
    let gone = bed.ask(Method::DELETE, "/api/deployments/m", Scope::Deploy, "").await.json();
    assert_eq!(gone["deleted"], "m");
    bed.get("/api/deployments/m").await.is_error(404, "not_found", "`m`");
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_no_node_can_take_is_told_why() {
    let bed = Bed::new();
    let body = r#"{"modelId":"mock","cluster":"default","name":"big","resources":{"gpu":8}}"#;
    assert_eq!(bed.ask(Method::POST, "/v1/deploy", Scope::Deploy, body).await.status, 202);
    let shown = bed.get("/api/deployments/big").await.json();
    assert_eq!(shown["status"], "pending");
    let reason = shown["unplaced"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("GPU"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn logs_come_from_the_node_that_runs_the_replica() {
    let bed = Bed::new();
    bed.deployment("m", &[ME, OTHER]);
    let got = bed.get("/api/deployments/m/logs?replica=0&tail=2").await.json();
    assert_eq!(got["lines"], json!(["one", "two"]));
    bed.get("/api/deployments/m/logs?replica=1").await.is_error(503, "node_unreachable", "not reachable");
    bed.get("/api/deployments/m/logs?replica=2").await.is_error(404, "not_found", "not placed");
    bed.get("/api/deployments/m/logs?tail=x").await.is_error(400, "invalid_value", "number");
    bed.get("/api/actors").await.is_error(504, "node_timeout", "in time");
}

#[tokio::test(start_paused = true)]
async fn a_provider_s_key_is_sealed_and_never_shown() {
    let bed = Bed::new();
    let put = |body: &'static str| admin(&bed, Method::POST, "/api/providers", body);
    let got = put(r#"{"name":"p","url":"https://p.test/v1/","api_key":"sk-secret","models":["x"]}"#).await;
    assert_eq!(got.status, 201);
    assert_eq!((&got.json()["url"], &got.json()["has_key"]), (&json!("https://p.test/v1"), &json!(true)));
    assert!(!bed.get("/api/providers").await.text().contains("sk-secret"));
    let sealed = || bed.view.load().state.providers.get(&"p".into()).unwrap().sealed().cloned();
    assert!(!sealed().unwrap().bytes.windows(6).any(|w| w == b"secret"));
    // Kept while the URL stays; never sent to another one.
    assert_eq!(put(r#"{"name":"p","url":"https://p.test/v1","models":["x","y"]}"#).await.status, 201);
    assert!(sealed().is_some());
    assert_eq!(put(r#"{"name":"p","url":"https://evil.test/v1","models":["x"]}"#).await.status, 201);
    assert!(sealed().is_none());
    put(r#"{"name":"p","url":"http://169.254.169.254/v1","models":["x"]}"#).await.is_error(
        400,
        "invalid_value",
        "metadata",
    );
    put(r#"{"name":"p","models":["x"]}"#).await.is_error(400, "invalid_value", "url");
    assert_eq!(put(r#"{"name":"m","kind":"mock","models":["mock"]}"#).await.json()["kind"], "mock");
    assert_eq!(admin(&bed, Method::DELETE, "/api/providers/p", "").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_key_is_shown_once_and_works_until_it_is_revoked() {
    let bed = Bed::new();
    let made = admin(&bed, Method::POST, "/api/keys", r#"{"name":"app","scopes":["read","read"]}"#).await;
    assert_eq!(made.status, 201);
    let made = made.json();
    let text = made["key"].as_str().unwrap().to_owned();
    assert_eq!((text.len(), text.starts_with("sk-llmhub-")), (74, true));
    assert_eq!(made["scopes"], json!(["read"]));
    let list = admin(&bed, Method::GET, "/api/keys", "").await.text();
    assert!(list.contains(made["prefix"].as_str().unwrap()) && !list.contains(&text));
    let status = || async {
        let request = http::Request::get("/api/nodes").header("authorization", format!("bearer {text}"));
        bed.send(request.body(Default::default()).unwrap()).await.status.as_u16()
    };
    assert_eq!(status().await, 200);
    let path = format!("/api/keys/{}", made["id"].as_str().unwrap());
    assert_eq!(admin(&bed, Method::DELETE, &path, "").await.status, 200);
    assert_eq!(status().await, 401);
    let wrong = admin(&bed, Method::POST, "/api/keys", r#"{"name":"app","scopes":["root"]}"#).await;
    wrong.is_error(400, "invalid_value", "`admin`");
}

#[tokio::test(start_paused = true)]
async fn a_join_token_is_shown_once_and_can_be_revoked() {
    let bed = Bed::new();
    let made = admin(&bed, Method::POST, "/api/tokens", "{}").await.json();
    assert!(made["token"].as_str().unwrap().starts_with("join-"));
    assert_eq!((&made["uses_left"], &made["expires_at"]), (&json!(1), &json!("2023-11-14T23:13:20.000Z")));
    assert!(!admin(&bed, Method::GET, "/api/tokens", "").await.text().contains("join-"));
    let path = format!("/api/tokens/{}", made["id"].as_str().unwrap());
    assert_eq!(admin(&bed, Method::DELETE, &path, "").await.status, 200);
    let wrong = admin(&bed, Method::POST, "/api/tokens", r#"{"uses":0}"#).await;
    wrong.is_error(400, "invalid_value", "at least once");
}

#[tokio::test(start_paused = true)]
async fn a_model_is_registered_and_forgotten() {
    let bed = Bed::new();
    let body = r#"{"id":"org/m","path":"/m/m.gguf"}"#;
    assert_eq!(bed.ask(Method::POST, "/api/models", Scope::Deploy, body).await.status, 201);
    assert_eq!(bed.get("/api/models").await.json()["models"][0]["id"], "org/m");
    assert_eq!(bed.ask(Method::DELETE, "/api/models/org/m", Scope::Deploy, "").await.status, 200);
    let wrong = bed.ask(Method::POST, "/api/models", Scope::Deploy, r#"{"id":"m","path":"m.gguf"}"#).await;
    wrong.is_error(400, "invalid_value", "absolute");
}

#[tokio::test(start_paused = true)]
async fn the_status_warns_of_what_the_cluster_cannot_survive() {
    let bed = Bed::new();
    let status = bed.get("/api/status").await.json();
    assert_eq!((&status["cluster"], &status["leader"]["name"]), (&json!("blue"), &json!("one")));
    assert_eq!(status["zones"], json!({"az1": 1, "az2": 1}));
    let warnings: BTreeSet<&str> =
        status["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(warnings.iter().any(|w| w.contains("two zones cannot survive the loss of either")));
    assert!(warnings.iter().any(|w| w.contains("2 nodes: 1 voter")));
}

#[tokio::test(start_paused = true)]
async fn an_exported_view_tells_what_is_where_and_no_secret() {
    let bed = Bed::new();
    let id = bed.deployment("m", &[ME]);
    let epoch = bed.assign(id, 1, None, OTHER);
    let phase = Phase::Failed { reason: "started with --key hidden-words".to_owned() };
    bed.apply(Command::Deployment(deployment::Command::Report { id, ordinal: 1, epoch, phase }));
    let body = r#"{"modelId":"mock","cluster":"default","name":"e","env":{"TOKEN":"hidden-value"},"args":["hidden-arg"]}"#;
    assert_eq!(bed.ask(Method::POST, "/v1/deploy", Scope::Deploy, body).await.status, 202);
    let put = r#"{"name":"p","url":"https://p.test/v1","api_key":"hidden-key","models":["x"]}"#;
    assert_eq!(admin(&bed, Method::POST, "/api/providers", put).await.status, 201);
    assert_eq!(bed.ask(Method::GET, "/api/view", Scope::Read, "").await.status, 403);
    let got = admin(&bed, Method::GET, "/api/view", "").await;
    assert!(!got.text().contains("hidden"), "{}", got.text());
    let view = bed.view.load();
    let sealed = view.state.providers.get(&"p".into()).unwrap().sealed();
    let sealed = serde_json::to_string(sealed.unwrap()).unwrap();
    assert!(!got.text().contains(&sealed) && !got.text().contains("sk-llmhub"));
    let export: Export = serde_json::from_value(got.json()).unwrap();
    assert_eq!((export.format, export.cluster.as_str(), export.nodes.len()), (1, "blue", 2));
    let view = export.view().unwrap();
    assert_eq!(view.state.deployments.get(&id).unwrap().replicas.len(), 2);
    assert_eq!((view.leader, view.voters.len()), (Some(ME), 1));
    assert!(export.providers.iter().any(|offer| offer.url.as_deref() == Some("https://p.test/v1")));
}
