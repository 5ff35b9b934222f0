//! Whether the process lives, and whether it can take requests. Asked by load balancers: no key is needed, nothing secret
//! is told.

use axum::Json;
use axum::extract::State;
use domain::Millis;
use domain::decide::mode::{Contact, DEGRADED, Mode};
use http::StatusCode;
use serde_json::{Value, json};

use crate::extract::App;

/// A node that comes back while there is no majority is ready after this time, with what it knew when it stopped, in
/// milliseconds.
const ALONE_MS: Millis = 15_000;

pub(crate) async fn health(State(app): State<App>) -> Json<Value> {
    let leader_known = app.deps.view.peek().leader.is_some();
    let contact = app.deps.contacts.contact();
    Json(json!({
        "status": "ok",
        "node": app.deps.me.to_string(),
        "version": app.deps.version,
        "leader_known": leader_known,
        "mode": Mode::of(contact).name(),
        "degraded": degraded(contact),
    }))
}

/// Since when, and what works; nothing where all does.
pub(super) fn degraded(contact: Contact) -> Option<Value> {
    let ability = |a: &domain::decide::mode::Ability| json!({ "ability": a.name, "degree": a.degree.name(), "how": a.how });
    (Mode::of(contact) == Mode::Degraded).then(|| {
        json!({
            "reason": "no_quorum",
            "for_ms": contact.age_ms,
            "abilities": DEGRADED.iter().map(ability).collect::<Vec<_>>(),
        })
    })
}

pub(crate) async fn ready(State(app): State<App>) -> (StatusCode, Json<Value>) {
    let node = app.deps.me.to_string();
    match why_not(&app) {
        None => {
            let body = json!({ "status": "ready", "node": node, "mode": app.mode().name() });
            (StatusCode::OK, Json(body))
        }
        Some(reason) => {
            let body = json!({ "status": "not_ready", "node": node, "reason": reason });
            (StatusCode::SERVICE_UNAVAILABLE, Json(body))
        }
    }
}

fn why_not(app: &App) -> Option<&'static str> {
    let contact = app.deps.contacts.contact();
    if app.is_draining() {
        Some("the node is draining")
    } else if !app.deps.view.peek().state.nodes.contains(&app.deps.me) {
        Some("the node has not joined the cluster yet")
    } else if !contact.ever && contact.age_ms < ALONE_MS {
        Some("no leader has answered since the node started")
    } else {
        // Without a majority too: a balancer must not take every node away because of that.
        None
    }
}
