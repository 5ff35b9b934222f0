//! Consensus as the actors and the gateway see it: commands with retries under one request id, barriers, membership.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actors::ports::{Electorate, Entropy, Member, ProposeError, Proposer, ViewCell};
use async_trait::async_trait;
use consensus::{Consensus, Error, Role, Status};
use domain::limits::LEASE_MARGIN_MS;
use domain::{Command, Envelope, NodeId, Reply, RequestId};

/// Attempts at a command whose outcome is unknown, all under its one request id.
const UNKNOWN_RETRIES_MAX: u32 = 4;
/// The pause before each of them.
const RETRY_PAUSE: Duration = Duration::from_millis(300);
/// How long to wait until this node has itself applied what was acknowledged.
const APPLY_WAIT: Duration = Duration::from_secs(3);
/// How long a node that left the tables goes on learning the log; less than its connections are kept.
const FAREWELL: Duration = Duration::from_secs(1);
/// A follower's log counts as caught up when it lacks no more than this many entries.
const CAUGHT_UP_LAG: u64 = 200;

/// Proposals, barriers and membership over one node's consensus.
pub(crate) struct Ledger {
    consensus: Consensus,
    view: ViewCell,
    entropy: Arc<dyn Entropy>,
}

impl Ledger {
    /// The ledger of a node.
    pub(crate) fn new(consensus: Consensus, view: ViewCell, entropy: Arc<dyn Entropy>) -> Arc<Self> {
        Arc::new(Self { consensus, view, entropy })
    }

    /// What consensus says of itself.
    pub(crate) fn status(&self) -> Status {
        self.consensus.status()
    }

    fn draw_id(&self) -> RequestId {
        let mut bytes = [0; 16];
        self.entropy.fill(&mut bytes);
        RequestId(u128::from_le_bytes(bytes))
    }

    /// Waits until this node's own view holds the outcome, so that whoever proposed reads what they wrote.
    async fn applied_here(&self, id: RequestId) {
        let mut changes = self.view.watch();
        let seen = async {
            while self.view.peek().state.outcome(&id).is_none() {
                if changes.changed().await.is_err() {
                    return;
                }
            }
        };
        // A node that is cut off may never get there; the command is done all the same.
        let _ = tokio::time::timeout(APPLY_WAIT, seen).await;
    }
}

#[async_trait]
impl Proposer for Ledger {
    async fn propose_as(&self, id: RequestId, command: Command) -> Result<Reply, ProposeError> {
        let outcome = self.consensus.propose(Envelope::new(id, command)).await.map_err(told)?;
        self.applied_here(id).await;
        outcome.map_err(ProposeError::Rejected)
    }

    async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        let id = self.draw_id();
        let mut tried = 0;
        loop {
            match self.propose_as(id, command.clone()).await {
                Err(ProposeError::Unknown { .. }) if tried < UNKNOWN_RETRIES_MAX => {
                    tried += 1;
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn barrier(&self) -> Result<(), ProposeError> {
        let index = self.consensus.read().await.map_err(told)?;
        let mut changes = self.view.watch();
        while self.view.peek().applied < index {
            if changes.changed().await.is_err() {
                return Err(ProposeError::Unavailable {
                    reason: "this node is stopping".to_owned(),
                    retry_after: RETRY_PAUSE,
                });
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Electorate for Ledger {
    fn leading(&self) -> Option<u64> {
        let status = self.consensus.status();
        // A leader that was cut off does not know yet that it has a successor: it must not renew leases that the
        // successor will let run out. Hearing from a majority within the margin keeps its leases the shorter ones.
        let heard = status.voters.len() == 1 || status.quorum_ms.is_some_and(|ms| ms < LEASE_MARGIN_MS);
        (status.role == Role::Leader && heard).then_some(status.term)
    }

    fn members(&self) -> Vec<Member> {
        let status = self.consensus.status();
        let caught_up = |id: &NodeId| {
            *id == status.id || status.matched.get(id).is_some_and(|at| at + CAUGHT_UP_LAG >= status.last_log)
        };
        let member = |id: &NodeId, votes| Member {
            node: *id,
            votes,
            addr: status.addrs.get(id).cloned().unwrap_or_default(),
            caught_up: caught_up(id),
        };
        let voters = status.voters.iter().map(|id| member(id, true));
        voters.chain(status.learners.iter().map(|id| member(id, false))).collect()
    }

    async fn add_learner(&self, node: NodeId, addr: &str) -> Result<(), ProposeError> {
        let known = self.consensus.status().addrs.contains_key(&node);
        let done = if known {
            self.consensus.set_addr(node, addr).await
        } else {
            self.consensus.add_learner(node, addr).await
        };
        done.map_err(told)
    }

    async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), ProposeError> {
        self.consensus.set_voters(voters).await.map_err(told)
    }

    async fn remove_learner(&self, node: NodeId) -> Result<(), ProposeError> {
        // It shall still hear that it was removed, so that it stops by itself.
        tokio::time::sleep(FAREWELL).await;
        self.consensus.remove(node).await.map_err(told)
    }
}

/// Consensus' errors in the classes callers act on.
fn told(error: Error) -> ProposeError {
    match error {
        Error::Unavailable { retry_after_ms, why } => {
            ProposeError::Unavailable { reason: why, retry_after: Duration::from_millis(retry_after_ms) }
        }
        Error::Unknown { why } => ProposeError::Unknown { reason: why },
        other => ProposeError::Unavailable { reason: other.to_string(), retry_after: Duration::from_secs(1) },
    }
}
