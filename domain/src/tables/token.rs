//! Join tokens: what a new node shows to be let in. Kept as hashes; they expire, count their uses and can be revoked.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{Millis, TokenId};
use crate::table::Row;

/// A join token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its id, which its text carries.
    pub id: TokenId,
    /// SHA-256 of its secret part.
    #[serde(with = "serde_bytes")]
    pub hash: Vec<u8>,
    /// After this moment it is worth nothing.
    pub expires_at: Millis,
    /// How many more nodes it lets in.
    pub uses_left: u32,
    /// When it was made.
    pub created_at: Millis,
}

impl Row for Token {
    const TABLE: u8 = 6;
    type Key = TokenId;
}

/// Changes of the tokens table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes one.
    Create {
        /// Its id.
        id: TokenId,
        /// SHA-256 of its secret part.
        #[serde(with = "serde_bytes")]
        hash: Vec<u8>,
        /// How long it is good, in milliseconds.
        lifetime_ms: Millis,
        /// How many nodes it lets in.
        uses: u32,
    },
    /// Takes it away.
    Revoke(TokenId),
}

/// Why a token's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// No such token, or its secret is wrong.
    #[error(
        "join token {0} is not known to this cluster: was it made by another cluster, or revoked? make one with `llmhub token create`"
    )]
    Unknown(TokenId),
    /// Too late.
    #[error("join token {0} has expired: make a new one with `llmhub token create`")]
    Expired(TokenId),
    /// Too often.
    #[error("join token {0} is used up: make a new one with `llmhub token create --uses N`")]
    UsedUp(TokenId),
    /// It makes no sense.
    #[error("{field} of the token is wrong: {hint}")]
    Bad {
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
            Reject::Expired(_) | Reject::UsedUp(_) => RejectClass::Conflict,
            Reject::Bad { .. } => RejectClass::Invalid,
        }
    }
}

/// The longest a token may be good: thirty days.
pub const LIFETIME_MS_MAX: Millis = 30 * 24 * 3_600_000;

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Create { id, hash, lifetime_ms, uses } => {
            let bad =
                |field: &str, hint: &str| Reject::Bad { field: field.to_owned(), hint: hint.to_owned() };
            if hash.len() != 32 || state.tokens.contains(id) {
                return Err(bad("the hash", "make a new token").into());
            }
            if *uses == 0 {
                return Err(bad("uses", "let it be used at least once").into());
            }
            if *lifetime_ms == 0 || *lifetime_ms > LIFETIME_MS_MAX {
                return Err(bad("the lifetime", "use 1 ms to 30 days").into());
            }
            let row = Token {
                id: *id,
                hash: hash.clone(),
                expires_at: ctx.now.saturating_add(*lifetime_ms),
                uses_left: *uses,
                created_at: ctx.now,
            };
            state.tokens.put(ctx.out, *id, row);
            Ok(Reply::Done)
        }
        Command::Revoke(id) => {
            if !state.tokens.remove(ctx.out, id) {
                return Err(Reject::Unknown(*id).into());
            }
            Ok(Reply::Done)
        }
    }
}

/// Whether this token is known by this secret.
pub(super) fn check(state: &State, id: TokenId, hash: &[u8]) -> Result<Token, Reject> {
    let row = state.tokens.get(&id).filter(|t| t.hash == hash).ok_or(Reject::Unknown(id))?;
    Ok((**row).clone())
}

/// Counts a use of a token; refused when it is not good.
pub(super) fn spend(
    state: &mut State,
    id: TokenId,
    hash: &[u8],
    ctx: &mut Context<'_>,
) -> Result<(), Reject> {
    let row = check(state, id, hash)?;
    if row.expires_at <= ctx.now {
        return Err(Reject::Expired(id));
    }
    if row.uses_left == 0 {
        return Err(Reject::UsedUp(id));
    }
    state.tokens.put(ctx.out, id, Token { uses_left: row.uses_left - 1, ..row });
    Ok(())
}
