//! What other nodes ask of this one. `wire` calls these with the *authenticated* id of the sender; a message that claims to
//! come from someone else is refused. Nothing is forwarded any further from here, so questions cannot circle.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use domain::NodeId;
use futures::future::join_all;
use futures::stream::BoxStream;
use openraft::errors::RaftError;
use openraft::raft::{AppendEntriesRequest, TransferLeaderRequest, VoteRequest};
use serde::Serialize;
use tokio::time::timeout;

use crate::codec::{decode, encode};
use crate::error::Error;
use crate::link::Kind;
use crate::node::{Consensus, fatal_error};
use crate::raft::{Snapshot, SnapshotMeta, Types, Vote};
use crate::store::SnapshotData;

impl Consensus {
    /// Answers another node's call. What the *caller's* consensus should know is inside the bytes; an error here means that
    /// the call was not understood or this node cannot take part, and travels as [`crate::LinkError::Refused`].
    pub async fn handle(&self, from: NodeId, kind: Kind, body: Bytes) -> Result<Bytes, Error> {
        let raft = &self.inner.raft;
        match kind {
            Kind::Append => {
                let rpc: AppendEntriesRequest<Types> = decode(&body)?;
                check_sender(from, &rpc.vote)?;
                encode(&raft.append_entries(rpc).await.map_err(stopped)?)
            }
            Kind::Vote => {
                let rpc: VoteRequest<Types> = decode(&body)?;
                check_sender(from, &rpc.vote)?;
                encode(&raft.vote(rpc).await.map_err(stopped)?)
            }
            Kind::PreVote => {
                let rpc: VoteRequest<Types> = decode(&body)?;
                check_sender(from, &rpc.vote)?;
                encode(&raft.pre_vote(rpc).await.map_err(stopped)?)
            }
            Kind::Transfer => {
                let rpc: TransferLeaderRequest<Types> = decode(&body)?;
                check_sender(from, rpc.from_leader())?;
                encode(&raft.handle_transfer_leader(rpc).await.map_err(|fatal| fatal_error(&fatal))?)
            }
            Kind::Forward => {
                let proposed = async { Ok(self.propose_here(body).await?.outcome) };
                self.answer(proposed).await
            }
            Kind::Batch => {
                let bodies: Vec<Bytes> = decode(&body)?;
                let limit = self.answer_limit();
                let each = bodies.into_iter().map(|body| late(limit, self.propose_here(body)));
                encode(&join_all(each).await)
            }
            Kind::Barrier => self.answer(self.barrier_shared()).await,
            Kind::Address => {
                let (id, addr): (NodeId, String) = decode(&body)?;
                if id != from {
                    return Err(Error::refused(format!("{from} may not say where {id} listens")));
                }
                self.answer(self.set_addr_here(id, addr)).await
            }
        }
    }

    /// Receives a snapshot from the leader and installs it. The valid tables stay whole whatever happens on the way.
    pub async fn install(
        &self,
        from: NodeId,
        meta: Bytes,
        chunks: BoxStream<'_, Result<Bytes, io::Error>>,
    ) -> Result<Bytes, Error> {
        let (vote, meta): (Vote, SnapshotMeta) = decode(&meta)?;
        check_sender(from, &vote)?;
        tracing::info!(peer = %from, index = meta.last_log_id.map_or(0, |id| id.index()), "receiving a snapshot");
        let wait = Duration::from_millis(self.inner.config.chunk_ms);
        let staged = self.inner.stage.receive(chunks, wait).await.inspect_err(|error| {
            // The leader tries again, and only it would tell otherwise.
            tracing::warn!(peer = %from, %error, "a snapshot was not taken");
        })?;
        let snapshot = Snapshot { meta, snapshot: SnapshotData::Staged(Box::new(staged)) };
        let answer = self.inner.raft.install_full_snapshot(vote, snapshot).await;
        encode(&answer.map_err(|fatal| fatal_error(&fatal))?)
    }

    /// Does what only a leader does, in less time than the caller waits, and wraps the result for the way back.
    async fn answer<T: Serialize>(
        &self,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<Bytes, Error> {
        encode(&late(self.answer_limit(), work).await)
    }

    fn answer_limit(&self) -> Duration {
        Duration::from_millis(self.inner.config.attempt_ms * 9 / 10)
    }
}

async fn late<T>(limit: Duration, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    match timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(Error::unknown("the leader lost its majority")),
    }
}

fn check_sender(from: NodeId, vote: &Vote) -> Result<(), Error> {
    if NodeId(vote.leader_id.voted_for) == from {
        return Ok(());
    }
    Err(Error::refused(format!(
        "{from} speaks in another node's name: check its certificate and data directory"
    )))
}

fn stopped(error: RaftError<Types>) -> Error {
    match error {
        RaftError::Fatal(fatal) => fatal_error(&fatal),
        RaftError::APIError(never) => Error::bug(never.to_string()),
    }
}
