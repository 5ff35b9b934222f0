//! Consensus as the actors and the gateway see it: commands with retries under one request id, barriers, membership.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use actors::ports::{Electorate, Entropy, Member, Members, ProposeError, Proposer, ViewCell};
use async_trait::async_trait;
use consensus::{Consensus, Error, Role, Status};
use domain::limits::LEASE_MARGIN_MS;
use domain::{Command, Envelope, NodeId, Reply, RequestId};

/// Attempts at a command whose outcome is unknown, all under its one request id.
const UNKNOWN_RETRIES_MAX: u32 = 4;
/// The pause before each of them.
const RETRY_PAUSE: Duration = Duration::from_millis(300);
/// How long a node that left the tables goes on learning the log; less than its connections are kept.
const FAREWELL: Duration = Duration::from_secs(1);
/// A follower's log counts as caught up when it lacks no more than this many entries.
const CAUGHT_UP_LAG: u64 = 200;
/// A node counts as within reach when the leader heard from it no longer ago than this, in milliseconds.
const HEARD_MS_MAX: u64 = 1_000;

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
}

#[async_trait]
impl Proposer for Ledger {
    async fn propose_as(&self, id: RequestId, command: Command) -> Result<Reply, ProposeError> {
        let outcome = self.consensus.propose(Envelope::new(id, command)).await.map_err(told)?;
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

    fn members(&self) -> Members {
        let status = self.consensus.status();
        let member = |id: &NodeId, votes| Member {
            node: *id,
            votes,
            addr: status.addrs.get(id).cloned().unwrap_or_default(),
            caught_up: caught_up(&status, *id),
        };
        let voters = status.voters.iter().map(|id| member(id, true));
        let nodes = voters.chain(status.learners.iter().map(|id| member(id, false))).collect();
        Members { nodes, joint: status.joint }
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

/// Whether a node follows closely enough to vote, as the leader sees it. A node that was never heard of, such as one that
/// listens elsewhere than it says, lacks nothing on a young cluster by its numbers alone; a vote for it could stop the
/// cluster for good.
fn caught_up(status: &Status, id: NodeId) -> bool {
    let close = |at: &u64| at + CAUGHT_UP_LAG >= status.last_log;
    id == status.id || (within_reach(status, id) && status.matched.get(&id).is_some_and(close))
}

fn within_reach(status: &Status, id: NodeId) -> bool {
    status.heard_ms.get(&id).is_some_and(|ms| *ms < HEARD_MS_MAX)
}

/// Who should lead after this leader: the voter within reach whose log is furthest.
pub(crate) fn heir(status: &Status) -> Option<NodeId> {
    let others = status.voters.iter().filter(|id| **id != status.id && within_reach(status, **id));
    others.max_by_key(|id| (status.matched.get(id).copied(), **id)).copied()
}

/// Consensus' errors in the classes callers act on.
fn told(error: Error) -> ProposeError {
    match error {
        Error::Unavailable { retry_after_ms, why } => {
            ProposeError::Unavailable { reason: why, retry_after: Duration::from_millis(retry_after_ms) }
        }
        Error::Unknown { why } => ProposeError::Unknown { reason: why },
        Error::NotLeader { .. } => ProposeError::Unavailable {
            reason: "this node does not lead any more".to_owned(),
            retry_after: Duration::from_secs(1),
        },
        Error::TooLarge { bytes, max } => ProposeError::TooLarge { bytes, max },
        Error::Refused { .. } | Error::Storage { .. } | Error::Bug { .. } => {
            ProposeError::Failed { reason: error.to_string() }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn ids<const N: usize>(ids: [u64; N]) -> BTreeSet<NodeId> {
        ids.into_iter().map(NodeId).collect()
    }

    fn numbers<const N: usize>(of: [(u64, u64); N]) -> BTreeMap<NodeId, u64> {
        of.into_iter().map(|(id, number)| (NodeId(id), number)).collect()
    }

    /// Node 1 leads; the log is as short as a young cluster's.
    fn leader(last_log: u64) -> Status {
        Status {
            id: NodeId(1),
            role: Role::Leader,
            term: 1,
            leader: Some(NodeId(1)),
            voters: ids([1, 2, 3]),
            learners: ids([4]),
            addrs: BTreeMap::new(),
            changing: false,
            joint: false,
            last_log,
            committed: last_log,
            applied: last_log,
            snapshot: 0,
            purged: 0,
            matched: BTreeMap::new(),
            heard_ms: BTreeMap::new(),
            quorum_ms: Some(0),
            fault: None,
        }
    }

    #[test]
    fn a_node_never_heard_of_has_not_caught_up_however_short_the_log_is() {
        let mut status = leader(5);
        assert!(caught_up(&status, NodeId(1)));
        assert!(!caught_up(&status, NodeId(4)));
        status.matched = numbers([(4, 5)]);
        assert!(!caught_up(&status, NodeId(4)), "it was never heard of by this leader");
        status.heard_ms = numbers([(4, 20)]);
        assert!(caught_up(&status, NodeId(4)));
        status.matched.clear();
        assert!(!caught_up(&status, NodeId(4)), "it answers but shares no entry yet");
    }

    #[test]
    fn a_node_that_fell_silent_or_behind_has_not_caught_up() {
        let mut status = leader(1_000);
        status.matched = numbers([(4, 900)]);
        status.heard_ms = numbers([(4, HEARD_MS_MAX)]);
        assert!(!caught_up(&status, NodeId(4)));
        status.heard_ms = numbers([(4, HEARD_MS_MAX - 1)]);
        assert!(caught_up(&status, NodeId(4)));
        status.matched = numbers([(4, 700)]);
        assert!(!caught_up(&status, NodeId(4)));
    }

    #[test]
    fn leadership_goes_to_the_voter_within_reach_whose_log_is_furthest() {
        let mut status = leader(10);
        assert_eq!(heir(&status), None);
        status.matched = numbers([(2, 9), (3, 10), (4, 10)]);
        status.heard_ms = numbers([(2, 50), (3, 50), (4, 50)]);
        assert_eq!(heir(&status), Some(NodeId(3)));
        status.heard_ms.insert(NodeId(3), 5_000);
        assert_eq!(heir(&status), Some(NodeId(2)), "the other one may be dead");
    }

    #[test]
    fn what_trying_again_cannot_mend_is_told_as_it_is() {
        for error in [
            Error::Storage { why: "the disk is full: free some space".to_owned() },
            Error::Refused { why: "upgrade every node first".to_owned() },
            Error::Bug { why: "seen the impossible".to_owned() },
        ] {
            let said = error.to_string();
            let told = told(error);
            assert!(matches!(told, ProposeError::Failed { .. }), "{told:?}");
            assert_eq!(told.to_string(), said);
        }
        let large = told(Error::TooLarge { bytes: 2, max: 1 });
        assert!(matches!(large, ProposeError::TooLarge { bytes: 2, max: 1 }));
    }
}
