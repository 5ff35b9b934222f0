//! Adapters: dialects of providers that are declared instead of programmed. Those that come with the program are listed
//! beside those of the cluster, which stand in for one of the same name.

use std::collections::BTreeMap;
use std::ops::Bound;

use ::adapters::declared::{self, Declaration, Declared};
use ::adapters::dialect::Spoken;
use axum::Json;
use axum::extract::{Path, Query, State};
use domain::adapter::{Adapter, Command, Reject, Version};
use domain::{Command as Change, State as Tables};
use http::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::Answer;
use super::page::Page;
use super::providers::MOCK;
use crate::extract::{App, Fresh, MayAdmin, MayRead, Shaped, wrong_shape};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// Which version is to be spoken again.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RollbackRequest {
    version: u32,
}

/// Which version is to be shown.
#[derive(Debug, Deserialize)]
pub(crate) struct Which {
    version: Option<u32>,
}

fn unknown(name: &str) -> Problem {
    Problem::not_found(Reject::Unknown(name.to_owned()).to_string())
}

/// The declaration that comes with the program under this name.
fn shipped(name: &str) -> Option<&'static str> {
    declared::shipped().iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text)
}

/// What a provider of this kind speaks: what is programmed, then what the cluster was told, then what comes with the program.
///
/// # Errors
/// When the cluster's declaration is none that this program understands. `None` is a kind that nothing is known of.
pub(super) fn spoken(tables: &Tables, kind: &str) -> Option<Result<Spoken, Problem>> {
    Some(actors::dialects::spoken(tables, kind)?.map_err(|wrong| {
        let hint = "put a declaration that this version understands, or roll back";
        Problem::conflict(format!("adapter `{kind}` cannot be understood here: {wrong}; {hint}"))
    }))
}

/// The kinds that are declared, by name.
pub(super) fn names(tables: &Tables) -> impl Iterator<Item = &str> {
    let put = tables.adapters.rows().map(|row| row.name.as_str());
    let hidden = |name: &str| tables.adapters.contains(&name.to_owned());
    put.chain(declared::shipped().iter().map(|(name, _)| *name).filter(move |name| !hidden(name)))
}

/// Without its declarations. `current` is `null` while what comes with the program is spoken.
fn shape(name: &str, row: Option<&Adapter>) -> Value {
    let version = |version: &Version| json!({ "version": version.number, "put_at": rfc3339(version.put_at) });
    let versions: Vec<Value> = row.iter().flat_map(|row| &row.versions).map(version).collect();
    let current = row.map(|row| row.current);
    json!({ "name": name, "current": current, "versions": versions, "shipped": shipped(name).is_some() })
}

pub(crate) async fn list(_: MayRead, Fresh(view): Fresh, page: Page) -> Answer {
    let tables = &view.state;
    let row = |name: &str| tables.adapters.get(&name.to_owned()).map(|row| &**row);
    let all: BTreeMap<String, Value> =
        names(tables).map(|name| (name.to_owned(), shape(name, row(name)))).collect();
    let (adapters, next) = page.cut(all.range((page.begin::<String>()?, Bound::Unbounded)));
    Ok(Json(json!({ "adapters": adapters, "next": next })))
}

pub(crate) async fn get(
    _: MayRead,
    Fresh(view): Fresh,
    Path(name): Path<String>,
    which: Result<Query<Which>, axum::extract::rejection::QueryRejection>,
) -> Answer {
    let Query(Which { version }) =
        which.map_err(|_| Problem::bad_param("version", "`version` must be a version's number"))?;
    let row = view.state.adapters.get(&name).map(|row| &**row);
    let text = match (row, version) {
        (Some(row), Some(number)) => row.version(number).map(|version| version.declaration.as_str()),
        (Some(row), None) => row.spoken().map(|version| version.declaration.as_str()),
        (None, None) => shipped(&name),
        (None, Some(_)) => None,
    };
    let text = text.ok_or_else(|| match version {
        Some(number) => Problem::not_found(format!("adapter `{name}` has no version {number}")),
        None => unknown(&name),
    })?;
    let mut shown = shape(&name, row);
    shown["declaration"] = serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    Ok(Json(shown))
}

pub(crate) async fn put(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(name): Path<String>,
    Shaped(sent): Shaped<Box<RawValue>>,
) -> Answer {
    let declaration = declaration(&name, sent.get())?;
    changes.commit(&app, Change::Adapter(Command::Put { name: name.clone(), declaration })).await?;
    Ok(changed(&app, &name))
}

/// A declaration in the form that is kept: as it was sent, without what only people read.
fn declaration(name: &str, sent: &str) -> Result<String, Problem> {
    let wrong = |error: serde_json::Error| wrong_shape(sent.as_bytes(), &error);
    let said: Declaration = serde_json::from_str(sent).map_err(wrong)?;
    if said.name != name {
        let hint = format!("`name` is `{}`, the path says `{name}`: say the same in both", said.name);
        return Err(Problem::bad_param("name", hint));
    }
    if name == MOCK {
        let hint = format!("`{MOCK}` is a kind of provider that the program knows: use another name");
        return Err(Problem::bad_param("name", hint));
    }
    let text = serde_json::from_str::<Value>(sent).map_err(wrong)?.to_string();
    match Declared::parse(&text) {
        Ok(_) => Ok(text),
        Err(wrong) => Err(Problem::bad_param(&wrong.field, wrong.to_string())),
    }
}

fn changed(app: &App, name: &str) -> Json<Value> {
    let view = app.deps.view.load();
    Json(shape(name, view.state.adapters.get(&name.to_owned()).map(|row| &**row)))
}

/// What comes with the program is listed, so that it is no answer that it does not exist.
fn refused(app: &App, name: &str, problem: Problem) -> Problem {
    let put = app.deps.view.load().state.adapters.contains(&name.to_owned());
    if problem.status != StatusCode::NOT_FOUND || put || shipped(name).is_none() {
        return problem;
    }
    Problem::conflict(format!("adapter `{name}` comes with the program, and nothing was put in its place"))
}

pub(crate) async fn rollback(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(name): Path<String>,
    Shaped(RollbackRequest { version }): Shaped<RollbackRequest>,
) -> Answer {
    let command = Command::Rollback { name: name.clone(), version };
    changes.commit(&app, Change::Adapter(command)).await.map_err(|e| refused(&app, &name, e))?;
    Ok(changed(&app, &name))
}

pub(crate) async fn remove(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(name): Path<String>,
) -> Answer {
    let command = Command::Remove(name.clone());
    changes.commit(&app, Change::Adapter(command)).await.map_err(|e| refused(&app, &name, e))?;
    Ok(Json(json!({ "deleted": name })))
}
