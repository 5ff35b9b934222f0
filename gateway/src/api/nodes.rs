//! Nodes of the cluster: who there is, how this node sees them, and how one leaves.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use domain::decide::placement::{self, Held, Problem as Placement};
use domain::node::{Command, Node, Standing};
use domain::{Command as Change, DeploymentId, Health, NodeId, View, rotation};
use serde_json::{Value, json};

use super::Answer;
use super::explain::in_words;
use super::rotations::certificate;
use crate::changes::Changes;
use crate::extract::{App, Fresh, MayAdmin, MayRead};
use crate::problem::Problem;
use crate::time_text::rfc3339;

pub(crate) fn health(view: &View, node: NodeId) -> &'static str {
    // A node does not gossip with itself.
    if node == view.me {
        return "alive";
    }
    match view.liveness.of(node) {
        Health::Alive => "alive",
        Health::Suspect => "suspect",
        Health::Down => "down",
    }
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Active => "active",
        Standing::Lost => "lost",
        Standing::Leaving => "leaving",
        Standing::Stopped => "stopped",
    }
}

/// Whether a node may get work.
fn work(node: &Node) -> &'static str {
    match node.cordon {
        None => "open",
        Some(cordon) if cordon.drain => "draining",
        Some(_) => "cordoned",
    }
}

/// What is on a node.
#[derive(Default, Clone, Copy)]
struct Here {
    replicas: usize,
    /// Those that have a successor elsewhere.
    moving: usize,
}

/// What is on each node: counted in one go, since nodes times deployments are many.
fn hosted(view: &View) -> BTreeMap<NodeId, Here> {
    let mut nodes: BTreeMap<NodeId, Here> = BTreeMap::new();
    for replica in view.state.deployments.rows().flat_map(|d| &d.replicas) {
        let here = nodes.entry(replica.node).or_default();
        here.replicas += 1;
        here.moving += usize::from(replica.successor.is_some());
    }
    nodes
}

fn shape(view: &View, node: &Node, here: Here, held: &Held) -> Value {
    let host = |id: &DeploymentId, ordinal: u32| {
        view.state.deployments.get(id).and_then(|d| d.replica(ordinal)).map(|replica| replica.node)
    };
    let leaves = node.cordon.is_some_and(|cordon| cordon.drain) || node.standing == Standing::Leaving;
    let drain = leaves.then(|| {
        let waiting = held.waiting.iter().filter(|(id, ordinal, _)| host(id, *ordinal) == Some(node.id));
        let waiting: Vec<Value> = waiting
            .map(|(id, ordinal, why)| {
                let name = view.state.deployments.get(id).map(|d| &d.spec.name);
                json!({ "deployment": name, "ordinal": ordinal, "reason": in_words(view, why) })
            })
            .collect();
        json!({ "left": here.replicas, "moving": here.moving, "waiting": waiting })
    });
    json!({
        "id": node.id.to_string(),
        "name": node.name,
        "zone": node.zone,
        "health": health(view, node.id),
        "standing": standing(node.standing),
        "since": rfc3339(node.since),
        "work": work(node),
        "cordoned_at": node.cordon.map(|cordon| rfc3339(cordon.since)),
        "drain": drain,
        "leader": view.leader == Some(node.id),
        "voter": view.voters.contains(&node.id),
        "http": node.http_addr,
        "cluster": node.cluster_addr,
        "version": node.version,
        "replicas": here.replicas,
        "capacity": node.capacity,
        "joined_at": rfc3339(node.joined_at),
        "certificate": certificate(view.state.holdings.get(&node.id).map(|row| &**row)),
    })
}

/// A node by id or by name.
pub(crate) fn find<'a>(view: &'a View, text: &str) -> Result<&'a Node, Problem> {
    let by_id = text.parse::<NodeId>().ok().and_then(|id| view.state.nodes.get(&id)).map(|row| &**row);
    by_id.or_else(|| view.state.node_named(text)).ok_or_else(|| {
        Problem::not_found(format!("there is no node `{text}`: list them with GET /api/nodes"))
    })
}

/// What waits to be moved; looked at only where something is to move.
fn held(app: &App, view: &View) -> Held {
    let moves = |node: &Node| node.cordon.is_some() || node.standing == Standing::Leaving;
    if !view.state.nodes.rows().any(|node| moves(node)) {
        return Held::default();
    }
    placement::held(&Placement::of(view, app.deps.clock.now()))
}

/// Shows one node.
fn alone(app: &App, view: &View, node: &Node) -> Value {
    let here = hosted(view).get(&node.id).copied().unwrap_or_default();
    shape(view, node, here, &held(app, view))
}

pub(crate) async fn list(State(app): State<App>, _: MayRead, Fresh(view): Fresh) -> Json<Value> {
    let (held, hosted) = (held(&app, &view), hosted(&view));
    let here = |id| hosted.get(&id).copied().unwrap_or_default();
    let nodes: Vec<Value> =
        view.state.nodes.rows().map(|node| shape(&view, node, here(node.id), &held)).collect();
    Json(json!({ "nodes": nodes }))
}

pub(crate) async fn get(
    State(app): State<App>,
    _: MayRead,
    Fresh(view): Fresh,
    Path(id): Path<String>,
) -> Answer {
    Ok(Json(alone(&app, &view, find(&view, &id)?)))
}

pub(crate) async fn cordon(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(id): Path<String>,
) -> Answer {
    open_or_close(&app, &changes, &id, |id| Command::Cordon { id, drain: false }).await
}

pub(crate) async fn drain(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(id): Path<String>,
) -> Answer {
    open_or_close(&app, &changes, &id, |id| Command::Cordon { id, drain: true }).await
}

pub(crate) async fn uncordon(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(id): Path<String>,
) -> Answer {
    open_or_close(&app, &changes, &id, |id| Command::Uncordon { id }).await
}

/// Changes whether a node may get work, and shows it as it is then.
async fn open_or_close(
    app: &App,
    changes: &Changes,
    text: &str,
    command: impl FnOnce(NodeId) -> Command,
) -> Answer {
    let id = change(app, changes, text, command).await?;
    let view = app.deps.view.load();
    Ok(match id.and_then(|id| view.state.nodes.get(&id)) {
        Some(row) => Json(alone(app, &view, row)),
        None => gone(text),
    })
}

pub(crate) async fn remove(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(id): Path<String>,
) -> Answer {
    change(&app, &changes, &id, |id| Command::Remove { id }).await?;
    Ok(gone(&id))
}

pub(crate) async fn leave(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(id): Path<String>,
) -> Answer {
    let leaving = change(&app, &changes, &id, |id| Command::Leave { id }).await?;
    Ok(leaving.map_or_else(
        || gone(&id),
        |id| Json(json!({ "id": id.to_string(), "standing": standing(Standing::Leaving) })),
    ))
}

pub(crate) async fn renew(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(id): Path<String>,
) -> Answer {
    let view = app.deps.view.load();
    let node = find(&view, &id)?;
    changes.commit(&app, Change::Rotation(rotation::Command::Renew(node.id))).await?;
    let here = hosted(&view).remove(&node.id).unwrap_or_default();
    Ok(Json(shape(&view, node, here, &held(&app, &view))))
}

/// Says what was removed in the request's own words: a repetition knows nothing else, and answers the same.
fn gone(text: &str) -> Json<Value> {
    Json(json!({ "deleted": text }))
}

/// Changes a node and tells which it was, if it was still there.
async fn change(
    app: &App,
    changes: &Changes,
    text: &str,
    command: impl FnOnce(NodeId) -> Command,
) -> Result<Option<NodeId>, Problem> {
    let id = match find(&app.deps.view.load(), text) {
        Ok(row) => row.id,
        // A repetition does not find it if it is gone since.
        Err(missing) => return changes.first(app, "node").unwrap_or(Err(missing)).map(|_| None),
    };
    changes.commit(app, Change::Node(command(id))).await.map(|_| Some(id))
}
