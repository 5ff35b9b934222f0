//! Adapters: dialects of providers that were declared to the cluster, by name, in versions. What a declaration says is for
//! the adapters crate to understand: who puts one has held it against that before, and every node makes a dialect of it.

use serde::{Deserialize, Serialize};

use super::Context;
use super::event::{self, Kind, Subject};
use super::provider;
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{Millis, ProviderName, check_name};
use crate::limits::{ADAPTER_LEN_MAX, ADAPTER_VERSIONS_MAX, ADAPTERS_MAX};
use crate::table::Row;

/// The feature level from which there are such rows: that of providers which speak other dialects.
pub const LEVEL: u16 = provider::LEVEL;

/// A declaration as it was put.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Counts from 1, and never again for another text.
    pub number: u32,
    /// The declaration, as JSON.
    pub declaration: String,
    /// When it was put.
    pub put_at: Millis,
}

/// A declared dialect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Adapter {
    /// The dialect's name, which providers give.
    pub name: String,
    /// What was put under it, oldest first; the newest ten.
    pub versions: Vec<Version>,
    /// The number of the version that is spoken.
    pub current: u32,
}

impl Adapter {
    /// The version that is spoken.
    pub fn spoken(&self) -> Option<&Version> {
        self.version(self.current)
    }

    /// A version by its number.
    pub fn version(&self, number: u32) -> Option<&Version> {
        self.versions.iter().find(|version| version.number == number)
    }

    fn newest(&self) -> u32 {
        self.versions.last().map_or(0, |version| version.number)
    }
}

impl Row for Adapter {
    const TABLE: u8 = 19;
    type Key = String;
}

/// Changes of the adapters table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Puts a declaration, which is spoken from then on. Answers its version.
    Put {
        /// The dialect's name.
        name: String,
        /// The declaration, as JSON.
        declaration: String,
    },
    /// Speaks a version that was put before.
    Rollback {
        /// The dialect's name.
        name: String,
        /// The version's number.
        version: u32,
    },
    /// Takes a dialect away, with all its versions.
    Remove(String),
}

/// Why an adapter's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// No such adapter.
    #[error("there is no adapter `{0}`: list them with GET /api/adapters")]
    Unknown(String),
    /// It has no such version.
    #[error("adapter `{name}` has no version {version}: it has {known}")]
    NoVersion {
        /// The dialect's name.
        name: String,
        /// The version that was asked for.
        version: u32,
        /// The versions that there are.
        known: String,
    },
    /// It makes no sense.
    #[error("{field} of adapter `{name}` is wrong: {hint}")]
    Bad {
        /// The dialect's name.
        name: String,
        /// Which part.
        field: String,
        /// What to do.
        hint: String,
    },
    /// A provider speaks it.
    #[error("provider `{provider}` speaks `{name}`: remove that first, or let it speak another dialect")]
    InUse {
        /// The dialect's name.
        name: String,
        /// One of the providers.
        provider: ProviderName,
    },
    /// There are too many.
    #[error("there are {0} adapters already, as many as a cluster takes: remove some first")]
    TooMany(usize),
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::Unknown(_) | Reject::NoVersion { .. } => RejectClass::NotFound,
            Reject::Bad { .. } => RejectClass::Invalid,
            Reject::InUse { .. } | Reject::TooMany(_) => RejectClass::Conflict,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Put { name, declaration } => put(state, name, declaration, ctx),
        Command::Rollback { name, version } => {
            let old = state.adapters.get(name).cloned().ok_or_else(|| Reject::Unknown(name.clone()))?;
            if old.version(*version).is_none() {
                let known: Vec<String> = old.versions.iter().map(|one| one.number.to_string()).collect();
                let (name, known) = (name.clone(), known.join(", "));
                return Err(Reject::NoVersion { name, version: *version, known }.into());
            }
            if old.current != *version {
                let row = Adapter { current: *version, ..(*old).clone() };
                state.adapters.put(ctx.out, name.clone(), row);
                event::record(state, ctx, Kind::AdapterChanged, Subject::default(), |_| {
                    format!("adapter {name} is spoken in version {version} again")
                });
            }
            Ok(Reply::Done)
        }
        Command::Remove(name) => {
            if !state.adapters.contains(name) {
                return Err(Reject::Unknown(name.clone()).into());
            }
            if let Some(provider) = speaker(state, name) {
                return Err(Reject::InUse { name: name.clone(), provider }.into());
            }
            state.adapters.remove(ctx.out, name);
            event::record(state, ctx, Kind::AdapterChanged, Subject::default(), |_| {
                format!("adapter {name} is gone")
            });
            Ok(Reply::Done)
        }
    }
}

/// What is spoken already is not put again: who repeats a put gets the same version.
fn put(state: &mut State, name: &str, declaration: &str, ctx: &mut Context<'_>) -> Outcome {
    let old = state.adapters.get(&name.to_owned()).cloned();
    if let Some(spoken) = old.as_ref().and_then(|old| old.spoken())
        && spoken.declaration == declaration
    {
        return Ok(Reply::Revision(spoken.number.into()));
    }
    let mut row = match old {
        Some(old) => (*old).clone(),
        None => Adapter { name: name.to_owned(), versions: Vec::new(), current: 0 },
    };
    let number = row.newest().saturating_add(1);
    row.current = number;
    row.versions.push(Version { number, declaration: declaration.to_owned(), put_at: ctx.now });
    let surplus = row.versions.len().saturating_sub(ADAPTER_VERSIONS_MAX);
    row.versions.drain(..surplus);
    check(state, &row)?;
    state.adapters.put(ctx.out, name.to_owned(), row);
    event::record(state, ctx, Kind::AdapterChanged, Subject::default(), |_| {
        format!("adapter {name} was put as version {number}")
    });
    Ok(Reply::Revision(number.into()))
}

/// A provider that speaks a dialect.
fn speaker(state: &State, dialect: &str) -> Option<ProviderName> {
    let speaks = |kind: &provider::Kind| matches!(kind, provider::Kind::Api(api) if api.dialect == dialect);
    state.providers.rows().find(|provider| speaks(&provider.kind)).map(|provider| provider.name.clone())
}

fn check(state: &State, row: &Adapter) -> Result<(), Reject> {
    let bad =
        |field: &str, hint: String| Reject::Bad { name: row.name.clone(), field: field.to_owned(), hint };
    check_name(&row.name).map_err(|hint| bad("the name", hint.to_owned()))?;
    for version in &row.versions {
        let len = version.declaration.len();
        if len == 0 || len > ADAPTER_LEN_MAX {
            return Err(bad("the declaration", format!("it has {len} bytes: use 1 to {ADAPTER_LEN_MAX}")));
        }
    }
    if row.versions.len() > ADAPTER_VERSIONS_MAX {
        return Err(bad("the list of versions", format!("there may be {ADAPTER_VERSIONS_MAX}")));
    }
    if !row.versions.is_sorted_by(|one, next| one.number < next.number) {
        return Err(bad("the list of versions", "their numbers must grow".to_owned()));
    }
    if row.spoken().is_none() {
        return Err(bad("the current version", "it must be one of those that are kept".to_owned()));
    }
    if !state.adapters.contains(&row.name) && state.adapters.len() >= ADAPTERS_MAX {
        return Err(Reject::TooMany(ADAPTERS_MAX));
    }
    Ok(())
}

/// Takes an adapter back in from a backup.
pub(super) fn restore(
    state: &mut State,
    (key, row): (String, Adapter),
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    check(state, &row).map_err(|e| e.to_string())?;
    match state.adapters.get(&key) {
        Some(old) if **old == row => Ok(()),
        Some(_) => Err("it was changed here meanwhile".to_owned()),
        None if key != row.name => Err("it lies under another one's name".to_owned()),
        None => {
            state.adapters.put(ctx.out, key, row);
            Ok(())
        }
    }
}
