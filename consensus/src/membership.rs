//! Who takes part: adding, promoting, replacing and removing nodes, and handing over leadership. openraft makes each change
//! safe (joint consensus, one at a time); *which* change is wanted is decided by the reconciler on the leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::NodeId;
use futures::future::BoxFuture;
use openraft::ChangeMembers;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use tokio::time::timeout;

use crate::codec::encode;
use crate::error::Error;
use crate::lead::write_error;
use crate::link::Kind;
use crate::node::{Consensus, fatal_error};
use crate::raft::{Member, Types};

type Change = ChangeMembers<u64, Member>;
type Unchanged = RaftError<Types, ClientWriteError<Types>>;

impl Consensus {
    /// Lets a node follow. On the leader only. Resolves when that is committed, not when the node has caught up: see
    /// `matched` in [`crate::Status`]. Harmless if the node takes part already.
    pub async fn add_learner(&self, id: NodeId, addr: impl Into<String>) -> Result<(), Error> {
        let add = self.inner.raft.add_learner(id.0, Member::new(addr.into()), false);
        self.settle(Box::pin(async { add.await.map(|_| ()) })).await
    }

    /// Sets who votes; each must take part already. On the leader only. Nodes that voted before and do not any more go on as
    /// learners.
    pub async fn set_voters(&self, voters: BTreeSet<NodeId>) -> Result<(), Error> {
        let voters: BTreeSet<u64> = voters.into_iter().map(|id| id.0).collect();
        let change = self.inner.raft.change_membership(Change::ReplaceAllVoters(voters), true);
        self.settle(Box::pin(async { change.await.map(|_| ()) })).await
    }

    /// Takes a node out altogether, voter or learner. On the leader only. Harmless if it takes no part.
    pub async fn remove(&self, id: NodeId) -> Result<(), Error> {
        let status = self.status();
        let gone = BTreeSet::from([id.0]);
        if status.voters.contains(&id) {
            if status.voters.len() == 1 {
                return Err(Error::refused(format!(
                    "{id} is the only voter: let another node take over first"
                )));
            }
            let change = self.inner.raft.change_membership(Change::RemoveVoters(gone), false);
            return self.settle(Box::pin(async { change.await.map(|_| ()) })).await;
        }
        if !status.learners.contains(&id) && self.is_leader() {
            return Ok(());
        }
        let change = self.inner.raft.change_membership(Change::RemoveNodes(gone), true);
        self.settle(Box::pin(async { change.await.map(|_| ()) })).await
    }

    /// Records that a node listens elsewhere now. From any node: whoever came back under another address calls this for itself.
    pub async fn set_addr(&self, id: NodeId, addr: impl Into<String>) -> Result<(), Error> {
        let addr = addr.into();
        let body = encode(&(id, &addr))?;
        let patience = Duration::from_millis(self.inner.config.patience_ms);
        let there = |leader, deadline| self.call(leader, Kind::Address, body.clone(), deadline);
        self.ask(patience, || self.set_addr_here(id, addr.clone()), there).await
    }

    pub(crate) async fn set_addr_here(&self, id: NodeId, addr: String) -> Result<(), Error> {
        let status = self.status();
        match status.addrs.get(&id) {
            Some(known) if *known == addr && !status.changing && self.is_leader() => return Ok(()),
            None if self.is_leader() => {
                return Err(Error::refused(format!("{id} is not a member: let it join")));
            }
            _ => {}
        }
        let nodes = BTreeMap::from([(id.0, Member::new(addr))]);
        let change = self.inner.raft.change_membership(Change::SetNodes(nodes), true);
        self.settle(Box::pin(async { change.await.map(|_| ()) })).await
    }

    /// Hands leadership to a voter and waits until it has it. On the leader only.
    pub async fn transfer(&self, to: NodeId) -> Result<(), Error> {
        if !self.is_leader() {
            return Err(Error::NotLeader { leader: self.leader(), addr: None });
        }
        if to == self.id() {
            return Ok(());
        }
        if !self.status().voters.contains(&to) {
            return Err(Error::refused(format!("{to} does not vote: choose a voter")));
        }
        let mut leaders = self.inner.board.watch_leader();
        self.inner.raft.trigger().transfer_leader(to.0).await.map_err(|fatal| fatal_error(&fatal))?;
        let attempt = Duration::from_millis(self.inner.config.attempt_ms);
        let me = self.id();
        let changed = leaders.wait_for(|(_, leader)| leader.is_some_and(|leader| leader != me));
        match timeout(attempt, changed).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Error::unavailable(format!("{to} did not take over in time"))),
        }
    }

    /// Waits for a change, not for ever, and puts its failure into our classes. Boxed, since openraft's futures are huge.
    async fn settle(&self, change: BoxFuture<'_, Result<(), Unchanged>>) -> Result<(), Error> {
        let patience = Duration::from_millis(self.inner.config.change_ms);
        match timeout(patience, change).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(RaftError::APIError(error))) => Err(write_error(error)),
            Ok(Err(RaftError::Fatal(fatal))) => Err(fatal_error(&fatal)),
            Err(_) => Err(Error::unknown("the change of membership found no majority in time")),
        }
    }
}

/// A membership change that was not made.
pub(crate) fn change_error<C: openraft::vote::RaftCommittedLeaderId>(
    error: ChangeMembershipError<C, u64>,
) -> Error {
    match error {
        ChangeMembershipError::InProgress(_) => {
            Error::unavailable("another change of membership is under way")
        }
        ChangeMembershipError::UncommittedLeaderLog(_) => {
            Error::unavailable("the leader is just taking over")
        }
        ChangeMembershipError::EmptyMembership(_) => {
            Error::refused("a cluster needs a voter: add another one before removing the last")
        }
        ChangeMembershipError::LearnerNotFound(e) => {
            Error::refused(format!("{} does not take part: add it as a learner first", NodeId(e.node_id)))
        }
        other @ (ChangeMembershipError::UnsupportedMembershipTransition(_)
        | ChangeMembershipError::NodeMetadataChanged(_)) => {
            Error::refused(format!("this change of membership is not possible, {other}"))
        }
    }
}
