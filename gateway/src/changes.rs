//! Changes of metadata on behalf of a request: under an id that makes them idempotent, and told how to be repeated when
//! their outcome is not known. Trying again while the outcome is not known is consensus' part, under the same id.

use std::sync::{Arc, OnceLock};

use actors::ports::ProposeError;
use bytes::Bytes;
use domain::{Command, KeyId, Reply, RequestId};
use http::StatusCode;
use http::request::Parts;
use sha2::{Digest, Sha256};

use crate::inner::Inner;
use crate::problem::Problem;

/// The header by which clients repeat a change safely.
pub(crate) const HEADER: &str = "idempotency-key";
/// The longest value taken, in bytes.
pub(crate) const LEN_MAX: usize = 255;

/// The changes that one HTTP request makes.
pub(crate) struct Changes {
    caller: KeyId,
    key: String,
    what: String,
    body: BodyHash,
}

/// SHA-256 of a request's body, put in by whoever reads it, after the request's changes were prepared.
#[derive(Clone, Default)]
pub(crate) struct BodyHash(Arc<OnceLock<[u8; 32]>>);

impl BodyHash {
    /// Of this body.
    pub(crate) fn put(&self, body: &Bytes) {
        self.0.get_or_init(|| Sha256::digest(body).into());
    }

    /// Empty for a request whose body is not looked at.
    fn bytes(&self) -> &[u8] {
        self.0.get().map_or(&[], |hash| hash)
    }
}

impl Changes {
    /// For a request of this caller. Without a key of its own it gets one, which its answer tells when it is needed.
    pub(crate) fn of(inner: &Inner, caller: KeyId, parts: &mut Parts) -> Result<Self, Problem> {
        let given = match parts.headers.get(HEADER).map(|value| value.to_str()) {
            None => None,
            Some(Ok(text)) if !text.is_empty() && text.len() <= LEN_MAX => Some(text.to_owned()),
            Some(_) => {
                return Err(Problem::bad_param("Idempotency-Key", "use 1 to 255 visible characters"));
            }
        };
        let body = BodyHash::default();
        parts.extensions.insert(body.clone());
        Ok(Self {
            caller,
            key: given.unwrap_or_else(|| format!("{:016x}{:016x}", inner.ids.draw(), inner.ids.draw())),
            what: format!("{} {}", parts.method, parts.uri.path()),
            body,
        })
    }

    /// The key that the request came with.
    pub(crate) fn caller(&self) -> KeyId {
        self.caller
    }

    /// Proposes one of the request's commands.
    pub(crate) async fn commit(&self, inner: &Inner, command: Command) -> Result<Reply, Problem> {
        let id = self.request_id(command.kind());
        match inner.deps.proposer.propose_as(id, command).await {
            Err(ProposeError::Unknown { reason }) => Err(self.unknown(&reason)),
            outcome => Ok(outcome?),
        }
    }

    /// What the request's command of this kind came to, if the request was made before and this node knows: for those whose
    /// repetition does not find any more what the first one changed.
    pub(crate) fn first(&self, inner: &Inner, kind: &str) -> Option<Result<Reply, Problem>> {
        let view = inner.deps.view.peek();
        let outcome = view.state.outcome(&self.request_id(kind))?.clone();
        Some(outcome.map_err(|reject| ProposeError::Rejected(reject).into()))
    }

    fn unknown(&self, reason: &str) -> Problem {
        let message = format!(
            "the change may or may not have been made ({reason}): send the same request again with the header \
             `Idempotency-Key: {}` to find out",
            self.key
        );
        Problem::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "outcome_unknown", message)
    }

    /// Bound to the kind of command, since a repetition may find a step done and leave it out; a request makes one of each
    /// kind at most. Bound to the caller: two may use the same key for different things. Bound to all of the request: no
    /// outcome is answered to a request that did not ask for it.
    fn request_id(&self, kind: &str) -> RequestId {
        let key = hash(&[&self.caller.0.to_be_bytes(), self.key.as_bytes()]);
        let request = hash(&[self.what.as_bytes(), self.body.bytes()]);
        RequestId::of_key(key, request, step(kind))
    }
}

/// A number for the kind of command.
fn step(kind: &str) -> u16 {
    (hash(&[kind.as_bytes()]) >> 48) as u16
}

/// A number for some words, of which only the last may hold any byte.
fn hash(words: &[&[u8]]) -> u64 {
    let mut hash = Sha256::new();
    for word in words {
        hash.update(word);
        hash.update([0]);
    }
    let mut number = [0; 8];
    number.copy_from_slice(&hash.finalize()[..8]);
    u64::from_be_bytes(number)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::step;

    #[test]
    fn the_kinds_of_commands_are_told_apart() {
        let kinds = [
            "node",
            "model",
            "deployment",
            "provider",
            "key",
            "token",
            "secret",
            "level",
            "config",
            "restore",
            "setting",
            "rotation",
            "adapter",
            "route",
        ];
        assert_eq!(kinds.map(step).into_iter().collect::<BTreeSet<_>>().len(), kinds.len());
    }
}
