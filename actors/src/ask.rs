//! Asks any node's actors over the doorway, this node's own included. Used by the API.

use std::time::Duration;

use bytes::Bytes;
use domain::{DeploymentId, NodeId};
use serde::{Deserialize, Serialize};

use crate::ports::{PeerError, PeerLink};
use crate::service::{self, NODE_OBSERVE, REPLICA_LOGS};
use crate::tree::Observed;

/// How long a node may take to answer.
const DEADLINE: Duration = Duration::from_secs(3);

/// Asks for the last log lines of a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Logs {
    /// Of which deployment.
    pub id: DeploymentId,
    /// Which replica.
    pub ordinal: u32,
    /// How many lines at most.
    pub tail: u64,
}

/// The last log lines of a replica, from the node that runs it.
///
/// # Errors
/// When the node does not answer, or does not run the replica.
pub async fn logs(peers: &dyn PeerLink, node: NodeId, what: &Logs) -> Result<Vec<String>, PeerError> {
    let refused = |reason| PeerError::Refused { node, reason };
    let body = service::encode(what).map_err(refused)?;
    let answer = peers.ask(node, REPLICA_LOGS, body, DEADLINE).await?;
    service::decode(&answer).map_err(refused)
}

/// What a node's actors show.
///
/// # Errors
/// When the node does not answer.
pub async fn observe(peers: &dyn PeerLink, node: NodeId) -> Result<Observed, PeerError> {
    let answer = peers.ask(node, NODE_OBSERVE, Bytes::new(), DEADLINE).await?;
    let refused =
        |e: serde_json::Error| PeerError::Refused { node, reason: format!("unreadable answer: {e}") };
    serde_json::from_slice(&answer).map_err(refused)
}
