//! Why each replica of a deployment is where it is, or nowhere: what placement itself decides by, told node by node.

use axum::Json;
use axum::extract::{Path, State};
use domain::View;
use domain::decide::placement::{self, Explanation};
use serde_json::{Value, json};

use super::{Answer, deployments, events};
use crate::extract::{App, Fresh, MayRead};

/// The deployment's own events that are shown beside.
const EVENTS: usize = 10;

pub(crate) async fn show(
    State(app): State<App>,
    _: MayRead,
    Fresh(view): Fresh,
    Path(id): Path<String>,
) -> Answer {
    let row = deployments::find(&view, &id)?;
    let problem = placement::Problem::of(&view, app.deps.clock.now());
    let replicas: Vec<Value> = placement::why(&problem, row.id).iter().map(|why| shape(&view, why)).collect();
    Ok(Json(json!({
        "deployment": row.spec.name,
        "id": row.id.to_string(),
        "policy": deployments::policy(&row.spec.policy),
        "wanted": row.wanted(),
        "replicas": replicas,
        "events": events::of_deployment(&view, row.id, EVENTS),
    })))
}

fn shape(view: &View, why: &Explanation) -> Value {
    let name = |id| view.state.nodes.get(&id).map(|node| &node.name);
    let nodes: Vec<Value> = why
        .nodes
        .iter()
        .map(|(id, verdict)| {
            let zone = view.state.nodes.get(id).map(|node| &node.zone);
            json!({ "node": id.to_string(), "node_name": name(*id), "zone": zone, "verdict": verdict.to_string() })
        })
        .collect();
    json!({
        "ordinal": why.ordinal,
        "node": why.node.map(|id| id.to_string()),
        "node_name": why.node.and_then(name),
        "reason": in_words(view, &why.reason),
        "nodes": nodes,
    })
}

/// A reason with nodes by name, as people know them.
pub(super) fn in_words(view: &View, reason: &placement::Reason) -> String {
    let text = reason.to_string();
    if !text.contains("node n-") {
        return text;
    }
    view.state.nodes.rows().fold(text, |text, node| text.replace(&node.id.to_string(), &node.name))
}
