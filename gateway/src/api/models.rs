//! Models that can be called: deployments and what providers offer, in OpenAI's shape; beside it `models` as the first
//! requirements document has them, which also lists what could be deployed.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use domain::View;
use domain::decide::routing;
use http::HeaderMap;
use serde_json::{Value, json};

use super::Answer;
use crate::extract::{App, Fresh, MayInfer};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// What every official client of Anthropic's sends.
const ANTHROPIC_VERSION: &str = "anthropic-version";

/// Models by id: when created (seconds), and by whom.
pub(super) fn callable(view: &View) -> BTreeMap<&str, (u64, String)> {
    let mut models = BTreeMap::new();
    for name in view.state.offered_models() {
        let first = view.state.providers_of(name).find_map(|p| view.state.providers.get(p));
        if let Some(provider) = first {
            models.insert(name.as_str(), (provider.created_at / 1000, provider.name.to_string()));
        }
    }
    for route in view.state.routes.rows() {
        models.entry(route.name.as_str()).or_insert((route.set_at / 1000, "llmhub".to_owned()));
    }
    for deployment in view.state.deployments.rows() {
        models.insert(&deployment.spec.name, (deployment.created_at / 1000, "llmhub".to_owned()));
    }
    models
}

fn shape(id: &str, (created, owner): &(u64, String)) -> Value {
    json!({ "id": id, "object": "model", "created": created, "owned_by": owner })
}

/// Models as Anthropic's clients know them; who sends its version header is one of them.
fn for_anthropic(callable: &BTreeMap<&str, (u64, String)>) -> Value {
    let row = |(id, (created, _)): (&&str, &(u64, String))| {
        let created_at = rfc3339(created * 1_000);
        json!({ "type": "model", "id": id, "display_name": id, "created_at": created_at })
    };
    let data: Vec<Value> = callable.iter().map(row).collect();
    let id = |row: Option<&Value>| row.map_or(Value::Null, |row| row["id"].clone());
    json!({ "first_id": id(data.first()), "last_id": id(data.last()), "has_more": false, "data": data })
}

/// Models as the second requirements document lists them; its table has the provider's key too, which nobody is told.
pub(crate) async fn envelope(State(app): State<App>, _: MayInfer, Fresh(view): Fresh) -> Json<Value> {
    let row = |(id, (_, owner)): (&&str, &(u64, String))| {
        let price =
            routing::rates(&view, id).map(|rates| json!({ "input": rates.input, "output": rates.output }));
        let status = if routing::targets(&view, id).is_ok() { "active" } else { "disabled" };
        json!({ "id": id, "name": id, "provider": owner, "status": status, "price_per_million_tokens_micros": price })
    };
    let models: Vec<Value> = callable(&view).iter().map(row).collect();
    let timestamp = rfc3339(app.deps.clock.now());
    Json(json!({ "code": 200, "message": "success", "data": { "models": models }, "timestamp": timestamp }))
}

pub(crate) async fn list(_: MayInfer, headers: HeaderMap, Fresh(view): Fresh) -> Json<Value> {
    let callable = callable(&view);
    if headers.contains_key(ANTHROPIC_VERSION) {
        return Json(for_anthropic(&callable));
    }
    let data: Vec<Value> = callable.iter().map(|(id, about)| shape(id, about)).collect();
    let mut described: BTreeMap<&str, Value> = callable
        .iter()
        .map(|(id, (_, owner))| {
            (*id, json!({ "id": id, "name": id, "description": format!("served by {owner}") }))
        })
        .collect();
    for model in view.state.models.rows() {
        let row = json!({ "id": model.id, "name": model.name, "description": model.description });
        described.insert(model.id.as_str(), row);
    }
    let models: Vec<Value> = described.into_values().collect();
    Json(json!({ "object": "list", "data": data, "models": models }))
}

pub(crate) async fn get(_: MayInfer, Fresh(view): Fresh, Path(id): Path<String>) -> Answer {
    let callable = callable(&view);
    // As routing understands it: a name of its own before a provider's model.
    let named = || {
        let (provider, _) = routing::named_provider(&view, &id)?;
        let row = view.state.providers.get(provider)?;
        Some((row.created_at / 1000, row.name.to_string()))
    };
    let about = callable.get(id.as_str()).cloned().or_else(named).ok_or_else(|| {
        let problem = Problem::not_found(format!(
            "the model `{id}` does not exist: GET /v1/models lists those that do"
        ));
        Problem { code: "model_not_found".into(), param: Some("model".into()), ..problem }
    })?;
    Ok(Json(shape(&id, &about)))
}
