//! Providers: connections to APIs outside the cluster, by name. Keys are sealed before they become a command.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::secret::Sealed;
use super::{Context, level, rotation};
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{Millis, NAME_LEN_MAX, ProviderName, check_name};
use crate::limits::{PLACE_LEN_MAX, PROVIDER_MODELS_MAX};
use crate::table::Row;

/// The feature level from which providers speak other dialects than OpenAI's.
pub const LEVEL: u16 = 6;
/// Options of a provider at most.
pub const OPTIONS_MAX: usize = 16;
/// The longest value of an option, in bytes.
pub const OPTION_LEN_MAX: usize = 1_024;

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
    /// Any dialect, by name.
    Api(Box<Api>),
}

/// How a provider is reached that speaks a dialect of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Api {
    /// The dialect's name. Which there are is the program's to know: a node that does not know it makes no calls.
    pub dialect: String,
    /// The base URL.
    pub url: String,
    /// The API key, sealed; `None` for servers that need none.
    pub api_key: Option<Sealed>,
    /// What else the dialect needs to know, by name: an API version, an application's id. Nothing secret.
    pub options: BTreeMap<String, String>,
    /// The provider's own names of models, by the names clients ask for, where they differ.
    pub own_names: BTreeMap<String, String>,
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

impl Kind {
    /// Its base URL, if it has one.
    pub fn url(&self) -> Option<&str> {
        match self {
            Kind::OpenAi { url, .. } => Some(url),
            Kind::Api(api) => Some(&api.url),
            Kind::Mock => None,
        }
    }
}

impl Provider {
    /// The feature level from which there are such rows.
    pub fn level(&self) -> u16 {
        match self.kind {
            Kind::OpenAi { .. } | Kind::Mock => level::FIRST,
            Kind::Api(_) => LEVEL,
        }
    }

    /// What it calls a model that clients call so.
    pub fn own_name<'a>(&'a self, model: &'a str) -> &'a str {
        let names = if let Kind::Api(api) = &self.kind { api.own_names.get(model) } else { None };
        names.map_or(model, String::as_str)
    }

    /// Its API key, sealed, if it has one.
    pub fn sealed(&self) -> Option<&Sealed> {
        match &self.kind {
            Kind::OpenAi { api_key, .. } => api_key.as_ref(),
            Kind::Api(api) => api.api_key.as_ref(),
            Kind::Mock => None,
        }
    }

    pub(super) fn sealed_mut(&mut self) -> Option<&mut Sealed> {
        match &mut self.kind {
            Kind::OpenAi { api_key, .. } => api_key.as_mut(),
            Kind::Api(api) => api.api_key.as_mut(),
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

impl Command {
    /// The feature level it takes.
    pub(crate) fn level(&self) -> u16 {
        match self {
            Command::Put(provider) => provider.level(),
            Command::Remove(_) => level::FIRST,
        }
    }
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
    if let Some(url) = provider.kind.url() {
        if !["http://", "https://", "ws://", "wss://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(bad("the url", "start it with http:// or https://".to_owned()));
        }
        if url.len() > PLACE_LEN_MAX {
            return Err(bad("the url", format!("it may have {PLACE_LEN_MAX} bytes")));
        }
    }
    let Kind::Api(api) = &provider.kind else { return Ok(()) };
    check_name(&api.dialect).map_err(|hint| bad("the dialect", hint.to_owned()))?;
    if api.options.len() > OPTIONS_MAX {
        return Err(bad("the options", format!("there may be {OPTIONS_MAX}")));
    }
    for (name, value) in &api.options {
        check_name(name).map_err(|hint| bad("the options", format!("`{name}`: {hint}")))?;
        if value.len() > OPTION_LEN_MAX {
            return Err(bad("the options", format!("`{name}` may have {OPTION_LEN_MAX} bytes")));
        }
    }
    for (name, own) in &api.own_names {
        if !provider.models.contains(name) {
            return Err(bad("the list of own names", format!("`{name}` is not among the models")));
        }
        if own.is_empty() || own.len() > NAME_LEN_MAX {
            return Err(bad("the list of own names", format!("`{name}`: use 1 to {NAME_LEN_MAX} bytes")));
        }
    }
    Ok(())
}
