//! What a node's actors show, for operators and tests.

use actors::ask;
use axum::Json;
use axum::extract::{RawQuery, State};
use serde_json::Value;

use super::{Answer, nodes};
use crate::extract::{App, Fresh, MayRead, query};
use crate::problem::Problem;

pub(crate) async fn show(
    State(app): State<App>,
    _: MayRead,
    Fresh(view): Fresh,
    RawQuery(raw): RawQuery,
) -> Answer {
    let node = match query(raw.as_deref(), "node") {
        Some(text) => nodes::find(&view, text)?.id,
        None => app.deps.me,
    };
    let observed = ask::observe(&*app.deps.peers, node).await?;
    let value: Value = serde_json::to_value(observed)
        .map_err(|e| Problem::unavailable("unreadable", format!("the actors' state cannot be shown: {e}")))?;
    Ok(Json(value))
}
