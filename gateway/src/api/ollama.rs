//! What Ollama's clients ask beside chats: which models there are, what one of them is, which program this is.

use adapters::Operation;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::models::callable;
use crate::extract::{App, Fresh, MayInfer, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// Which model is to be shown.
#[derive(Deserialize)]
pub(crate) struct OllamaShowRequest {
    #[serde(alias = "name")]
    model: String,
}

fn details() -> Value {
    json!({
        "parent_model": "", "format": "", "family": "", "families": [],
        "parameter_size": "", "quantization_level": "",
    })
}

pub(crate) async fn tags(_: MayInfer, Fresh(view): Fresh) -> Json<Value> {
    let row = |(id, (created, _)): (&&str, &(u64, String))| {
        json!({
            "name": id,
            "model": id,
            "modified_at": rfc3339(created * 1_000),
            "size": 0,
            "digest": hex::encode(Sha256::digest(id.as_bytes())),
            "details": details(),
        })
    };
    let models: Vec<Value> = callable(&view).iter().map(row).collect();
    Json(json!({ "models": models }))
}

pub(crate) async fn show(
    _: MayInfer,
    Fresh(view): Fresh,
    Shaped(ask): Shaped<OllamaShowRequest>,
) -> Response {
    let callable = callable(&view);
    let Some((created, _)) = callable.get(ask.model.as_str()) else {
        let problem = Problem::not_found(format!(
            "model '{}' not found: GET /api/tags lists those there are",
            ask.model
        ));
        return problem.answer_for(Operation::OllamaChat).map(axum::body::Body::new);
    };
    let shown = json!({
        "modelfile": "", "parameters": "", "template": "",
        "details": details(),
        "model_info": {},
        "capabilities": ["completion"],
        "modified_at": rfc3339(created * 1_000),
    });
    Json(shown).into_response()
}

pub(crate) async fn version(State(app): State<App>, _: MayInfer) -> Json<Value> {
    let version = app.deps.version.split('+').next().unwrap_or_default().to_owned();
    Json(json!({ "version": version }))
}
