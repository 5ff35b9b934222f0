//! API keys: made here, shown once, kept as hashes.

use axum::Json;
use axum::extract::{Path, State};
use domain::key::{Command, Key, Scope};
use domain::{Command as Change, KeyId, Reply};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use crate::auth::{KEY_PREFIX, hash};
use crate::extract::{App, Fresh, MayAdmin, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// Characters of a key's text that are kept to recognise it by.
const SHOWN: usize = KEY_PREFIX.len() + 6;

/// A key to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    name: String,
    scopes: Option<Vec<String>>,
}

fn shape(key: &Key) -> Value {
    json!({
        "id": key.id.to_string(),
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "created_at": rfc3339(key.created_at),
    })
}

pub(crate) async fn list(_: MayAdmin, Fresh(view): Fresh) -> Json<Value> {
    let keys: Vec<Value> = view.state.keys.rows().map(|key| shape(key)).collect();
    Json(json!({ "keys": keys }))
}

pub(crate) async fn create(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Shaped(ask): Shaped<KeyRequest>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let scopes = scopes(ask.scopes)?;
    let mut secret = [0; 32];
    app.deps.entropy.fill(&mut secret);
    let text = format!("{KEY_PREFIX}{}", hex::encode(secret));
    let hash = hash(text.as_bytes()).to_vec();
    let prefix = text[..SHOWN].to_owned();
    let command = Command::Create { name: ask.name, hash: hash.clone(), prefix, scopes };
    let reply = changes.commit(&app, Change::Key(command)).await?;
    let view = app.deps.view.load();
    let row = match reply {
        Reply::Key(id) => view.state.keys.get(&id).filter(|row| row.hash == hash),
        _ => None,
    };
    // A repeated request gets the first outcome, whose text was shown then and cannot be shown again.
    let row = row.ok_or_else(|| {
        Problem::conflict(
            "this request made its key before: if its text was lost, revoke it and make another",
        )
    })?;
    let mut body = shape(row);
    body["key"] = json!(text);
    Ok((StatusCode::CREATED, Json(body)))
}

fn scopes(asked: Option<Vec<String>>) -> Result<Vec<Scope>, Problem> {
    let Some(asked) = asked else { return Ok(vec![Scope::Inference]) };
    let mut scopes = Vec::new();
    for text in asked {
        let scope = Scope::parse(&text).ok_or_else(|| {
            Problem::bad_param("scopes", "name scopes of `inference`, `read`, `deploy` and `admin`")
        })?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

pub(crate) async fn revoke(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(id): Path<String>,
) -> Answer {
    let id: KeyId =
        id.parse().map_err(|e: domain::ids::ParseError| Problem::bad_param("id", e.to_string()))?;
    changes.commit(&app, Change::Key(Command::Revoke(id))).await?;
    Ok(Json(json!({ "deleted": id.to_string() })))
}
