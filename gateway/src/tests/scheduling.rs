//! What operators see of where things run, and what they can say about it.

use domain::Command;
use domain::deployment;
use domain::key::Scope;
use http::Method;
use serde_json::json;

use super::bed::*;

async fn admin(bed: &Bed, method: Method, path: &str, body: &str) -> Got {
    bed.ask(method, path, Scope::Admin, body).await
}

#[tokio::test(start_paused = true)]
async fn a_node_is_closed_emptied_and_opened() {
    let bed = Bed::new();
    bed.deployment("mine", &[OTHER]);
    let got = admin(&bed, Method::POST, "/api/nodes/two/cordon", "").await.json();
    assert_eq!((&got["work"], &got["drain"]), (&json!("cordoned"), &json!(null)));
    let got = admin(&bed, Method::POST, "/api/nodes/two/drain", "").await.json();
    assert_eq!((&got["work"], &got["drain"]["left"]), (&json!("draining"), &json!(1)));
    let warnings = bed.get("/api/status").await.json()["warnings"].to_string();
    assert!(warnings.contains("node two is drained"), "{warnings}");
    let got = admin(&bed, Method::POST, "/api/nodes/two/uncordon", "").await.json();
    assert_eq!((&got["work"], &got["drain"]), (&json!("open"), &json!(null)));
    let denied = bed.ask(Method::POST, "/api/nodes/two/drain", Scope::Deploy, "").await;
    assert_eq!(denied.status, 403);
    let none = admin(&bed, Method::POST, "/api/nodes/three/drain", "").await;
    none.is_error(404, "not_found", "no node `three`");
}

#[tokio::test(start_paused = true)]
async fn a_deployment_that_would_exceed_a_quota_is_refused_with_figures() {
    let bed = Bed::new();
    let got = admin(&bed, Method::PUT, "/api/quotas/research", r#"{"replicas": 2}"#).await.json();
    assert_eq!(got["quota"], json!({"replicas": 2, "gpus": null, "memoryMib": null}));
    let deploy = |name: &str, replicas: u32| {
        json!({"modelId": "mock", "cluster": "blue", "name": name, "replicas": replicas, "tenant": "research"})
            .to_string()
    };
    let made = bed.ask(Method::POST, "/v1/deploy", Scope::Deploy, &deploy("a", 2)).await;
    assert_eq!(made.status, 202);
    let refused = bed.ask(Method::POST, "/v1/deploy", Scope::Deploy, &deploy("b", 1)).await;
    refused.is_error(
        409,
        "conflict",
        "may have 2 replicas: its other deployments take 2, and this asks for 1",
    );
    let rows = bed.get("/api/quotas").await.json();
    assert_eq!(rows["quotas"][0]["used"]["replicas"], 2);
    admin(&bed, Method::PUT, "/api/quotas/x", "{}").await.is_error(400, "invalid_value", "limits something");
    let gone = admin(&bed, Method::DELETE, "/api/quotas/research", "").await.json();
    assert_eq!(gone, json!({"deleted": "research"}));
}

#[tokio::test(start_paused = true)]
async fn a_policy_is_shown_changed_and_checked() {
    let bed = Bed::new();
    let body = r#"{"modelId": "mock", "cluster": "blue", "name": "a", "zones": ["az2"], "priority": 7}"#;
    assert_eq!(bed.ask(Method::POST, "/v1/deploy", Scope::Deploy, body).await.status, 202);
    let policy = bed.get("/api/deployments/a").await.json()["policy"].clone();
    assert_eq!(
        policy,
        json!({"tenant": "default", "priority": 7, "antiAffinity": "preferred", "nodes": [], "zones": ["az2"]})
    );
    let path = "/api/deployments/a/policy";
    let got =
        bed.ask(Method::POST, path, Scope::Deploy, r#"{"antiAffinity": "required", "zones": []}"#).await;
    assert_eq!(got.json()["policy"]["antiAffinity"], "required");
    assert_eq!(got.json()["policy"]["priority"], 7, "what is not given stays");
    let wrong = bed.ask(Method::POST, path, Scope::Deploy, r#"{"nodes": ["three"]}"#).await;
    wrong.is_error(400, "invalid_value", "there is no node `three`");
    let wrong = bed.ask(Method::POST, path, Scope::Deploy, r#"{"antiAffinity": "never"}"#).await;
    assert_eq!(wrong.json()["error"]["param"], "antiAffinity");
}

#[tokio::test(start_paused = true)]
async fn every_replica_and_every_node_is_explained() {
    let bed = Bed::new();
    bed.deployment("mine", &[ME]);
    let id = bed.view.load().state.deployment_named("mine").unwrap().id;
    let body = r#"{"zones": ["az1"], "antiAffinity": "required"}"#;
    bed.ask(Method::POST, "/api/deployments/mine/policy", Scope::Deploy, body).await;
    bed.apply(Command::Deployment(deployment::Command::Scale { id, replicas: 2 }));
    let got = bed.get("/api/deployments/mine/explain").await.json();
    assert_eq!(got["replicas"][0]["nodes"][0]["verdict"], "it is here");
    let none = &got["replicas"][1];
    let told = none["reason"].as_str().unwrap();
    assert!(
        told.contains("1 are not among its nodes and zones, 1 have one of its replicas already"),
        "{told}"
    );
    assert!(none["nodes"][1]["verdict"].as_str().unwrap().contains("not among the nodes and zones"));
    assert!(got["events"].as_array().is_some_and(|events| !events.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn events_are_listed_by_subject_and_followed() {
    let bed = Bed::new();
    let id = bed.deployment("mine", &[ME]);
    let all = bed.get("/api/events").await.json();
    let next = all["next"].as_str().unwrap().to_owned();
    assert!(
        bed.get(&format!("/api/events?after={next}")).await.json()["events"].as_array().unwrap().is_empty()
    );
    bed.apply(Command::Deployment(deployment::Command::Stop(id)));
    let later = bed.get(&format!("/api/events?after={next}&deployment=mine")).await.json();
    assert_eq!(later["events"][0]["kind"], "deployment_stopped");
    assert_eq!(later["events"].as_array().unwrap().len(), 1);
    assert!(bed.get("/api/events?node=two").await.text().contains("node two came in"));
    bed.get("/api/events?deployment=none").await.is_error(404, "not_found", "no deployment `none`");
    bed.get("/api/events?after=1").await.is_error(400, "invalid_value", "event id");
}

#[tokio::test(start_paused = true)]
async fn a_rebalance_shows_its_moves_before_it_begins() {
    let bed = Bed::new();
    bed.deployment("mine", &[ME, ME]);
    let plan = bed.get("/api/rebalance").await.json();
    assert_eq!((&plan["running"], plan["moves"].as_array().unwrap().len()), (&json!(false), 1));
    assert_eq!((&plan["moves"][0]["from"], &plan["moves"][0]["to"]), (&json!("one"), &json!("two")));
    let begun = admin(&bed, Method::POST, "/api/rebalance", "").await.json();
    assert_eq!(begun["running"], true);
    let ended = admin(&bed, Method::DELETE, "/api/rebalance", "").await.json();
    assert_eq!(ended["running"], false);
    let set = admin(&bed, Method::PUT, "/api/moves", r#"{"planned_max": 2}"#).await.json();
    assert_eq!(set, json!({"planned_max": 2, "urgent_max": 64}));
    admin(&bed, Method::PUT, "/api/moves", r#"{"planned_max": 0}"#).await.is_error(
        400,
        "invalid_value",
        "1 to",
    );
}
