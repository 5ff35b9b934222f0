//! The port to the other nodes. `wire` implements it over streams, tests in memory. It carries opaque bytes: only this crate
//! knows what is in them, and the receiving side hands them to [`crate::Consensus::handle`] and
//! [`crate::Consensus::install`] together with the sender's *authenticated* id.

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::NodeId;
use futures::stream::BoxStream;

/// Whom to call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// The node.
    pub id: NodeId,
    /// Where it listened when it was last heard of, `host:port`; a link that knows better may use that.
    pub addr: String,
}

/// What a call is about. The number is what goes over the wire and never changes its meaning.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// Log entries or a heartbeat.
    Append,
    /// A request for a vote.
    Vote,
    /// The question whether a vote would be granted.
    PreVote,
    /// The leader hands over.
    Transfer,
    /// A command for the leader to propose.
    Forward,
    /// A read barrier asked of the leader.
    Barrier,
    /// A node's new address, told to the leader.
    Address,
    /// Several commands for the leader to propose; from feature level 2 on.
    Batch,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 8] = [
        Kind::Append,
        Kind::Vote,
        Kind::PreVote,
        Kind::Transfer,
        Kind::Forward,
        Kind::Barrier,
        Kind::Address,
        Kind::Batch,
    ];

    /// Its number.
    pub fn code(self) -> u32 {
        match self {
            Kind::Append => 1,
            Kind::Vote => 2,
            Kind::PreVote => 3,
            Kind::Transfer => 4,
            Kind::Forward => 5,
            Kind::Barrier => 6,
            Kind::Address => 7,
            Kind::Batch => 8,
        }
    }
    /// The kind of that number.
    pub fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.code() == code)
    }
    /// A word for logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Append => "append",
            Kind::Vote => "vote",
            Kind::PreVote => "pre_vote",
            Kind::Transfer => "transfer",
            Kind::Forward => "forward",
            Kind::Barrier => "barrier",
            Kind::Address => "address",
            Kind::Batch => "batch",
        }
    }
}

/// Why a call brought no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// It certainly did not arrive.
    #[error("unreachable: {0}")]
    Unreachable(String),
    /// It may have arrived: the deadline passed or the connection broke meanwhile.
    #[error("no answer: {0}")]
    Unknown(String),
    /// It arrived and was refused: the answer of [`crate::Consensus::handle`] was an error.
    #[error("refused: {0}")]
    Refused(String),
}

/// Calls to other nodes.
#[async_trait]
pub trait Link: Send + Sync + 'static {
    /// One question, one answer. Returns within `deadline`. Dropping the future gives the call up.
    async fn call(&self, to: Peer, kind: Kind, body: Bytes, deadline: Duration) -> Result<Bytes, LinkError>;

    /// Sends a snapshot: `meta`, then the chunks, each at most [`CHUNK_LEN_MAX`] long; the answer comes after the last.
    /// `deadline` is for each chunk and for the answer, not for the whole. Dropping the future gives it up.
    async fn snapshot(
        &self,
        to: Peer,
        meta: Bytes,
        chunks: BoxStream<'static, Result<Bytes, io::Error>>,
        deadline: Duration,
    ) -> Result<Bytes, LinkError>;
}

/// The longest chunk of a snapshot in bytes. A row may be larger than what chunks aim at, but no larger than the command that
/// wrote it allows, [`crate::COMMAND_BYTES_MAX`].
pub const CHUNK_LEN_MAX: usize = 4 * 1024 * 1024;
