//! Configuration values of users: small values under keys, each with the revision of its last change, so that several
//! writers can keep out of each other's way. The cluster never interprets them.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{Epoch, Millis};
use crate::limits::{CONFIG_BYTES_MAX, CONFIG_KEY_LEN_MAX, CONFIG_KEYS_MAX, CONFIG_VALUE_LEN_MAX};
use crate::table::Row;

/// A value under a key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Value {
    /// Its key.
    pub key: String,
    /// Its bytes.
    #[serde(with = "serde_bytes")]
    pub bytes: Vec<u8>,
    /// The log index of its last change; grows with every change of anything.
    pub revision: Epoch,
    /// When it was last changed.
    pub changed_at: Millis,
}

impl Row for Value {
    const TABLE: u8 = 12;
    type Key = String;
}

impl Value {
    /// What it takes of the room for all values, in bytes.
    pub(crate) fn size(&self) -> u64 {
        (self.key.len() + self.bytes.len()) as u64
    }
}

/// What must be there for a change to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Expect {
    /// Whatever there is.
    #[default]
    Anything,
    /// No value.
    Absent,
    /// Some value.
    Present,
    /// The value of this revision.
    Revision(Epoch),
}

/// Changes of the values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Writes a value. Answers its revision.
    Put {
        /// Under which key.
        key: String,
        /// The value.
        #[serde(with = "serde_bytes")]
        bytes: Vec<u8>,
        /// Only if this is there.
        expect: Expect,
    },
    /// Deletes a value.
    Delete {
        /// Of which key.
        key: String,
        /// Only if this is there.
        expect: Expect,
    },
}

/// Why a value was not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// No such value.
    #[error("there is no value under `{0}`: list the keys with GET /api/config")]
    Unknown(String),
    /// Something else is there than was expected.
    #[error("`{key}` is at revision {found}: read it again, then repeat the change on what is there now")]
    Changed {
        /// The key.
        key: String,
        /// What is there; 0 when there is nothing.
        found: Epoch,
    },
    /// The key cannot be one.
    #[error("this cannot be a key: use 1 to {CONFIG_KEY_LEN_MAX} bytes of text without control characters")]
    BadKey,
    /// The value is too large.
    #[error("a value may have {CONFIG_VALUE_LEN_MAX} bytes, this one has {bytes}: keep large data elsewhere")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// There is no more room.
    #[error(
        "there is no room for more values ({CONFIG_KEYS_MAX} keys or {CONFIG_BYTES_MAX} bytes in all): delete some"
    )]
    Full,
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::Unknown(_) => RejectClass::NotFound,
            Reject::Changed { .. } | Reject::Full => RejectClass::Conflict,
            Reject::BadKey | Reject::TooLarge { .. } => RejectClass::Invalid,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Put { key, bytes, expect } => {
            check(key, bytes)?;
            let old = meets(state, key, *expect)?;
            let (replaced, new_key) = old.map_or((0, true), |size| (size, false));
            let revision = ctx.index;
            let row = Value { key: key.clone(), bytes: bytes.clone(), revision, changed_at: ctx.now };
            let total = state.config_bytes - replaced + row.size();
            if total > CONFIG_BYTES_MAX || (new_key && state.config.len() >= CONFIG_KEYS_MAX) {
                return Err(Reject::Full.into());
            }
            state.config_bytes = total;
            state.config.put(ctx.out, key.clone(), row);
            Ok(Reply::Revision(revision))
        }
        Command::Delete { key, expect } => {
            let Some(size) = meets(state, key, *expect)? else {
                return Err(Reject::Unknown(key.clone()).into());
            };
            state.config_bytes -= size;
            state.config.remove(ctx.out, key);
            Ok(Reply::Done)
        }
    }
}

/// The size of what is there, if it is what was expected.
fn meets(state: &State, key: &String, expect: Expect) -> Result<Option<u64>, Reject> {
    let old = state.config.get(key);
    let met = match expect {
        Expect::Anything => true,
        Expect::Absent => old.is_none(),
        Expect::Present => old.is_some(),
        Expect::Revision(revision) => old.is_some_and(|old| old.revision == revision),
    };
    if met {
        Ok(old.map(|old| old.size()))
    } else {
        Err(Reject::Changed { key: key.clone(), found: old.map_or(0, |old| old.revision) })
    }
}

fn check(key: &str, bytes: &[u8]) -> Result<(), Reject> {
    if key.is_empty() || key.len() > CONFIG_KEY_LEN_MAX || key.chars().any(char::is_control) {
        return Err(Reject::BadKey);
    }
    if bytes.len() > CONFIG_VALUE_LEN_MAX {
        return Err(Reject::TooLarge { bytes: bytes.len() as u64 });
    }
    Ok(())
}

/// Takes a backup's value in.
pub(super) fn restore(
    state: &mut State,
    (key, row): (String, Value),
    base: Epoch,
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    check(&row.key, &row.bytes).map_err(|e| e.to_string())?;
    match state.config.get(&key) {
        Some(old) if **old == row => return Ok(()),
        Some(_) => return Err("another value has its key".to_owned()),
        None => {}
    }
    if key != row.key || row.revision > base {
        return Err("its key or its revision is not one of the backup's".to_owned());
    }
    let total = state.config_bytes + row.size();
    if total > CONFIG_BYTES_MAX || state.config.len() >= CONFIG_KEYS_MAX {
        return Err(Reject::Full.to_string());
    }
    state.config_bytes = total;
    state.config.put(ctx.out, key, row);
    Ok(())
}
