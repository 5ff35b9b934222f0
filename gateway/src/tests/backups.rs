//! Backups as a stream, and how they come back in steps.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::key::Scope;
use http::Method;
use serde_json::{Value, json};

use super::bed::*;

fn recipient() -> String {
    "ab".repeat(32)
}

async fn lines(bed: &Bed) -> Vec<Value> {
    let path = format!("/api/backup?recipient={}", recipient());
    let got = bed.ask(Method::GET, &path, Scope::Admin, "").await;
    assert_eq!(
        (got.status.as_u16(), &got.headers["content-type"]),
        (200, &"application/x-ndjson".parse().unwrap())
    );
    got.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn post(bed: &Bed, path: &str, body: &Value) -> Got {
    bed.ask(Method::POST, path, Scope::Admin, &body.to_string()).await
}

fn begin(head: &Value, shown: &Value) -> Value {
    json!({
        "backup": head["id"], "base": head["base"], "node": shown["node"], "data_keys": head["data_keys"],
    })
}

/// Everything that users have is taken away again, but for the key that asks.
fn emptied() -> Bed {
    let bed = Bed::new();
    for name in ["a", "b"] {
        bed.apply(domain::Command::Provider(domain::provider::Command::Remove(name.into())));
    }
    let others: Vec<_> =
        bed.view.load().state.keys.rows().filter(|k| k.name != "admin").map(|k| k.id).collect();
    for id in others {
        bed.apply(domain::Command::Key(domain::key::Command::Revoke(id)));
    }
    bed
}

#[tokio::test(start_paused = true)]
async fn a_backup_has_a_head_rows_and_an_end_of_one_moment() {
    let bed = Bed::new();
    bed.deployment("mine", &[ME]);
    let barriers = bed.log.barriers.load(std::sync::atomic::Ordering::SeqCst);
    let lines = lines(&bed).await;
    assert_eq!(
        bed.log.barriers.load(std::sync::atomic::Ordering::SeqCst),
        barriers + 1,
        "nothing acknowledged is missed"
    );
    let head = &lines[0]["head"];
    assert_eq!((&head["cluster"], &head["at"]), (&json!("blue"), &json!("2023-11-14T22:13:20.000Z")));
    assert_eq!(head["index"], head["base"]);
    assert_eq!(head["data_keys"][0]["ephemeral"], json!(recipient()));
    let rows: Vec<&Value> =
        lines[1..lines.len() - 1].iter().flat_map(|l| l["rows"].as_array().unwrap()).collect();
    assert_eq!(lines[lines.len() - 1], json!({ "end": { "rows": rows.len() } }));
    assert_eq!(rows.len(), 1 + 1 + 2 + 4, "a model, a deployment, providers and keys");
}

#[tokio::test(start_paused = true)]
async fn what_a_backup_is_asked_with_is_checked() {
    let bed = Bed::new();
    for path in ["/api/backup", "/api/backup?recipient=xyz", "/api/backup?recipient=ab"] {
        let got = bed.ask(Method::GET, path, Scope::Admin, "").await;
        got.is_error(400, "invalid_value", "64 hexadecimal digits");
    }
    let path = format!("/api/backup?recipient={}", recipient());
    bed.ask(Method::GET, &path, Scope::Deploy, "").await.is_error(403, "missing_scope", "admin");
}

#[tokio::test(start_paused = true)]
async fn a_backup_comes_back_in_steps_and_its_deployments_are_placed_anew() {
    let old = Bed::new();
    old.deployment("mine", &[ME]);
    let lines = lines(&old).await;
    let head = &lines[0]["head"];

    let new = emptied();
    let shown = new.ask(Method::GET, "/api/restore", Scope::Admin, "").await.json();
    assert_eq!((&shown["occupied"], &shown["under_way"]), (&Value::Null, &Value::Null));
    assert_eq!(post(&new, "/api/restore", &begin(head, &shown)).await.status, 200);
    let shown = new.ask(Method::GET, "/api/restore", Scope::Admin, "").await.json();
    assert_eq!(shown["under_way"], head["id"]);
    assert!(new.view.load().state.secrets.contains(&domain::secret::data_key_name("1")));
    for line in lines.iter().filter(|line| line["rows"].is_array()) {
        let body = json!({ "backup": head["id"], "rows": line["rows"] });
        assert_eq!(post(&new, "/api/restore/rows", &body).await.status, 200);
    }
    let ended = post(&new, "/api/restore/end", &json!({ "backup": head["id"] })).await.json();
    assert_eq!(ended["ended_at"], "2023-11-14T22:13:20.000Z");
    let state = new.view.load().state.clone();
    assert_eq!(state.keys.len(), 4, "the key that asked is one of the backup's");
    let deployment = state.deployment_named("mine").unwrap();
    assert!(deployment.replicas.is_empty() && deployment.wanted() == 1);
}

#[tokio::test(start_paused = true)]
async fn a_restore_says_what_is_wrong_with_it() {
    let bed = Bed::new();
    let head = lines(&bed).await[0]["head"].clone();
    let shown = bed.ask(Method::GET, "/api/restore", Scope::Admin, "").await.json();
    assert_eq!(shown["occupied"], "2 providers, 3 keys beside the one used here");
    let body = begin(&head, &shown);
    post(&bed, "/api/restore", &body).await.is_error(409, "conflict", "not empty (2 providers");
    let elsewhere = json!({ "backup": "b", "base": 1, "node": OTHER.to_string() });
    post(&bed, "/api/restore", &elsewhere).await.is_error(409, "conflict", "ask that one");
    let rows = json!({ "backup": "b", "rows": [["!", "AA=="]] });
    post(&bed, "/api/restore/rows", &rows).await.is_error(400, "invalid_value", "base64");
    let rows = json!({ "backup": "b", "rows": [[STANDARD.encode(b"\x02m"), "gA=="]] });
    post(&bed, "/api/restore/rows", &rows).await.is_error(409, "conflict", "llmhub restore");
    post(&bed, "/api/restore/end", &json!({ "backup": "b" })).await.is_error(
        409,
        "conflict",
        "not being restored",
    );
}
