//! Changes of metadata on behalf of a request: under an id that makes them idempotent, retried while the outcome is not
//! known, and told how to be repeated when it stays so.

use std::time::Duration;

use actors::ports::ProposeError;
use domain::{Command, KeyId, Reply, RequestId};
use http::StatusCode;
use http::request::Parts;
use sha2::{Digest, Sha256};

use crate::inner::Inner;
use crate::problem::Problem;

/// The header by which clients repeat a change safely.
pub(crate) const HEADER: &str = "idempotency-key";
/// The longest value taken, in bytes.
const LEN_MAX: usize = 255;
/// How often a change whose outcome is not known is asked for again.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_millis(200);
/// After so long it is not asked for again: without a quorum each attempt takes long, and the client waits for all.
const COMMIT_PATIENCE: Duration = Duration::from_secs(8);

/// The changes that one HTTP request makes.
pub(crate) struct Changes {
    caller: KeyId,
    what: String,
    key: String,
}

impl Changes {
    /// For a request of this caller. Without a key of its own it gets one, which its answer tells when it is needed.
    pub(crate) fn of(inner: &Inner, caller: KeyId, parts: &Parts) -> Result<Self, Problem> {
        let given = match parts.headers.get(HEADER).map(|value| value.to_str()) {
            None => None,
            Some(Ok(text)) if !text.is_empty() && text.len() <= LEN_MAX => Some(text.to_owned()),
            Some(_) => {
                return Err(Problem::bad_param("Idempotency-Key", "use 1 to 255 visible characters"));
            }
        };
        let key = given.unwrap_or_else(|| format!("{:016x}{:016x}", inner.ids.draw(), inner.ids.draw()));
        Ok(Self { caller, what: format!("{} {}", parts.method, parts.uri.path()), key })
    }

    /// Proposes one of the request's commands.
    pub(crate) async fn commit(&self, inner: &Inner, command: Command) -> Result<Reply, Problem> {
        let id = self.request_id(&command);
        let enough = tokio::time::Instant::now() + COMMIT_PATIENCE;
        for attempt in 1.. {
            match inner.deps.proposer.propose_as(id, command.clone()).await {
                Ok(reply) => return Ok(reply),
                Err(ProposeError::Unknown { .. })
                    if attempt < ATTEMPTS && tokio::time::Instant::now() < enough =>
                {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(ProposeError::Unknown { reason }) => return Err(self.unknown(&reason)),
                Err(error) => return Err(error.into()),
            }
        }
        Err(Problem::unavailable("no_quorum", "the change was not made: try again"))
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
    /// kind at most. Bound to the caller and the path: two clients may use the same key for different things.
    fn request_id(&self, command: &Command) -> RequestId {
        let mut hash = Sha256::new();
        hash.update(self.caller.0.to_be_bytes());
        hash.update(command.kind().as_bytes());
        hash.update([0]);
        hash.update(self.what.as_bytes());
        hash.update([0]);
        hash.update(self.key.as_bytes());
        let mut id = [0; 16];
        id.copy_from_slice(&hash.finalize()[..16]);
        RequestId(u128::from_be_bytes(id))
    }
}
