//! Calls to peers. One channel per peer and purpose; tonic dials when there is something to say and again after a break.

use std::collections::BTreeMap;
use std::future::Future;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use consensus::{Kind, Link, LinkError, Peer};
use domain::NodeId;
use futures::StreamExt;
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use super::proto::bulk_client::BulkClient;
use super::proto::raft_client::RaftClient as Grpc;
use super::proto::{Answer, Call, Piece};
use super::{
    BULK_PING_TIMEOUT, CALL_BYTES_MAX, CONNECTION_WINDOW, Chunks, PIECE_BYTES_MAX, PING_INTERVAL,
    PING_TIMEOUT, STREAM_WINDOW,
};
use crate::http_client::deepest;
use crate::net::Protocol;
use crate::streams::{DIAL_TIMEOUT, Streams, lock};

/// Pieces of a snapshot that were read but not yet taken by the connection.
const PIECES_AHEAD: usize = 1;

/// The client side; one per node, cheap to share. Must be used inside a tokio runtime.
pub struct RaftClient {
    streams: Arc<Streams>,
    peers: Mutex<BTreeMap<NodeId, Channels>>,
    shut_out: CancellationToken,
    /// Where connections live, whichever runtime they are first used from.
    home: Handle,
}

struct Channels {
    addr: String,
    calls: Channel,
    bulk: Channel,
}

impl RaftClient {
    /// A client without connections. Must be called inside the runtime that is to keep them.
    pub fn new(streams: Arc<Streams>) -> Self {
        let home = Handle::current();
        Self { streams, peers: Mutex::default(), shut_out: CancellationToken::new(), home }
    }

    /// Cancelled once a peer says that this node was removed. Its own tables may never tell it: nobody sends it the log.
    pub fn shut_out(&self) -> CancellationToken {
        self.shut_out.clone()
    }

    /// Drops the connections to nodes for which `keep` is false.
    pub fn retain(&self, keep: impl Fn(NodeId) -> bool) {
        lock(&self.peers).retain(|node, _| keep(*node));
    }

    fn channels(&self, to: &Peer) -> Result<(Channel, Channel), LinkError> {
        let mut peers = lock(&self.peers);
        if let Some(known) = peers.get(&to.id).filter(|known| known.addr == to.addr) {
            return Ok((known.calls.clone(), known.bulk.clone()));
        }
        let _home = self.home.enter();
        let calls = channel(self.streams.clone(), to, Protocol::Raft, PING_TIMEOUT)?;
        let bulk = channel(self.streams.clone(), to, Protocol::Bulk, BULK_PING_TIMEOUT)?;
        peers.insert(to.id, Channels { addr: to.addr.clone(), calls: calls.clone(), bulk: bulk.clone() });
        Ok((calls, bulk))
    }
}

#[async_trait]
impl Link for RaftClient {
    async fn call(&self, to: Peer, kind: Kind, body: Bytes, deadline: Duration) -> Result<Bytes, LinkError> {
        let (channel, _) = self.channels(&to)?;
        let mut client = Grpc::new(channel)
            .max_decoding_message_size(CALL_BYTES_MAX)
            .max_encoding_message_size(CALL_BYTES_MAX);
        let asked = async {
            let answer = client.ask(Call { kind: kind.code(), body }).await;
            if answer.as_ref().is_err_and(|status| status.code() == Code::PermissionDenied) {
                self.shut_out.cancel();
            }
            answer
        };
        within(deadline, asked).await
    }

    async fn snapshot(
        &self,
        to: Peer,
        meta: Bytes,
        chunks: Chunks,
        deadline: Duration,
    ) -> Result<Bytes, LinkError> {
        let (_, channel) = self.channels(&to)?;
        let mut client = BulkClient::new(channel).max_encoding_message_size(PIECE_BYTES_MAX);
        let (pieces, taken) = mpsc::channel(PIECES_AHEAD);
        let answer = client.install(ReceiverStream::new(taken));
        tokio::pin!(answer);
        // Polled together: the connection takes a piece only when the peer has room for it.
        tokio::select! {
            biased;
            early = &mut answer => return told(early),
            fed = feed(pieces, meta, chunks, deadline) => fed?,
        }
        within(deadline, answer).await
    }
}

async fn feed(
    pieces: mpsc::Sender<Piece>,
    meta: Bytes,
    mut chunks: Chunks,
    deadline: Duration,
) -> Result<(), LinkError> {
    let mut piece = Piece { meta, ..Piece::default() };
    loop {
        let last = piece.last;
        match tokio::time::timeout(deadline, pieces.send(piece)).await {
            Ok(Ok(())) if last => return Ok(()),
            Ok(Ok(())) => {}
            // The call has ended; its answer says why.
            Ok(Err(_)) => return Ok(()),
            Err(_) => return Err(LinkError::Unknown(format!("no room for a chunk within {deadline:?}"))),
        }
        piece = match chunks.next().await {
            Some(Ok(chunk)) => Piece { chunk, ..Piece::default() },
            Some(Err(error)) => {
                return Err(LinkError::Unknown(format!("the snapshot cannot be read: {error}")));
            }
            None => Piece { last: true, ..Piece::default() },
        };
    }
}

async fn within<F>(deadline: Duration, answer: F) -> Result<Bytes, LinkError>
where
    F: Future<Output = Result<Response<Answer>, Status>>,
{
    match tokio::time::timeout(deadline, answer).await {
        Ok(answer) => told(answer),
        Err(_) => Err(LinkError::Unknown(format!("no answer within {deadline:?}"))),
    }
}

fn told(answer: Result<Response<Answer>, Status>) -> Result<Bytes, LinkError> {
    answer.map(|answer| answer.into_inner().body).map_err(|status| match status.code() {
        _ if never_dialled(&status) => LinkError::Unreachable(deepest(&status)),
        Code::FailedPrecondition | Code::PermissionDenied | Code::Unimplemented => {
            LinkError::Refused(status.message().to_owned())
        }
        code => LinkError::Unknown(format!("{code:?}: {}", deepest(&status))),
    })
}

/// Marks an error of dialling, so that it is known again under tonic's wrapping: nothing was sent.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotDialled(io::Error);

fn never_dialled(status: &Status) -> bool {
    let mut next = std::error::Error::source(status);
    while let Some(error) = next {
        if error.is::<NotDialled>() {
            return true;
        }
        next = error.source();
    }
    false
}

fn channel(
    streams: Arc<Streams>,
    to: &Peer,
    protocol: Protocol,
    ping_timeout: Duration,
) -> Result<Channel, LinkError> {
    let (id, addr) = (to.id, to.addr.clone());
    // The address inside is only a name for HTTP/2's authority.
    let endpoint = Endpoint::from_shared(format!("http://{id}"))
        .map_err(|error| LinkError::Unreachable(error.to_string()))?
        .connect_timeout(DIAL_TIMEOUT)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_adaptive_window(false)
        .http2_keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(ping_timeout)
        .keep_alive_while_idle(true);
    let connector = tower::service_fn(move |_: http::Uri| {
        let (streams, addr) = (streams.clone(), addr.clone());
        async move {
            let dialled = streams.dial(&addr, id, protocol).await;
            dialled.map(|stream| TokioIo::new(stream.io)).map_err(NotDialled)
        }
    });
    Ok(endpoint.connect_with_connector_lazy(connector))
}
