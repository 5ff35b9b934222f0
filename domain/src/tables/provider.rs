//! Providers: connections to APIs outside the cluster, by name. Keys are sealed before they become a command.

use serde::{Deserialize, Serialize};

use super::secret::Sealed;
use super::{Context, rotation};
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{Millis, ProviderName, check_name};
use crate::limits::{PLACE_LEN_MAX, PROVIDER_MODELS_MAX};
use crate::table::Row;

/// What a provider speaks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// OpenAI's HTTP interface at this base URL (which usually ends in `/v1`).
    OpenAi {
        /// The base URL.
        url: String,
        /// The API key, sealed; `None` for servers that need none.
        api_key: Option<Sealed>,
    },
    /// The built-in mock: deterministic answers without any network.
    Mock,
}

/// A provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provider {
    /// Its name.
    pub name: ProviderName,
    /// What it speaks.
    pub kind: Kind,
    /// The models it offers, by the names clients ask for.
    pub models: Vec<String>,
    /// Log index of its last change: connections made for an older one are closed.
    pub revision: u64,
    /// When it was added.
    pub created_at: Millis,
}

impl Provider {
    /// Its API key, sealed, if it has one.
    pub fn sealed(&self) -> Option<&Sealed> {
        match &self.kind {
            Kind::OpenAi { api_key, .. } => api_key.as_ref(),
            Kind::Mock => None,
        }
    }

    pub(super) fn sealed_mut(&mut self) -> Option<&mut Sealed> {
        match &mut self.kind {
            Kind::OpenAi { api_key, .. } => api_key.as_mut(),
            Kind::Mock => None,
        }
    }
}

impl Row for Provider {
    const TABLE: u8 = 4;
    type Key = ProviderName;
}

/// Changes of the providers table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Adds a provider, or replaces the one of this name. `revision` and `created_at` are set by `apply`.
    Put(Provider),
    /// Removes one.
    Remove(ProviderName),
}

/// Why a provider's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// No such provider.
    #[error("there is no provider `{0}`: list them with GET /api/providers")]
    Unknown(ProviderName),
    /// It makes no sense.
    #[error("{field} of provider `{name}` is wrong: {hint}")]
    Bad {
        /// Which provider.
        name: ProviderName,
        /// Which part.
        field: String,
        /// What to do.
        hint: String,
    },
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::Unknown(_) => RejectClass::NotFound,
            Reject::Bad { .. } => RejectClass::Invalid,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Put(provider) => {
            check(provider)?;
            if let Some(sealed) = provider.sealed() {
                rotation::check_sealed(state, sealed)?;
            }
            let old = state.providers.get(&provider.name).cloned();
            if let Some(old) = &old {
                unindex(state, old);
            }
            let created_at = old.map_or(ctx.now, |p| p.created_at);
            let row = Provider { revision: ctx.index, created_at, ..provider.clone() };
            index(state, &row);
            state.providers.put(ctx.out, row.name.clone(), row);
            Ok(Reply::Done)
        }
        Command::Remove(name) => {
            let old = state.providers.get(name).cloned().ok_or_else(|| Reject::Unknown(name.clone()))?;
            unindex(state, &old);
            state.providers.remove(ctx.out, name);
            Ok(Reply::Done)
        }
    }
}

/// Enters a provider's models into the index from model names to providers.
pub(crate) fn index(state: &mut State, provider: &Provider) {
    for model in &provider.models {
        state.offers.entry(model.clone()).or_default().insert(provider.name.clone());
    }
}

fn unindex(state: &mut State, provider: &Provider) {
    for model in &provider.models {
        if let Some(names) = state.offers.get_mut(model) {
            names.remove(&provider.name);
            if names.is_empty() {
                state.offers.remove(model);
            }
        }
    }
}

/// Takes a provider back in from a backup; its key opens with the data key that came with it.
pub(super) fn restore(
    state: &mut State,
    (key, row): (ProviderName, Provider),
    base: u64,
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    check(&row).map_err(|e| e.to_string())?;
    match state.providers.get(&key) {
        Some(old) if **old == row => Ok(()),
        Some(_) => Err("another one has its name: remove that first".to_owned()),
        None if key != row.name => Err("it lies under another one's name".to_owned()),
        None if row.revision > base => Err("its revision is not one of the backup's".to_owned()),
        None => {
            index(state, &row);
            state.providers.put(ctx.out, key, row);
            Ok(())
        }
    }
}

fn check(provider: &Provider) -> Result<(), Reject> {
    let bad = |field: &str, hint: String| Reject::Bad {
        name: provider.name.clone(),
        field: field.to_owned(),
        hint,
    };
    check_name(provider.name.as_str()).map_err(|hint| bad("the name", hint.to_owned()))?;
    if provider.models.is_empty() || provider.models.len() > PROVIDER_MODELS_MAX {
        return Err(bad("the list of models", format!("name 1 to {PROVIDER_MODELS_MAX}")));
    }
    for model in &provider.models {
        check_name(model).map_err(|hint| bad("the list of models", format!("`{model}`: {hint}")))?;
    }
    match &provider.kind {
        Kind::OpenAi { url, .. } if !(url.starts_with("http://") || url.starts_with("https://")) => {
            Err(bad("the url", "start it with http:// or https://".to_owned()))
        }
        Kind::OpenAi { url, .. } if url.len() > PLACE_LEN_MAX => {
            Err(bad("the url", format!("it may have {PLACE_LEN_MAX} bytes")))
        }
        _ => Ok(()),
    }
}
