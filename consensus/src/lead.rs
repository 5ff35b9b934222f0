//! Proposals and reads, from any node: find the leader, ask it, and ask the next one if it turned out not to be. Where no
//! leader is known or it cannot be reached, the other members are asked who leads, one after the other. Commands
//! carry a request id that the tables remember, so asking twice is harmless; that is what makes retries here sound.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use domain::{Envelope, NodeId, Outcome};
use openraft::ReadPolicy;
use openraft::errors::{ClientWriteError, ForwardToLeader, LinearizableReadError, RaftError};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

use crate::codec::decode;
use crate::error::Error;
use crate::link::{Kind, LinkError, Peer};
use crate::node::{Consensus, fatal_error};
use crate::raft::{Answer, Types};
use crate::record::{Record, pack};

/// Between two attempts, when nothing tells of a new leader sooner.
const PAUSE: Duration = Duration::from_millis(100);
/// How long one member may take to tell who leads.
const SEEK_DEADLINE: Duration = Duration::from_millis(500);

/// How long to wait until this node has itself applied what was acknowledged.
const APPLY_WAIT: Duration = Duration::from_secs(3);
/// From this feature level on every node takes commands by the batch.
const BATCH_LEVEL: u16 = 2;

type Leaders = watch::Receiver<(u64, Option<NodeId>)>;

/// A command that was applied, or refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) outcome: Outcome,
    /// Where it stands in the log; nothing for one that never got there.
    pub(crate) index: Option<u64>,
}

impl Consensus {
    /// Proposes a command from any node and waits until it is applied on the leader and, if that does not take long, here. Finds the leader, and tries again
    /// for [`crate::Config::patience_ms`] while there is none, always with the same request id, so that it is applied once.
    /// The leader stamps the time. Refused if it is larger than [`crate::COMMAND_BYTES_MAX`] or newer than the leader knows.
    pub async fn propose(&self, envelope: Envelope) -> Result<Outcome, Error> {
        let body = pack(&envelope)?;
        let patience = Duration::from_millis(self.inner.config.patience_ms);
        let here = || self.propose_here(body.clone());
        let there = |leader, deadline| self.forward(leader, body.clone(), deadline);
        let Done { outcome, index } = self.ask(patience, here, there).await?;
        if let Some(index) = index {
            // A node that is cut off may never get there; the command is done all the same.
            let _ = timeout(APPLY_WAIT, self.inner.board.reached(index)).await;
        }
        Ok(outcome)
    }

    /// A linearizable read from any node: when this resolves, the tables published here are at least as new as everything
    /// acknowledged anywhere before the call. Answers the index they have.
    pub async fn read(&self) -> Result<u64, Error> {
        let patience = Duration::from_millis(self.inner.config.patience_ms);
        let deadline = Instant::now() + patience;
        let me = self.clone();
        let asked = self.inner.reads.ask(&self.inner.home, move || {
            let me = me.clone();
            async move { me.seek_barrier(patience).await }
        });
        let index = timeout_at(deadline, asked)
            .await
            .map_err(|_| Error::unavailable("no leader answered that a majority follows"))??;
        timeout_at(deadline, self.inner.board.reached(index))
            .await
            .map_err(|_| Error::unavailable("this node is too far behind the leader"))
    }

    async fn seek_barrier(&self, patience: Duration) -> Result<u64, Error> {
        let there = |leader, deadline| self.call(leader, Kind::Barrier, Bytes::new(), deadline);
        self.ask(patience, || self.barrier_shared(), there).await
    }

    /// Asks the leader, this node or another, until it answers or patience ends.
    pub(crate) async fn ask<T, Here, There>(
        &self,
        patience: Duration,
        here: impl Fn() -> Here,
        there: impl Fn(Peer, Duration) -> There,
    ) -> Result<T, Error>
    where
        Here: Future<Output = Result<T, Error>>,
        There: Future<Output = Result<T, Error>>,
    {
        let deadline = Instant::now() + patience;
        let attempt = Duration::from_millis(self.inner.config.attempt_ms);
        let mut leaders = self.inner.board.watch_leader();
        let mut hint: Option<Peer> = None;
        // Whether an attempt may have had an effect: then giving up must not say that nothing happened.
        let mut maybe = false;
        let mut why = "there is no leader".to_owned();
        loop {
            leaders.mark_unchanged();
            let hinted = hint.is_some();
            let left = deadline.saturating_duration_since(Instant::now());
            let answer = match hint.take().or_else(|| self.known_leader()) {
                None => Err(Error::NotLeader { leader: None, addr: None }),
                Some(leader) if leader.id == self.id() => match timeout(attempt.min(left), here()).await {
                    Ok(answer) => answer,
                    Err(_) => Err(Error::unknown("the leader lost its majority")),
                },
                Some(leader) => match timeout(attempt.min(left), there(leader, attempt.min(left))).await {
                    Ok(answer) => answer,
                    Err(_) => Err(Error::unknown("the leader did not answer in time")),
                },
            };
            match answer {
                Err(Error::NotLeader { leader, addr }) => hint = self.other(leader, addr),
                Err(Error::Unavailable { why: reason, .. }) => why = reason,
                Err(Error::Unknown { why: reason }) => (maybe, why) = (true, reason),
                Ok(done) => {
                    self.inner.hears();
                    return Ok(done);
                }
                failed => return failed,
            }
            // A hint is followed at once, but hints that lead in circles are not followed without rest.
            if hint.is_none() || hinted {
                let pause = (Instant::now() + PAUSE).min(deadline);
                let news = timeout_at(pause, leaders.changed()).await.is_ok();
                if hint.is_none() && !news {
                    hint = self.seek(&mut leaders, deadline).await;
                }
            }
            if Instant::now() >= deadline {
                return Err(if maybe { Error::unknown(why) } else { Error::unavailable(why) });
            }
            if let Some(fault) = self.fault() {
                return Err(if maybe { Error::unknown(fault.to_string()) } else { fault });
            }
        }
    }

    /// The leader, as far as this node knows.
    fn known_leader(&self) -> Option<Peer> {
        let id = self.inner.board.leader()?;
        if id == self.id() {
            return Some(Peer { id, addr: self.inner.config.addr.clone() });
        }
        self.other(Some(id), None)
    }

    /// Another node, where it is said to listen or else where this node knows it to.
    fn other(&self, id: Option<NodeId>, addr: Option<String>) -> Option<Peer> {
        let id = id.filter(|id| *id != self.id())?;
        let addr = addr.or_else(|| self.inner.board.addr(id))?;
        Some(Peer { id, addr })
    }

    /// Asks the next member who leads. For a node that was away while the leader changed, or that came back under another
    /// address: then nobody tells it of the leader, for the leader cannot reach it before it has told where it is. One
    /// member at a time, and one question of this node at a time; the questions change nothing.
    async fn seek(&self, leaders: &mut Leaders, deadline: Instant) -> Option<Peer> {
        let mut last = self.inner.seek.try_lock().ok()?;
        let (id, addr) = self.inner.board.member_after(*last, self.id())?;
        *last = id;
        let member = Peer { id, addr };
        let wait = SEEK_DEADLINE.min(deadline.saturating_duration_since(Instant::now()));
        let answer = tokio::select! {
            biased;
            _ = leaders.changed() => return None,
            answer = self.call::<u64>(member.clone(), Kind::Barrier, Bytes::new(), wait) => answer,
        };
        match answer {
            Ok(_) => Some(member),
            Err(Error::NotLeader { leader, addr }) => self.other(leader, addr),
            Err(_) => None,
        }
    }

    /// Asks another node to propose a command.
    async fn forward(&self, leader: Peer, body: Bytes, deadline: Duration) -> Result<Done, Error> {
        if self.inner.board.level() >= BATCH_LEVEL {
            return self.batched(leader, body, deadline).await;
        }
        let outcome = self.call(leader.clone(), Kind::Forward, body, deadline).await?;
        // An older leader does not tell where the command stands; no later than this.
        let index = self.call(leader, Kind::Barrier, Bytes::new(), deadline).await.ok();
        Ok(Done { outcome, index })
    }

    /// Calls another node that answers with a result of its own.
    pub(crate) async fn call<T: DeserializeOwned>(
        &self,
        peer: Peer,
        kind: Kind,
        body: Bytes,
        deadline: Duration,
    ) -> Result<T, Error> {
        let to = peer.id;
        match self.exchange::<Result<T, Error>>(peer, kind, body, deadline).await? {
            // Its disk, not ours; another leader will be found.
            Err(Error::Storage { why }) => Err(Error::unavailable(format!("node {to} stopped, {why}"))),
            answer => answer,
        }
    }

    /// Calls another node.
    pub(crate) async fn exchange<T: DeserializeOwned>(
        &self,
        peer: Peer,
        kind: Kind,
        body: Bytes,
        deadline: Duration,
    ) -> Result<T, Error> {
        let to = peer.id;
        // The link keeps the deadline; this is for a link that does not.
        let call = self.inner.link.call(peer, kind, body, deadline);
        let bytes = match timeout(deadline, call).await {
            Ok(Ok(bytes)) => bytes,
            Ok(Err(LinkError::Unreachable(e))) => {
                return Err(Error::unavailable(format!("node {to} cannot be reached, {e}")));
            }
            Ok(Err(LinkError::Refused(e))) => {
                return Err(Error::unavailable(format!("node {to} does not answer this node, {e}")));
            }
            Ok(Err(LinkError::Unknown(e))) => {
                return Err(Error::unknown(format!("node {to} did not answer, {e}")));
            }
            Err(_) => return Err(Error::unknown(format!("node {to} did not answer in time"))),
        };
        decode(&bytes)
    }

    /// Proposes on this node, if it leads.
    pub(crate) async fn propose_here(&self, body: Bytes) -> Result<Done, Error> {
        let (record, mut envelope) = Record::take(body, self.inner.time.now(), self.inner.config.level)?;
        // An older program may not know what the command it passes on holds.
        envelope.version = envelope.version.max(envelope.command.level());
        // Here and not only when it is applied: an older program must not even find it in its log.
        if let Err(reject) = self.inner.board.admits(&envelope) {
            return Ok(Done { outcome: Err(reject), index: None });
        }
        match self.inner.raft.client_write(record).await {
            Ok(written) => match written.data {
                Answer(Some(outcome)) => Ok(Done { outcome, index: Some(written.log_id.index()) }),
                Answer(None) => Err(Error::bug("a command was applied without an outcome")),
            },
            Err(RaftError::APIError(error)) => Err(write_error(error)),
            Err(RaftError::Fatal(fatal)) => Err(Error::unknown(fatal_error(&fatal).to_string())),
        }
    }

    /// As [`Consensus::barrier_here`], one round of the majority for all who ask at the moment.
    pub(crate) async fn barrier_shared(&self) -> Result<u64, Error> {
        let me = self.clone();
        let round = move || {
            let me = me.clone();
            async move { me.barrier_here().await }
        };
        self.inner.barriers.ask(&self.inner.home, round).await
    }

    /// The index a read has to wait for, if this node leads and a majority agrees that it does.
    pub(crate) async fn barrier_here(&self) -> Result<u64, Error> {
        match self.inner.raft.get_read_log_id(ReadPolicy::ReadIndex).await {
            Ok((id, _)) => Ok(id.index()),
            Err(RaftError::APIError(LinearizableReadError::ForwardToLeader(to))) => Err(not_leader(&to)),
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => {
                Err(Error::unavailable("the leader cannot reach a majority"))
            }
            Err(RaftError::Fatal(fatal)) => Err(fatal_error(&fatal)),
        }
    }

    /// Why this node takes no part any more, if so.
    fn fault(&self) -> Option<Error> {
        use openraft::async_runtime::WatchReceiver;
        let metrics = self.inner.raft.metrics();
        let running = metrics.borrow_watched().running_state.clone();
        running.err().map(|fatal| fatal_error(&fatal))
    }
}

pub(crate) fn not_leader(to: &ForwardToLeader<Types>) -> Error {
    let addr = to.leader_node.as_ref().map(|node| node.addr.clone());
    Error::NotLeader { leader: to.leader_id.map(NodeId), addr }
}

pub(crate) fn write_error(error: ClientWriteError<Types>) -> Error {
    match error {
        ClientWriteError::ForwardToLeader(to) => not_leader(&to),
        ClientWriteError::LogEntryDiscarded(_) => Error::unknown("the leader changed meanwhile"),
        ClientWriteError::ChangeMembershipError(e) => crate::membership::change_error(e),
        ClientWriteError::PreconditionFailed(e) => {
            Error::unavailable(format!("something else changed meanwhile, {e}"))
        }
    }
}
