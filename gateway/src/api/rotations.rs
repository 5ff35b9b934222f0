//! Keys of the cluster: which are in use, how far their replacement is and what it waits for, and asking for one.

use axum::Json;
use axum::extract::{Path, State};
use domain::decide::rotation::{self as decide, Wait};
use domain::rotation::{Command, Holding, Kind, Rotation, Stage, pending};
use domain::secret::data_keys;
use domain::{Command as Change, NodeId, View};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, nodes};
use crate::extract::{App, Fresh, MayAdmin, MayRead, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// A rotation to be begun, or to be brought to its end.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotationRequest {
    #[serde(default)]
    forget: Vec<String>,
}

fn stage(stage: Stage) -> &'static str {
    match stage {
        Stage::Idle => "idle",
        Stage::Asked => "asked",
        Stage::Spread => "spread",
        Stage::Switched => "switched",
    }
}

fn named(view: &View, id: NodeId) -> Value {
    json!({ "id": id.to_string(), "name": view.state.nodes.get(&id).map(|node| &node.name) })
}

fn shape(view: &View, kind: Kind) -> Value {
    let row = view.state.rotation(kind);
    let (nodes, restore) = match decide::of(&view.state, kind) {
        Err(Wait::Nodes(nodes)) => (nodes, false),
        Err(Wait::Restore) => (Vec::new(), true),
        Ok(_) => (Vec::new(), false),
    };
    let running = row.is_some_and(|row| row.stage != Stage::Idle);
    let old: Vec<&str> = match kind {
        Kind::Data => data_keys(&view.state).collect(),
        Kind::Gossip => row.and_then(|row| row.old.as_deref()).into_iter().collect(),
        Kind::Authority => Vec::new(),
    };
    let list = |ids: &[NodeId]| ids.iter().map(|id| named(view, *id)).collect::<Vec<_>>();
    json!({
        "kind": kind.as_str(),
        "what": kind.noun(),
        "running": running,
        "stage": stage(row.map(|row| row.stage).unwrap_or_default()),
        "since": row.filter(|row| row.since > 0).map(|row| rfc3339(row.since)),
        "key": row.and_then(|row| row.current.as_deref()).unwrap_or("first"),
        "next": row.and_then(|row| row.next.as_deref()),
        "old": old,
        "left": if kind == Kind::Data { pending(&view.state).count() } else { 0 },
        "waits_for": list(&nodes),
        "waits_for_restore": restore,
        "forgotten": list(row.map(|row| row.forgotten.as_slice()).unwrap_or_default()),
        "due": row.and_then(|row| row.due.as_deref()),
    })
}

/// What an operator should know of keys.
pub(crate) fn warnings(view: &View) -> Vec<String> {
    Kind::ALL.into_iter().filter_map(|kind| warning(view, view.state.rotation(kind)?)).collect()
}

fn warning(view: &View, row: &Rotation) -> Option<String> {
    let (noun, word) = (row.kind.noun(), row.kind.as_str());
    match decide::of(&view.state, row.kind) {
        Err(Wait::Nodes(nodes)) => {
            let name =
                |id: &NodeId| view.state.nodes.get(id).map_or(id.to_string(), |node| node.name.clone());
            let names: Vec<String> = nodes.iter().map(name).collect();
            let hint = match row.kind {
                Kind::Authority => {
                    ": start them, remove them, or go on without them with `llmhub ca rotate --forget`"
                }
                Kind::Data | Kind::Gossip => "",
            };
            Some(format!("the {noun} is being replaced and waits for {}{hint}", names.join(", ")))
        }
        Err(Wait::Restore) => Some(format!("the {noun} is being replaced and waits for the restore to end")),
        Ok(Some(_)) => Some(format!("the {noun} is being replaced")),
        Ok(None) => row
            .due
            .as_ref()
            .map(|why| format!("the {noun} is to be replaced ({why}): `llmhub {word} rotate`")),
    }
}

/// A node's certificate, as it said itself.
pub(crate) fn certificate(holding: Option<&Holding>) -> Value {
    let certificate = holding.and_then(|holding| holding.certificate.as_ref());
    certificate.map_or(Value::Null, |certificate| {
        json!({ "fingerprint": hex::encode(&certificate.fingerprint), "not_after": rfc3339(certificate.not_after) })
    })
}

pub(crate) async fn list(_: MayRead, Fresh(view): Fresh) -> Json<Value> {
    let rotations: Vec<Value> = Kind::ALL.into_iter().map(|kind| shape(&view, kind)).collect();
    Json(json!({ "rotations": rotations }))
}

pub(crate) async fn rotate(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(kind): Path<String>,
    Shaped(ask): Shaped<RotationRequest>,
) -> Answer {
    let found = Kind::ALL.into_iter().find(|known| known.as_str() == kind);
    let kind = found
        .ok_or_else(|| Problem::not_found(format!("there is no key `{kind}`: name secrets, gossip or ca")))?;
    if kind != Kind::Authority && !ask.forget.is_empty() {
        return Err(Problem::bad_param("forget", "only `ca` waits for nodes that are away"));
    }
    let view = app.deps.view.load();
    let forget = ask.forget.iter().map(|text| nodes::find(&view, text).map(|node| node.id));
    let forget = forget.collect::<Result<Vec<_>, _>>()?;
    changes.commit(&app, Change::Rotation(Command::Ask { kind, forget })).await?;
    Ok(Json(shape(&app.deps.view.load(), kind)))
}
