//! What happened in the cluster: the newest events, of all or of one node or deployment.

use axum::Json;
use axum::extract::RawQuery;
use domain::event::Event;
use domain::{DeploymentId, EventId, NodeId, View};
use serde_json::{Value, json};

use super::deployments::number;
use super::{Answer, deploy, deployments, nodes};
use crate::extract::{Fresh, MayRead, query};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// Events given where no number is asked for.
pub(crate) const LIMIT: u64 = 100;
/// Events given at most.
const LIMIT_MAX: u64 = 1_000;

/// Which events are asked for.
#[derive(Default)]
struct Wanted {
    node: Option<NodeId>,
    deployment: Option<DeploymentId>,
    after: Option<EventId>,
}

impl Wanted {
    fn takes(&self, event: &Event) -> bool {
        self.node.is_none_or(|node| event.is_about_node(node))
            && self.deployment.is_none_or(|id| event.deployment == Some(id))
            && self.after.is_none_or(|after| event.id > after)
    }
}

pub(crate) async fn list(_: MayRead, Fresh(view): Fresh, RawQuery(raw): RawQuery) -> Answer {
    let raw = raw.as_deref();
    let wanted = wanted(&view, raw)?;
    let limit = number(raw, "limit", LIMIT)?.min(LIMIT_MAX) as usize;
    let rows = view.state.events.rows();
    // Who follows takes the next ones, who looks the newest.
    let mut events: Vec<&Event> = if wanted.after.is_some() {
        rows.map(|row| &**row).filter(|event| wanted.takes(event)).take(limit).collect()
    } else {
        rows.rev().map(|row| &**row).filter(|event| wanted.takes(event)).take(limit).collect()
    };
    events.sort_by_key(|event| event.id);
    let newest = view.state.events.iter().next_back().map(|(id, _)| *id).or(wanted.after).unwrap_or_default();
    let next = events.last().filter(|_| events.len() == limit).map_or(newest, |event| event.id);
    let shown: Vec<Value> = events.into_iter().map(|event| shape(&view, event)).collect();
    Ok(Json(json!({ "events": shown, "next": next.to_string() })))
}

fn wanted(view: &View, raw: Option<&str>) -> Result<Wanted, Problem> {
    let text = |name: &str| {
        let value = query(raw, name).filter(|value| !value.is_empty());
        value.map(|value| deploy::unescape(value).unwrap_or_else(|| value.to_owned()))
    };
    let mut wanted = Wanted::default();
    if let Some(text) = text("node") {
        // What is gone is known by its id still.
        wanted.node = Some(text.parse().or_else(|_| nodes::find(view, &text).map(|node| node.id))?);
    }
    if let Some(text) = text("deployment") {
        wanted.deployment = Some(text.parse().or_else(|_| deployments::find(view, &text).map(|row| row.id))?);
    }
    if let Some(text) = text("after") {
        let bad = |e: domain::ids::ParseError| Problem::bad_param("after", e.to_string());
        wanted.after = Some(text.parse().map_err(bad)?);
    }
    Ok(wanted)
}

/// The newest events of a deployment, oldest first.
pub(super) fn of_deployment(view: &View, id: DeploymentId, limit: usize) -> Vec<Value> {
    let rows = view.state.events.rows().rev().filter(|event| event.deployment == Some(id));
    let mut events: Vec<Value> = rows.take(limit).map(|event| shape(view, event)).collect();
    events.reverse();
    events
}

fn shape(view: &View, event: &Event) -> Value {
    let name = |id: Option<NodeId>| id.and_then(|id| view.state.nodes.get(&id)).map(|node| &node.name);
    json!({
        "id": event.id.to_string(),
        "at": rfc3339(event.at),
        "kind": event.kind.as_str(),
        "node": event.node.map(|id| id.to_string()),
        "node_name": name(event.node),
        "from": event.from.map(|id| id.to_string()),
        "deployment": event.deployment.map(|id| id.to_string()),
        "ordinal": event.ordinal,
        "text": event.text,
    })
}
