//! The OpenAPI document, made from the table of routes, and a page that shows it. Both need no key: they say nothing about
//! this cluster.

use axum::Json;
use axum::extract::State;
use axum::response::Html;
use domain::key::Scope;
use serde_json::{Map, Value, json};

use super::deployments::LOG_TAIL;
use super::{events, page};
use crate::changes;
use crate::extract::App;
use crate::routes::{ROUTES, Route};

/// Schemas of bodies, by name, each with an example.
const SCHEMAS: &str = include_str!("schemas.json");

const JSON: &str = "application/json";
const FORM: &str = "multipart/form-data";
const BYTES: &str = "application/octet-stream";

pub(crate) async fn page() -> Html<&'static str> {
    Html(include_str!("docs.html"))
}

pub(crate) async fn document(State(app): State<App>) -> Json<Value> {
    Json(openapi(&app.deps.version))
}

pub(crate) fn openapi(version: &str) -> Value {
    let (mut paths, schemas) = (Map::new(), schemas());
    for route in ROUTES {
        let path = paths.entry(template(route.path)).or_insert_with(|| json!({}));
        path[route.method] = operation(route, &schemas);
    }
    let scheme = json!({ "type": "http", "scheme": "bearer", "description": "an API key: sk-llmhub-..." });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "LLMHub", "version": version, "description": "Every model of the company in one place." },
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": { "key": scheme } },
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

fn operation(route: &Route, schemas: &Value) -> Value {
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
    let parameters: Vec<Value> = in_path(route)
        .map(|name| parameter("path", name, true, json!({ "type": "string" }), ""))
        .chain(route.query.iter().map(|name| asked(route, name)))
        .chain(is_change(route).then(repeated))
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some(body) = route.body {
        let schema = json!({ "$ref": format!("#/components/schemas/{body}") });
        // Where no field is needed, no body is.
        let required = schemas[body]["required"].is_array();
        // What is not JSON is bytes as they are, or a form that holds a file.
        let media = match &schemas[body] {
            schema if schema["format"] == "binary" => BYTES,
            schema if schema["properties"]["file"]["format"] == "binary" => FORM,
            _ => JSON,
        };
        operation["requestBody"] =
            json!({ "required": required, "content": { media: { "schema": schema } } });
    }
    operation
}

/// The names in braces.
fn in_path(route: &Route) -> impl Iterator<Item = &'static str> {
    let parts = route.path.split('{').skip(1);
    parts.filter_map(|part| part.split('}').next()).map(|name| name.trim_start_matches('*'))
}

/// Whether a request changes metadata, and so may be repeated under a key.
fn is_change(route: &Route) -> bool {
    route.method != "get" && matches!(route.scope, Some(Scope::Deploy | Scope::Admin))
}

/// What a query asks.
fn asked(route: &Route, name: &str) -> Value {
    let of_events = route.path == "/api/events";
    let (schema, description) = match name {
        "consistent" => (
            json!({ "type": "boolean", "default": false }),
            "wait until the answer includes everything acknowledged anywhere before the call",
        ),
        "recipient" => (
            json!({ "type": "string", "minLength": 64, "maxLength": 64 }),
            "the backup's public key (X25519, 64 hexadecimal digits), for which the data keys are wrapped",
        ),
        "node" => {
            (json!({ "type": "string" }), "a node's id or name; of actors, the one that is asked by default")
        }
        "deployment" => (json!({ "type": "string" }), "a deployment's id or name"),
        "after" if of_events => {
            (json!({ "type": "string" }), "an event's id: only later ones, the first of them first")
        }
        "limit" if of_events => (json!({ "type": "integer", "default": events::LIMIT }), "events at most"),
        "replica" => (json!({ "type": "integer", "default": 0 }), "the replica's ordinal"),
        "tail" => (json!({ "type": "integer", "default": LOG_TAIL }), "lines at most"),
        "prefix" => (json!({ "type": "string" }), "what the keys begin with; all by default"),
        "after" => (json!({ "type": "string" }), "go on after this row: `next` of the answer before"),
        "limit" => (
            json!({ "type": "integer", "default": page::ROWS_DEFAULT, "maximum": page::ROWS_MAX }),
            "rows at most",
        ),
        "version" => (json!({ "type": "integer" }), "which version; the one that is spoken by default"),
        name => of_call(name),
    };
    parameter("query", name, name == "model", schema, description)
}

/// What tells of a call who would be asked for it.
fn of_call(name: &str) -> (Value, &'static str) {
    match name {
        "model" => (json!({ "type": "string" }), "the name that the call asks for"),
        "user" => (json!({ "type": "string" }), "whom the caller acts for"),
        "key" => (json!({ "type": "string" }), "the id of the key that it comes with"),
        "label" => (json!({ "type": "string" }), "the key's labels, between commas"),
        "vision" => (json!({ "type": "boolean", "default": false }), "whether there are pictures in it"),
        "tools" => (json!({ "type": "boolean", "default": false }), "whether it brings tools"),
        "json_schema" => {
            (json!({ "type": "boolean", "default": false }), "whether its answer has to fit a schema")
        }
        "tokens" => {
            (json!({ "type": "integer", "default": 0 }), "tokens read and written that have to fit in")
        }
        _ => (json!({}), ""),
    }
}

fn repeated() -> Value {
    let schema = json!({ "type": "string", "minLength": 1, "maxLength": changes::LEN_MAX });
    let description = "makes a repetition within ten minutes harmless: it is answered with the first outcome";
    parameter("header", "Idempotency-Key", false, schema, description)
}

fn parameter(place: &str, name: &str, required: bool, schema: Value, description: &str) -> Value {
    let mut parameter = json!({ "name": name, "in": place, "required": required, "schema": schema });
    if !description.is_empty() {
        parameter["description"] = json!(description);
    }
    parameter
}
