//! Models: what can be deployed, by id, and where its weights are. A deployment names one.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{Millis, ModelId, check_name};
use crate::limits::PLACE_LEN_MAX;
use crate::table::Row;

/// A registered model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// Its id.
    pub id: ModelId,
    /// What people call it.
    pub name: String,
    /// What it is for.
    pub description: String,
    /// Absolute path of its weights on the nodes that have it; `None` for engines that need none (mock).
    pub path: Option<String>,
    /// When it was registered.
    pub created_at: Millis,
}

impl Row for Model {
    const TABLE: u8 = 2;
    type Key = ModelId;
}

/// Changes of the models table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Registers a model; registering the same one again changes nothing.
    Put(Model),
    /// Forgets a model that no deployment uses.
    Remove(ModelId),
}

/// Why a model's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// No such model.
    #[error(
        "there is no model `{0}`: list them with GET /v1/models, or deploy a file by path or file:// URL"
    )]
    Unknown(ModelId),
    /// The id cannot be one.
    #[error("`{id}` cannot be a model's id: {hint}")]
    BadName {
        /// The id.
        id: String,
        /// How it should look.
        hint: String,
    },
    /// Another model has the id.
    #[error("model `{0}` is registered with another path already: choose another id")]
    Taken(ModelId),
    /// A deployment uses it.
    #[error("model `{model}` is used by deployment `{by}`: delete that first")]
    InUse {
        /// The model.
        model: ModelId,
        /// The deployment's name.
        by: String,
    },
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::Unknown(_) => RejectClass::NotFound,
            Reject::BadName { .. } => RejectClass::Invalid,
            Reject::Taken(_) | Reject::InUse { .. } => RejectClass::Conflict,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Put(model) => {
            check(model)?;
            match state.models.get(&model.id) {
                Some(old) if old.path != model.path => return Err(Reject::Taken(model.id.clone()).into()),
                Some(_) => {}
                None => {
                    let row = Model { created_at: ctx.now, ..model.clone() };
                    state.models.put(ctx.out, model.id.clone(), row);
                }
            }
            Ok(Reply::Done)
        }
        Command::Remove(id) => {
            if let Some(user) = state.deployments.rows().find(|d| d.spec.model == *id) {
                return Err(Reject::InUse { model: id.clone(), by: user.spec.name.clone() }.into());
            }
            if !state.models.remove(ctx.out, id) {
                return Err(Reject::Unknown(id.clone()).into());
            }
            Ok(Reply::Done)
        }
    }
}

fn check(model: &Model) -> Result<(), Reject> {
    check_name(model.id.as_str())
        .map_err(|hint| Reject::BadName { id: model.id.0.clone(), hint: hint.to_owned() })?;
    if model.path.as_ref().map_or(0, String::len).max(model.description.len()) > PLACE_LEN_MAX {
        let hint = format!("its path and description may have {PLACE_LEN_MAX} bytes each");
        return Err(Reject::BadName { id: model.id.0.clone(), hint });
    }
    Ok(())
}

/// Takes a model back in from a backup.
pub(super) fn restore(
    state: &mut State,
    (key, row): (ModelId, Model),
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    check(&row).map_err(|e| e.to_string())?;
    match state.models.get(&key) {
        Some(old) if **old == row => Ok(()),
        Some(_) => Err(Reject::Taken(key).to_string()),
        None if key != row.id => Err("it lies under another one's id".to_owned()),
        None => {
            state.models.put(ctx.out, key, row);
            Ok(())
        }
    }
}
