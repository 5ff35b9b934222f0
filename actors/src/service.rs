//! What a node's actors answer to other nodes' actors: services by topic, to be opened at the doorway by the runtime.
//! Answers are small and come within the asker's deadline; bulk never passes here.

use std::sync::Arc;

use bytes::Bytes;
use domain::NodeId;
use futures::future::BoxFuture;

/// Renews a node's lease; only the leader answers. Body: [`crate::membership::Renew`] as MessagePack.
pub const LEASE_RENEW: &str = "lease.renew";
/// The last log lines of a replica. Body: [`crate::ask::Logs`] as MessagePack; answer: a list of lines as MessagePack.
pub const REPLICA_LOGS: &str = "replica.logs";
/// The state of the node's actors as JSON. No body.
pub const NODE_OBSERVE: &str = "node.observe";

/// Answers one topic: who asks (proved by its certificate) and the body; the answer's body, or why not.
pub type Service = Arc<dyn Fn(NodeId, Bytes) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

/// Encodes a body.
pub(crate) fn encode<T: serde::Serialize>(value: &T) -> Result<Bytes, String> {
    rmp_serde::to_vec_named(value).map(Bytes::from).map_err(|e| format!("the message cannot be encoded: {e}"))
}

/// Decodes a body.
pub(crate) fn decode<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    rmp_serde::from_slice(body).map_err(|e| format!("the message cannot be read: {e}"))
}
