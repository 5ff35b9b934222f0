//! Declared dialects as operators put them, and providers that speak them.

use domain::key::Scope;
use http::Method;
use serde_json::{Value, json};

use super::bed::*;
use crate::api::docs::schemas;

async fn admin(bed: &Bed, method: Method, path: &str, body: &Value) -> Got {
    bed.ask(method, path, Scope::Admin, &body.to_string()).await
}

async fn put(bed: &Bed, declaration: &Value) -> Got {
    let path = format!("/api/adapters/{}", declaration["name"].as_str().unwrap());
    admin(bed, Method::PUT, &path, declaration).await
}

fn example() -> Value {
    schemas()["AdapterDeclaration"]["example"].clone()
}

fn versions(shown: &Value) -> Vec<u64> {
    shown["versions"].as_array().unwrap().iter().map(|v| v["version"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_declaration_is_put_in_versions_and_goes_back_to_one() {
    let bed = Bed::new();
    let first = example();
    let shown = put(&bed, &first).await.json();
    assert_eq!((&shown["current"], &shown["shipped"]), (&json!(1), &json!(false)));
    // The same again is no other version.
    assert_eq!(versions(&put(&bed, &first).await.json()), [1]);
    let second = Value::Object(
        first
            .as_object()
            .unwrap()
            .iter()
            .map(|(k, v)| (k.clone(), v.clone()))
            .filter(|(k, _)| k != "passes")
            .collect(),
    );
    let shown = put(&bed, &second).await.json();
    assert_eq!((&shown["current"], versions(&shown)), (&json!(2), vec![1, 2]));
    assert_eq!(bed.get("/api/adapters/example").await.json()["declaration"], second);
    assert_eq!(bed.get("/api/adapters/example?version=1").await.json()["declaration"], first);
    bed.get("/api/adapters/example?version=3").await.is_error(404, "not_found", "no version 3");
    bed.get("/api/adapters/example?version=x").await.is_error(400, "invalid_value", "`version`");
    let back = "/api/adapters/example/rollback";
    assert_eq!(admin(&bed, Method::POST, back, &json!({ "version": 1 })).await.json()["current"], 1);
    assert_eq!(bed.get("/api/adapters/example").await.json()["declaration"], first);
    let wrong = admin(&bed, Method::POST, back, &json!({ "version": 9 })).await;
    wrong.is_error(404, "not_found", "has no version 9: it has 1, 2");
    let gone = admin(&bed, Method::DELETE, "/api/adapters/example", &json!({})).await.json();
    assert_eq!(gone, json!({ "deleted": "example" }));
    bed.get("/api/adapters/example").await.is_error(404, "not_found", "there is no adapter `example`");
}

#[tokio::test(start_paused = true)]
async fn what_comes_with_the_program_is_listed_and_can_be_stood_in_for() {
    let bed = Bed::new();
    put(&bed, &example()).await;
    let listed = bed.get("/api/adapters").await.json();
    let names: Vec<&Value> = listed["adapters"].as_array().unwrap().iter().map(|a| &a["name"]).collect();
    assert_eq!(names, ["cohere", "dashscope-text", "example", "ollama-chat"]);
    let mut cohere = bed.get("/api/adapters/cohere").await.json();
    assert_eq!((&cohere["shipped"], &cohere["current"]), (&json!(true), &Value::Null));
    let removed = admin(&bed, Method::DELETE, "/api/adapters/cohere", &json!({})).await;
    removed.is_error(409, "conflict", "comes with the program");
    let own = cohere["declaration"].take();
    assert_eq!(put(&bed, &own).await.json()["current"], 1);
    let count = bed.get("/api/adapters").await.json()["adapters"].as_array().unwrap().len();
    assert_eq!(count, 4);
    assert_eq!(admin(&bed, Method::DELETE, "/api/adapters/cohere", &json!({})).await.status, 200);
    assert!(bed.get("/api/adapters/cohere").await.json()["current"].is_null());
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_declaration_is_told_by_its_field() {
    let bed = Bed::new();
    let with = |field: &str, value: Value| {
        let mut declaration = example();
        declaration[field] = value;
        declaration
    };
    for (declaration, param, says) in [
        (with("caht", json!({})), "caht", "unknown field"),
        (with("headers", json!(7)), "headers", "invalid type"),
        (with("base", json!("ftp://x")), "base", "https://"),
        (with("passes", json!({ "dance": { "path": "/x" } })), "passes.dance", "no operation"),
        (with("says", json!(["dreams"])), "says[0]", "no feature"),
        (with("name", json!("openai")), "name", "use another"),
        (with("name", json!("mock")), "name", "use another"),
        (with("root", json!("x".repeat(33_000))), "declaration", "32768 bytes"),
    ] {
        let got = put(&bed, &declaration).await;
        got.is_error(400, "invalid_value", says);
        assert_eq!(got.json()["error"]["param"], param, "{declaration}");
    }
    let other = admin(&bed, Method::PUT, "/api/adapters/other", &example()).await;
    other.is_error(400, "invalid_value", "the path says `other`");
    assert_eq!(other.json()["error"]["param"], "name");
    let broken = bed.ask(Method::PUT, "/api/adapters/example", Scope::Admin, "{\n x}").await;
    broken.is_error(400, "invalid_json", "line 2 column 2");
}

#[tokio::test(start_paused = true)]
async fn a_provider_may_speak_what_was_declared() {
    let bed = Bed::new();
    let provider = |kind: &str| json!({ "name": "p", "kind": kind, "models": ["m"] });
    let unknown = admin(&bed, Method::POST, "/api/providers", &provider("example")).await;
    unknown.is_error(400, "invalid_value", "ollama-chat");
    assert_eq!(unknown.json()["error"]["param"], "kind");
    put(&bed, &example()).await;
    let made = admin(&bed, Method::POST, "/api/providers", &provider("example")).await.json();
    assert_eq!((&made["kind"], &made["url"]), (&json!("example"), &json!("https://api.example.com")));
    let removed = admin(&bed, Method::DELETE, "/api/adapters/example", &json!({})).await;
    removed.is_error(409, "conflict", "provider `p` speaks `example`");
    let made = admin(&bed, Method::POST, "/api/providers", &provider("cohere")).await.json();
    assert_eq!((&made["kind"], made["url"].is_string()), (&json!("cohere"), true));
    let no_url = admin(&bed, Method::POST, "/api/providers", &provider("ollama-chat")).await;
    no_url.is_error(400, "invalid_value", "base URL");
}
