//! Whether the process lives, and whether it can take requests. Asked by load balancers: no key is needed, nothing secret
//! is told.

use axum::Json;
use axum::extract::State;
use http::StatusCode;
use serde_json::{Value, json};

use crate::extract::App;

pub(crate) async fn health(State(app): State<App>) -> Json<Value> {
    let leader_known = app.deps.view.peek().leader.is_some();
    Json(json!({
        "status": "ok",
        "node": app.deps.me.to_string(),
        "version": app.deps.version,
        "leader_known": leader_known,
    }))
}

pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let node = app.deps.me.to_string();
    match why_not(&app) {
        None => (StatusCode::OK, Json(json!({ "status": "ready", "node": node }))),
        Some(reason) => {
            let body = json!({ "status": "not_ready", "node": node, "reason": reason });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body))
        }
    }
}

fn why_not(app: &App) -> Option<&'static str> {
    let view = app.deps.view.peek();
    if app.is_draining() {
        Some("the node is draining")
    } else if !view.state.nodes.contains(&app.deps.me) {
        Some("the node has not joined the cluster yet")
    } else if view.leader.is_none() {
        Some("no leader is known just now")
    } else {
        None
    }
}
