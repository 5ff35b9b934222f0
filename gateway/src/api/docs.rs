//! The OpenAPI document, made from the table of routes, and a page that shows it. Both need no key: they say nothing about
//! this cluster.

use axum::Json;
use axum::extract::State;
use axum::response::Html;
use serde_json::{Map, Value, json};

use crate::extract::App;
use crate::routes::{ROUTES, Route};

/// Schemas of bodies, by name, each with an example.
const SCHEMAS: &str = include_str!("schemas.json");

pub(crate) async fn page() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}

pub(crate) async fn document(State(app): State<App>) -> Json<Value> {
    Json(openapi(&app.deps.version))
}

pub(crate) fn openapi(version: &str) -> Value {
    let mut paths = Map::new();
    for route in ROUTES {
        let path = paths.entry(template(route.path)).or_insert_with(|| json!({}));
        path[route.method] = operation(route);
    }
    let scheme = json!({ "type": "http", "scheme": "bearer", "description": "an API key: sk-llmhub-..." });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "LLMHub", "version": version, "description": "Every model of the company in one place." },
        "paths": paths,
        "components": { "schemas": schemas(), "securitySchemes": { "key": scheme } },
    })
}

pub(crate) fn schemas() -> Value {
    // A test reads the same text, so that a mistake in it never ships.
    serde_json::from_str(SCHEMAS).unwrap_or_else(|_| json!({}))
}

/// OpenAPI writes `{id}` for what the router writes `{*id}`.
fn template(path: &str) -> String {
    path.replace("{*", "{")
}

fn operation(route: &Route) -> Value {
    let error = json!({
        "description": "what is wrong and what to do",
        "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
    });
    let mut operation = json!({
        "summary": route.summary,
        "tags": [route.path.split('/').nth(1).unwrap_or_default()],
        "responses": { "2XX": { "description": "done" }, "4XX": error, "5XX": error },
    });
    if let Some(scope) = route.scope {
        operation["security"] = json!([{ "key": [] }]);
        operation["x-scope"] = json!(scope.as_str());
    }
    let parameters: Vec<Value> = route
        .path
        .split('{')
        .skip(1)
        .filter_map(|part| part.split('}').next())
        .map(|name| {
            let name = name.trim_start_matches('*');
            json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } })
        })
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(body) = route.body {
        let schema = json!({ "$ref": format!("#/components/schemas/{body}") });
        operation["requestBody"] =
            json!({ "required": true, "content": { "application/json": { "schema": schema } } });
    }
    operation
}
