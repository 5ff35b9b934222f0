//! Spreading replicas better, on an operator's word: what it would do, beginning it, ending it.

use axum::Json;
use axum::extract::State;
use domain::decide::placement::{self, Planned, Problem};
use domain::setting::Command;
use domain::{Command as Change, NodeId, View};
use serde_json::{Value, json};

use super::Answer;
use crate::extract::{App, Fresh, MayAdmin, MayRead};

fn shape(app: &App, view: &View) -> Value {
    let name = |id: NodeId| view.state.nodes.get(&id).map(|node| &node.name);
    let moves = placement::plan(&Problem::of(view, app.deps.clock.now()));
    let moves: Vec<Value> = moves
        .into_iter()
        .map(|Planned { id, ordinal, from, to }| {
            json!({
                "deployment": view.state.deployments.get(&id).map(|row| &row.spec.name),
                "id": id.to_string(),
                "ordinal": ordinal,
                "from": name(from),
                "to": name(to),
            })
        })
        .collect();
    let replicas = view.state.deployments.rows().flat_map(|row| &row.replicas);
    let moving = replicas.filter(|replica| replica.successor.is_some()).count();
    json!({ "running": view.state.rebalance().is_some(), "moving": moving, "moves": moves })
}

pub(crate) async fn show(State(app): State<App>, _: MayRead, Fresh(view): Fresh) -> Json<Value> {
    Json(shape(&app, &view))
}

pub(crate) async fn start(State(app): State<App>, MayAdmin(changes): MayAdmin) -> Answer {
    changes.commit(&app, Change::Setting(Command::Rebalance)).await?;
    Ok(Json(shape(&app, &app.deps.view.load())))
}

pub(crate) async fn stop(State(app): State<App>, MayAdmin(changes): MayAdmin) -> Answer {
    changes.commit(&app, Change::Setting(Command::EndRebalance { since: None })).await?;
    Ok(Json(shape(&app, &app.deps.view.load())))
}
