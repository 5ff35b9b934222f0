//! Raft's calls between nodes: the client is consensus' [`consensus::Link`], the servers hand calls to a [`RaftService`].
//! Calls are frames on a stream of their own; snapshots travel over gRPC on connections of their own, and so do calls from and
//! to nodes of a version before frames. Bodies are opaque here, and who called is what the stream proves, never what a message
//! claims.

mod answers;
mod client;
mod frame;
mod line;
mod server;

use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use consensus::{Consensus, Kind};
use domain::NodeId;
use futures::stream::BoxStream;

pub use answers::serve_calls;
pub use client::RaftClient;
pub use server::{serve_bulk, serve_raft};

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod proto {
    tonic::include_proto!("llmhub.raft.v1");
}

/// The largest body of a call, in bytes: a batch of log entries.
pub const CALL_BYTES_MAX: usize = 64 << 20;
/// The largest piece of a snapshot, in bytes, with room for its frame.
const PIECE_BYTES_MAX: usize = consensus::link::CHUNK_LEN_MAX + (64 << 10);
/// Calls of one peer that are answered at the same time.
const CALLS_PER_PEER_MAX: usize = 1024;
/// How often a connection is pinged, and how long an answer may take on connections for calls.
const PING_INTERVAL: Duration = Duration::from_secs(1);
const PING_TIMEOUT: Duration = Duration::from_secs(1);
/// Snapshots may wait longer: nothing depends on noticing their end.
const BULK_PING_TIMEOUT: Duration = Duration::from_secs(4);
/// Bytes under way on one stream and on one connection.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// Chunks of a snapshot; an error ends them before the end.
pub type Chunks = BoxStream<'static, Result<Bytes, io::Error>>;

/// What answers calls: consensus, or a stand-in in tests. Errors are told to the caller as refusals.
#[async_trait]
pub trait RaftService: Send + Sync + 'static {
    /// Answers a call of a member.
    async fn handle(&self, from: NodeId, kind: Kind, body: Bytes) -> Result<Bytes, String>;
    /// Installs a snapshot that a member sends.
    async fn install(&self, from: NodeId, meta: Bytes, chunks: Chunks) -> Result<Bytes, String>;
}

#[async_trait]
impl RaftService for Consensus {
    async fn handle(&self, from: NodeId, kind: Kind, body: Bytes) -> Result<Bytes, String> {
        Consensus::handle(self, from, kind, body).await.map_err(|error| error.to_string())
    }
    async fn install(&self, from: NodeId, meta: Bytes, chunks: Chunks) -> Result<Bytes, String> {
        Consensus::install(self, from, meta, chunks).await.map_err(|error| error.to_string())
    }
}
