//! A backup that comes back, in steps of bounded size: begun, fed rows in the backup's order, ended. Each step may be repeated,
//! and a restore that broke off goes on when it is begun again. What may come in is `domain`'s decision.

use axum::Json;
use axum::extract::State;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use domain::restore::{self, Command, RawRow, Restore};
use domain::secret::{Sealed, Wrap};
use domain::{Command as Change, NodeId};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use crate::extract::{App, Fresh, MayAdmin, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// A restore to be begun.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreRequest {
    backup: String,
    base: u64,
    node: String,
    #[serde(default)]
    data_keys: Vec<Wrapped>,
    #[serde(default)]
    replace: bool,
}

/// A wrapped data key, in hexadecimal digits.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wrapped {
    ephemeral: String,
    nonce: String,
    sealed: String,
}

/// Some rows, keys and values in base64.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreRows {
    backup: String,
    rows: Vec<[String; 2]>,
}

/// A restore to be ended.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestoreEnd {
    backup: String,
}

fn shape(restore: &Restore) -> Value {
    json!({
        "backup": restore.backup,
        "begun_at": rfc3339(restore.begun_at),
        "ended_at": restore.ended_at.map(rfc3339),
    })
}

pub(crate) async fn show(State(app): State<App>, _: MayAdmin, Fresh(view): Fresh) -> Answer {
    let me = view.state.nodes.get(&app.deps.me);
    let me = me.ok_or_else(|| Problem::unavailable("starting", "this node is not in the tables yet"))?;
    let restores: Vec<Value> = view.state.restores.rows().map(|row| shape(row)).collect();
    Ok(Json(json!({
        "node": me.id.to_string(),
        "recipient": hex::encode(&me.seal_public),
        "occupied": restore::occupied(&view.state),
        "under_way": restore::under_way(&view.state).map(|restore| &restore.backup),
        "restores": restores,
    })))
}

pub(crate) async fn begin(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Shaped(ask): Shaped<RestoreRequest>,
) -> Answer {
    let node: NodeId =
        ask.node.parse().map_err(|e: domain::ids::ParseError| Problem::bad_param("node", e.to_string()))?;
    if node != app.deps.me {
        let me = app.deps.me;
        return Err(Problem::conflict(format!(
            "the data keys are wrapped for node {node}, and this is {me}: ask that one, by its own address"
        )));
    }
    let wraps: Vec<Wrap> = ask.data_keys.iter().map(|key| key.wrap(node)).collect::<Result<_, _>>()?;
    let data_keys = app.deps.vault.import_data_keys(&wraps).await?;
    let command = Command::Begin {
        backup: ask.backup.clone(),
        base: ask.base,
        keep: changes.caller(),
        data_keys,
        replace: ask.replace,
    };
    changes.commit(&app, Change::Restore(command)).await?;
    Ok(Json(json!({ "backup": ask.backup })))
}

impl Wrapped {
    fn wrap(&self, node: NodeId) -> Result<Wrap, Problem> {
        let bytes = |text: &str| {
            hex::decode(text)
                .map_err(|_| Problem::bad_param("data_keys", "`data_keys` must be in hexadecimal digits"))
        };
        let sealed = Sealed { nonce: bytes(&self.nonce)?, bytes: bytes(&self.sealed)?, key: None };
        Ok(Wrap { node, ephemeral: bytes(&self.ephemeral)?, sealed, key: None })
    }
}

pub(crate) async fn rows(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Shaped(ask): Shaped<RestoreRows>,
) -> Answer {
    let count = ask.rows.len();
    let bytes = |text: &str| {
        STANDARD
            .decode(text)
            .map_err(|_| Problem::bad_param("rows", "`rows` must hold keys and values in base64"))
    };
    let row = |[key, value]: &[String; 2]| Ok(RawRow { key: bytes(key)?, value: bytes(value)? });
    let rows = ask.rows.iter().map(row).collect::<Result<_, Problem>>()?;
    changes.commit(&app, Change::Restore(Command::Rows { backup: ask.backup, rows })).await?;
    Ok(Json(json!({ "rows": count })))
}

pub(crate) async fn end(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Shaped(ask): Shaped<RestoreEnd>,
) -> Answer {
    changes.commit(&app, Change::Restore(Command::End { backup: ask.backup.clone() })).await?;
    let view = app.deps.view.load();
    let row = view.state.restores.get(&ask.backup).map(|row| shape(row));
    Ok(Json(row.unwrap_or_else(|| json!({ "backup": ask.backup }))))
}
