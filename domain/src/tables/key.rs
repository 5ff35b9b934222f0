//! API keys: who may do what. A key's text is shown once; only its hash is kept.

use serde::{Deserialize, Serialize};

use super::Context;
use super::limit::{self, Limit};
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{KeyId, Millis, check_name};
use crate::table::Row;

/// What a key allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Calling models.
    Inference,
    /// Looking at the cluster: nodes, deployments, providers, metrics.
    Read,
    /// Deploying, scaling, stopping.
    Deploy,
    /// Everything, keys and providers included.
    Admin,
}

impl Scope {
    /// All scopes, for messages and help.
    pub const ALL: [(&'static str, Scope); 4] = [
        ("inference", Scope::Inference),
        ("read", Scope::Read),
        ("deploy", Scope::Deploy),
        ("admin", Scope::Admin),
    ];

    /// The name users write.
    pub fn as_str(self) -> &'static str {
        match self {
            Scope::Inference => "inference",
            Scope::Read => "read",
            Scope::Deploy => "deploy",
            Scope::Admin => "admin",
        }
    }

    /// The scope of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, scope)| *scope)
    }
}

/// An API key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// Its id.
    pub id: KeyId,
    /// What it is for.
    pub name: String,
    /// SHA-256 of its whole text. The text carries 256 random bits, so a plain hash cannot be guessed back.
    #[serde(with = "serde_bytes")]
    pub hash: Vec<u8>,
    /// The first characters of its text, to recognise it by.
    pub prefix: String,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// When it was made.
    pub created_at: Millis,
    /// What it may use in each window; without any, as much as there is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
}

impl Key {
    /// Whether it allows this; `admin` allows everything, `deploy` includes `read`.
    pub fn allows(&self, scope: Scope) -> bool {
        self.scopes
            .iter()
            .any(|s| *s == scope || *s == Scope::Admin || (*s == Scope::Deploy && scope == Scope::Read))
    }
}

impl Row for Key {
    const TABLE: u8 = 5;
    type Key = KeyId;
}

/// Changes of the keys table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes a key.
    Create {
        /// What it is for.
        name: String,
        /// SHA-256 of its text.
        #[serde(with = "serde_bytes")]
        hash: Vec<u8>,
        /// The first characters of its text.
        prefix: String,
        /// What it allows.
        scopes: Vec<Scope>,
    },
    /// Takes a key away.
    Revoke(KeyId),
    /// Makes a key with limits.
    CreateWith {
        /// What it is for.
        name: String,
        /// SHA-256 of its text.
        #[serde(with = "serde_bytes")]
        hash: Vec<u8>,
        /// The first characters of its text.
        prefix: String,
        /// What it allows.
        scopes: Vec<Scope>,
        /// What it may use.
        limits: Vec<Limit>,
    },
    /// Sets all limits of a key; none let it use as much as there is.
    SetLimits {
        /// Which key.
        id: KeyId,
        /// What it may use.
        limits: Vec<Limit>,
    },
}

impl Command {
    /// The command that makes a key: one without limits is understood by every node.
    pub fn create(
        name: String,
        hash: Vec<u8>,
        prefix: String,
        scopes: Vec<Scope>,
        limits: Vec<Limit>,
    ) -> Self {
        if limits.is_empty() {
            Command::Create { name, hash, prefix, scopes }
        } else {
            Command::CreateWith { name, hash, prefix, scopes, limits }
        }
    }

    /// The feature level it takes.
    pub(crate) fn level(&self) -> u16 {
        match self {
            Command::Create { .. } | Command::Revoke(_) => 1,
            Command::CreateWith { limits, .. } | Command::SetLimits { limits, .. } => {
                limit::LEVEL.max(limit::level_of(limits))
            }
        }
    }
}

/// Why a key's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// No such key.
    #[error("there is no key {0}: list them with GET /api/keys")]
    Unknown(KeyId),
    /// It makes no sense.
    #[error("{field} of the key is wrong: {hint}")]
    Bad {
        /// Which part.
        field: String,
        /// What to do.
        hint: String,
    },
    /// Nobody could administer the cluster any more.
    #[error("{0} is the last key with the admin scope: create another one first")]
    LastAdmin(KeyId),
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::Unknown(_) => RejectClass::NotFound,
            Reject::Bad { .. } => RejectClass::Invalid,
            Reject::LastAdmin(_) => RejectClass::Conflict,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Create { name, hash, prefix, scopes } => {
            create(state, (name, hash, prefix, scopes), &[], ctx)
        }
        Command::CreateWith { name, hash, prefix, scopes, limits } => {
            create(state, (name, hash, prefix, scopes), limits, ctx)
        }
        Command::SetLimits { id, limits } => {
            let row = state.keys.get(id).cloned().ok_or(Reject::Unknown(*id))?;
            check_limits(limits)?;
            limit::forget(state, *id, limits, ctx);
            state.keys.put(ctx.out, *id, Key { limits: limits.clone(), ..(*row).clone() });
            Ok(Reply::Done)
        }
        Command::Revoke(id) => {
            let row = state.keys.get(id).cloned().ok_or(Reject::Unknown(*id))?;
            let admin = |k: &Key| k.scopes.contains(&Scope::Admin);
            if admin(&row) && state.keys.rows().filter(|k| admin(k)).count() == 1 {
                return Err(Reject::LastAdmin(*id).into());
            }
            state.key_by_hash.remove(row.hash.as_slice());
            state.keys.remove(ctx.out, id);
            limit::forget(state, *id, &[], ctx);
            Ok(Reply::Done)
        }
    }
}

fn create(
    state: &mut State,
    (name, hash, prefix, scopes): (&str, &[u8], &str, &[Scope]),
    limits: &[Limit],
    ctx: &mut Context<'_>,
) -> Outcome {
    check(name, hash, scopes)?;
    check_limits(limits)?;
    if state.key_by_hash.contains_key(hash) {
        return Err(bad("the hash", "make a new key").into());
    }
    let id = KeyId(ctx.index);
    let row = Key {
        id,
        name: name.to_owned(),
        hash: hash.to_vec(),
        prefix: prefix.to_owned(),
        scopes: scopes.to_vec(),
        created_at: ctx.now,
        limits: limits.to_vec(),
    };
    index(state, &row);
    state.keys.put(ctx.out, id, row);
    Ok(Reply::Key(id))
}

fn check_limits(limits: &[Limit]) -> Result<(), Reject> {
    limit::check(limits).map_err(|(field, hint)| bad(field, &hint))
}

/// Enters a key into the index from hashes to ids.
pub(crate) fn index(state: &mut State, key: &Key) {
    state.key_by_hash.insert(key.hash.clone(), key.id);
}

fn check(name: &str, hash: &[u8], scopes: &[Scope]) -> Result<(), Reject> {
    check_name(name).map_err(|hint| bad("the name", hint))?;
    if hash.len() != 32 {
        return Err(bad("the hash", "make a new key"));
    }
    if scopes.is_empty() {
        return Err(bad("the list of scopes", "name inference, read, deploy or admin"));
    }
    Ok(())
}

/// Takes a key back in from a backup. The same text's key that is here already, because the restore is done with it, makes
/// room.
pub(super) fn restore(
    state: &mut State,
    (id, row): (KeyId, Key),
    base: u64,
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    check(&row.name, &row.hash, &row.scopes).map_err(|e| e.to_string())?;
    check_limits(&row.limits).map_err(|e| e.to_string())?;
    match state.keys.get(&id) {
        Some(old) if **old == row => return Ok(()),
        Some(_) => return Err("another one has its id".to_owned()),
        None => {}
    }
    if id != row.id || id.0 > base {
        return Err("its number is not one of the backup's".to_owned());
    }
    if let Some(namesake) = state.key_by_hash.get(row.hash.as_slice()).copied() {
        state.keys.remove(ctx.out, &namesake);
    }
    index(state, &row);
    state.keys.put(ctx.out, id, row);
    Ok(())
}

fn bad(field: &str, hint: &str) -> Reject {
    Reject::Bad { field: field.to_owned(), hint: hint.to_owned() }
}
