//! The cluster at a glance: who leads, who votes, what is where, and what its operator should know.

use axum::Json;
use axum::extract::State;
use domain::decide::mode::{Contact, Mode};
use domain::decide::{routing, voters};
use domain::limits::LEASE_MS;
use domain::node::{Standing, zones};
use domain::{NodeId, View};
use serde_json::{Value, json};

use super::health::degraded;
use super::nodes::health;
use super::rotations;
use crate::extract::{App, Fresh, MayRead};

pub(crate) async fn show(State(app): State<App>, _: MayRead, Fresh(view): Fresh) -> Json<Value> {
    let state = &view.state;
    let contact = app.deps.contacts.contact();
    let name = |id: NodeId| {
        let name = state.nodes.get(&id).map(|node| node.name.as_str());
        json!({ "id": id.to_string(), "name": name })
    };
    let voters: Vec<Value> = view.voters.iter().map(|id| name(*id)).collect();
    let alive = state.nodes.rows().filter(|n| health(&view, n.id) == "alive").count();
    let wanted: u32 = state.deployments.rows().map(|d| d.wanted()).sum();
    let ready: usize = state.deployments.rows().map(|d| routing::ready(&view, d)).sum();
    Json(json!({
        "cluster": app.deps.cluster,
        "node": name(app.deps.me),
        "version": app.deps.version,
        "level": state.level(),
        "leader": view.leader.map(name),
        "voters": voters,
        "applied": view.applied,
        "nodes": { "all": state.nodes.len(), "alive": alive },
        "zones": zones(state),
        "deployments": state.deployments.len(),
        "replicas": { "wanted": wanted, "ready": ready },
        "providers": state.providers.len(),
        "mode": Mode::of(contact).name(),
        "degraded": degraded(contact),
        "warnings": warnings(&view, contact),
    }))
}

/// What an operator should know, each with what to do about it.
fn warnings(view: &View, contact: Contact) -> Vec<String> {
    let mut warnings = Vec::new();
    let nodes = view.state.nodes.len();
    let zones = zones(&view.state);
    let active: usize = zones.values().sum();
    match nodes {
        0 | 1 => warnings
            .push("1 node: nothing goes on when it is lost; add nodes, best in three zones".to_owned()),
        2 => warnings.push(
            "2 nodes: 1 voter; when it is lost, metadata cannot change until it is back; add a third node"
                .to_owned(),
        ),
        _ => {}
    }
    if zones.len() == 2 {
        let message = "two zones cannot survive the loss of either: add a node in a third zone";
        warnings.push(message.to_owned());
    }
    if zones.len() == 1 && active > 2 {
        warnings.push(
            "all nodes are in one zone: its loss is the loss of all; spread them over three".to_owned(),
        );
    }
    let wanted = voters::wanted(active);
    if view.voters.len() < wanted {
        let voting = view.voters.len();
        warnings
            .push(format!("{voting} of {wanted} voters vote: others are catching up or are not reachable"));
    }
    for node in view.state.nodes.rows() {
        if let Some(cordon) = node.cordon {
            let what = if cordon.drain { "is drained" } else { "is cordoned" };
            let name = &node.name;
            warnings
                .push(format!("node {name} {what}: it gets nothing new until `llmhub node uncordon {name}`"));
        }
        match node.standing {
            Standing::Lost => warnings.push(format!(
                "node {} ({}) is lost: start it again, or take it out with `llmhub node remove {}`",
                node.name, node.id, node.name
            )),
            Standing::Leaving => warnings.push(format!("node {} ({}) is leaving", node.name, node.id)),
            Standing::Stopped => warnings.push(format!(
                "node {} ({}) was stopped: its replicas go elsewhere unless it is back within {} s",
                node.name,
                node.id,
                LEASE_MS / 1000
            )),
            Standing::Active => {}
        }
    }
    if Mode::of(contact) == Mode::Degraded {
        warnings.push(format!(
            "no majority of the voters has answered this node for {} s: metadata cannot change, inference goes on; start \
             the voters that are away, or see docs/recovery.md when they are lost for good",
            contact.age_ms / 1000
        ));
    } else if view.leader.is_none() {
        warnings.push("no leader is known: metadata cannot change just now".to_owned());
    }
    warnings.extend(rotations::warnings(view));
    warnings
}
