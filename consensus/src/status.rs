//! What a node's consensus says about itself, for the API, the reconciler, metrics and the simulator.

use std::collections::{BTreeMap, BTreeSet};

use domain::NodeId;
use openraft::errors::Fatal;
use openraft::metrics::RaftMetrics;
use openraft::{Instant as _, ServerState};
use serde::{Deserialize, Serialize};

use crate::raft::Types;

/// What a node does in Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It leads.
    Leader,
    /// It wants to lead.
    Candidate,
    /// It votes and follows.
    Follower,
    /// It follows and does not vote.
    Learner,
    /// It takes no part any more.
    Stopped,
}

/// A node's view of consensus. Indexes are places in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Whose view it is.
    pub id: NodeId,
    /// What it does.
    pub role: Role,
    /// Its term.
    pub term: u64,
    /// The leader it knows.
    pub leader: Option<NodeId>,
    /// Who votes, by the newest membership it knows, committed or not.
    pub voters: BTreeSet<NodeId>,
    /// Who only follows.
    pub learners: BTreeSet<NodeId>,
    /// Where they listen.
    pub addrs: BTreeMap<NodeId, String>,
    /// Whether a change of membership is half way.
    pub changing: bool,
    /// Whether both an old and a new set of voters have to agree; left like that by a change that was broken off, until the
    /// voters are set again.
    #[serde(default)]
    pub joint: bool,
    /// The last entry it has.
    pub last_log: u64,
    /// The last entry it knows to be committed.
    pub committed: u64,
    /// The last entry it applied.
    pub applied: u64,
    /// Where its snapshot ends.
    pub snapshot: u64,
    /// The last entry it threw away.
    pub purged: u64,
    /// On the leader: the last entry that each node is known to share with it; nodes of which none is known are missing.
    pub matched: BTreeMap<NodeId, u64>,
    /// On the leader: milliseconds since each other node was last heard of; nodes never heard of are missing.
    pub heard_ms: BTreeMap<NodeId, u64>,
    /// On the leader: milliseconds since it last knew that it leads a majority.
    pub quorum_ms: Option<u64>,
    /// Why it takes no part any more.
    pub fault: Option<String>,
}

impl Status {
    pub(crate) fn of(metrics: &RaftMetrics<Types>) -> Self {
        let membership = &metrics.membership_config;
        let joint = membership.get_joint_config().len() > 1;
        let index = |id: &Option<crate::raft::LogId>| id.as_ref().map_or(0, |id| id.index());
        let millis = |since: std::time::Duration| u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        let fault = metrics.running_state.as_ref().err();
        Self {
            id: NodeId(metrics.id),
            role: if fault.is_some() { Role::Stopped } else { role(metrics.state) },
            term: metrics.current_term,
            leader: metrics.current_leader.map(NodeId),
            voters: membership.voter_ids().map(NodeId).collect(),
            learners: membership.membership().learner_ids().map(NodeId).collect(),
            addrs: membership.nodes().map(|(id, node)| (NodeId(*id), node.addr.clone())).collect(),
            changing: joint || membership.log_id() != metrics.committed_membership_config.log_id(),
            joint,
            last_log: metrics.last_log_index.unwrap_or(0),
            committed: index(&metrics.local_committed),
            applied: index(&metrics.last_applied),
            snapshot: index(&metrics.snapshot),
            purged: index(&metrics.purged),
            matched: metrics
                .replication
                .iter()
                .flatten()
                .filter_map(|(id, matched)| matched.as_ref().map(|at| (NodeId(*id), at.index())))
                .collect(),
            heard_ms: metrics
                .heartbeat
                .iter()
                .flatten()
                .filter_map(|(id, at)| at.as_ref().map(|at| (NodeId(*id), millis(at.elapsed()))))
                .collect(),
            quorum_ms: metrics.last_quorum_acked.as_ref().map(|at| millis(at.elapsed())),
            fault: fault.map(describe),
        }
    }
}

fn role(state: ServerState) -> Role {
    match state {
        ServerState::Leader => Role::Leader,
        ServerState::Candidate => Role::Candidate,
        ServerState::Follower => Role::Follower,
        ServerState::Learner => Role::Learner,
        ServerState::Shutdown => Role::Stopped,
    }
}

/// Why openraft stopped, in words for people.
pub(crate) fn describe(fatal: &Fatal<Types>) -> String {
    match fatal {
        Fatal::StorageError(error) => innermost(error),
        Fatal::Panicked => {
            "consensus on this node panicked: restart it and report this with its log".to_owned()
        }
        Fatal::Stopped => "this node is shutting down".to_owned(),
    }
}

/// The disk's own words, without openraft's wrapping and the name of Rust's type that it puts before them.
fn innermost(error: &dyn std::error::Error) -> String {
    let mut at = error;
    while let Some(source) = at.source() {
        at = source;
    }
    let text = at.to_string();
    let bare = text.strip_prefix(std::any::type_name::<std::io::Error>()).and_then(|t| t.strip_prefix(": "));
    bare.map_or_else(|| text.clone(), str::to_owned)
}
