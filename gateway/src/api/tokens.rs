//! Join tokens: made by the runtime's mint, shown once, kept as hashes.

use axum::Json;
use axum::extract::{Path, State};
use domain::token::{Command, Token};
use domain::{Command as Change, TokenId};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use super::page::Page;
use crate::extract::{App, Fresh, MayAdmin, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// How long a token is good where nothing is said, in seconds.
const TTL_S: u64 = 3600;

/// A token to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenRequest {
    ttl_s: Option<u64>,
    uses: Option<u32>,
}

fn shape(token: &Token) -> Value {
    json!({
        "id": token.id.to_string(),
        "uses_left": token.uses_left,
        "expires_at": rfc3339(token.expires_at),
        "created_at": rfc3339(token.created_at),
    })
}

pub(crate) async fn list(_: MayAdmin, Fresh(view): Fresh, page: Page) -> Answer {
    let (rows, next) = page.of(&view.state.tokens)?;
    let tokens: Vec<Value> = rows.into_iter().map(|token| shape(token)).collect();
    Ok(Json(json!({ "tokens": tokens, "next": next })))
}

pub(crate) async fn create(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Shaped(ask): Shaped<TokenRequest>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let minted = app.deps.tokens.mint();
    let command = Command::Create {
        id: minted.id,
        hash: minted.hash,
        lifetime_ms: ask.ttl_s.unwrap_or(TTL_S).saturating_mul(1000),
        uses: ask.uses.unwrap_or(1),
    };
    changes.commit(&app, Change::Token(command)).await?;
    let view = app.deps.view.load();
    // A repeated request gets the first outcome, whose text was shown then and cannot be shown again.
    let row = view.state.tokens.get(&minted.id).ok_or_else(|| {
        Problem::conflict(
            "this request made its token before: if its text was lost, revoke it and make another",
        )
    })?;
    let mut body = shape(row);
    body["token"] = json!(minted.text);
    Ok((StatusCode::CREATED, Json(body)))
}

pub(crate) async fn revoke(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(id): Path<String>,
) -> Answer {
    let id: TokenId =
        id.parse().map_err(|e: domain::ids::ParseError| Problem::bad_param("id", e.to_string()))?;
    changes.commit(&app, Change::Token(Command::Revoke(id))).await?;
    Ok(Json(json!({ "deleted": id.to_string() })))
}
