//! Registered models: what can be deployed by id.

use axum::Json;
use axum::extract::{Path, State};
use domain::model::{Command, Model};
use domain::{Command as Change, ModelId};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use super::page::Page;
use crate::extract::{App, Fresh, MayDeploy, MayRead, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// A model to be registered.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ModelRequest {
    id: String,
    name: Option<String>,
    #[serde(default)]
    description: String,
    path: Option<String>,
}

fn shape(model: &Model) -> Value {
    json!({
        "id": model.id, "name": model.name, "description": model.description, "path": model.path,
        "created_at": rfc3339(model.created_at),
    })
}

pub(crate) async fn list(_: MayRead, Fresh(view): Fresh, page: Page) -> Answer {
    let (rows, next) = page.of(&view.state.models)?;
    let models: Vec<Value> = rows.into_iter().map(|model| shape(model)).collect();
    Ok(Json(json!({ "models": models, "next": next })))
}

pub(crate) async fn put(
    State(app): State<App>,
    MayDeploy(changes): MayDeploy,
    Shaped(ask): Shaped<ModelRequest>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let path = ask.path.map(|path| super::deploy::local_path(&path)).transpose()?;
    let name = ask.name.unwrap_or_else(|| ask.id.clone());
    let id = ModelId(ask.id);
    let model = Model { id: id.clone(), name, description: ask.description, path, created_at: 0 };
    changes.commit(&app, Change::Model(Command::Put(model.clone()))).await?;
    let view = app.deps.view.load();
    Ok((StatusCode::CREATED, Json(shape(view.state.models.get(&id).map_or(&model, |row| &**row)))))
}

pub(crate) async fn remove(
    State(app): State<App>,
    MayDeploy(changes): MayDeploy,
    Path(id): Path<String>,
) -> Answer {
    changes.commit(&app, Change::Model(Command::Remove(ModelId(id.clone())))).await?;
    Ok(Json(json!({ "deleted": id })))
}
