//! openraft's calls, carried over the [`Link`]. A thin translation: no retries (openraft has its own), no state but whom to
//! call. Snapshots stream straight from the tables.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use domain::NodeId;
use futures::future::{Either, select};
use openraft::errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{RPCOption, RaftNetworkFactory, RaftNetworkV2};
use openraft::raft::{
    AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, TransferLeaderRequest,
    TransferLeaderResponse, VoteRequest, VoteResponse,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::board::Board;
use crate::codec::{decode, encode};
use crate::error::Error;
use crate::link::{Kind, Link, LinkError, Peer};
use crate::raft::{Member, Snapshot, Types, Vote};
use crate::store::SnapshotData;

#[derive(Clone)]
pub(crate) struct Network {
    pub(crate) link: Arc<dyn Link>,
    pub(crate) board: Arc<Board>,
    pub(crate) append: Duration,
    pub(crate) chunk: Duration,
}

pub(crate) struct Client {
    network: Network,
    id: NodeId,
    addr: String,
}

impl RaftNetworkFactory<Types> for Network {
    type Network = Client;

    async fn new_client(&mut self, target: u64, node: &Member) -> Client {
        Client { network: self.clone(), id: NodeId(target), addr: node.addr.clone() }
    }
}

impl Client {
    /// The node may have come back under another address since this client was made.
    fn peer(&self) -> Peer {
        Peer { id: self.id, addr: self.network.board.addr(self.id).unwrap_or_else(|| self.addr.clone()) }
    }

    async fn call<Q: Serialize, A: DeserializeOwned>(
        &self,
        kind: Kind,
        question: &Q,
        deadline: Duration,
    ) -> Result<A, RPCError<Types>> {
        let body = encode(question).map_err(broken)?;
        match self.network.link.call(self.peer(), kind, body, deadline).await {
            Ok(answer) => decode(&answer).map_err(broken),
            Err(error) => Err(failed(error)),
        }
    }
}

fn broken(error: Error) -> RPCError<Types> {
    RPCError::Unreachable(Unreachable::from_string(error))
}

fn failed(error: LinkError) -> RPCError<Types> {
    match error {
        // Backs off, so that a node that is gone costs little.
        LinkError::Unreachable(_) | LinkError::Refused(_) => {
            RPCError::Unreachable(Unreachable::from_string(error))
        }
        LinkError::Unknown(_) => RPCError::Network(NetworkError::from_string(error)),
    }
}

impl RaftNetworkV2<Types> for Client {
    type SnapshotData = SnapshotData;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Types>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Types>, RPCError<Types>> {
        // openraft offers a heartbeat's length. That is right for heartbeats, which it cuts off itself, but entries have to
        // reach the follower's disk first, and giving up on a slow disk would only send them again.
        let deadline = if rpc.entries.is_empty() { option.hard_ttl() } else { self.network.append };
        self.call(Kind::Append, &rpc, deadline.max(option.hard_ttl())).await
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.call(Kind::Vote, &rpc, option.hard_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Types>,
        option: RPCOption,
    ) -> Result<VoteResponse<Types>, RPCError<Types>> {
        self.call(Kind::PreVote, &rpc, option.hard_ttl()).await
    }

    async fn transfer_leader(
        &mut self,
        rpc: TransferLeaderRequest<Types>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Types>, RPCError<Types>> {
        self.call(Kind::Transfer, &rpc, option.hard_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<Types>, StreamingError<Types>> {
        let meta = encode(&(vote, snapshot.meta)).map_err(|e| StreamingError::from(broken(e)))?;
        let chunks = snapshot.snapshot.into_chunks();
        let network = self.network.clone();
        let peer = self.peer();
        let send = async move { network.link.snapshot(peer, meta, chunks, network.chunk).await };
        match select(Box::pin(cancel), Box::pin(send)).await {
            Either::Left((closed, _)) => Err(StreamingError::Closed(closed)),
            Either::Right((Ok(answer), _)) => decode(&answer).map_err(|e| broken(e).into()),
            // Always backs off: a snapshot is too much to send again at once.
            Either::Right((Err(error), _)) => {
                Err(StreamingError::Unreachable(Unreachable::from_string(error)))
            }
        }
    }
}
