//! Calls to peers. One line per peer for calls, dialled when there is something to say and again after a break; snapshots go
//! over gRPC, and so do calls to a peer of an older version.

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
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Response, Status};

use super::line::{Failed, Line};
use super::proto::bulk_client::BulkClient;
use super::proto::raft_client::RaftClient as Grpc;
use super::proto::{Answer, Call, Piece};
use super::{
    BULK_PING_TIMEOUT, CALL_BYTES_MAX, CONNECTION_WINDOW, Chunks, PIECE_BYTES_MAX, PING_INTERVAL,
    PING_TIMEOUT, STREAM_WINDOW,
};
use crate::http_client::deepest;
use crate::net::Protocol;
use crate::redial::Redial;
use crate::streams::{DIAL_TIMEOUT, Streams, lock};

/// Pieces of a snapshot that were read but not yet taken by the connection.
const PIECES_AHEAD: usize = 1;
/// How long a peer that does not know lines is taken for one of an older version before it is asked again.
const OLDER_FOR: Duration = Duration::from_secs(10);

/// The client side; one per node, cheap to share. Must be used inside a tokio runtime.
pub struct RaftClient {
    streams: Arc<Streams>,
    peers: Mutex<BTreeMap<NodeId, Arc<Contact>>>,
    shut_out: CancellationToken,
    /// Where connections live, whichever runtime they are first used from.
    home: Handle,
}

struct Contact {
    addr: String,
    line: Redial<Arc<Line>, NoLine>,
    /// Until when the peer is called by gRPC.
    older: Mutex<Option<Instant>>,
    calls: Channel,
    bulk: Channel,
}

/// Why there is no line.
#[derive(Clone)]
enum NoLine {
    Unreachable(String),
    /// The peer is of a version that does not know them.
    Older,
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

    fn contact(&self, to: &Peer) -> Result<Arc<Contact>, LinkError> {
        let mut peers = lock(&self.peers);
        if let Some(known) = peers.get(&to.id).filter(|known| known.addr == to.addr) {
            return Ok(Arc::clone(known));
        }
        let _home = self.home.enter();
        let contact = Arc::new(Contact {
            addr: to.addr.clone(),
            line: Redial::default(),
            older: Mutex::default(),
            calls: channel(self.streams.clone(), to, Protocol::Raft, PING_TIMEOUT)?,
            bulk: channel(self.streams.clone(), to, Protocol::Bulk, BULK_PING_TIMEOUT)?,
        });
        peers.insert(to.id, Arc::clone(&contact));
        Ok(contact)
    }

    /// The line to a peer; nothing if it does not know lines.
    async fn line(&self, contact: &Arc<Contact>, to: NodeId) -> Result<Option<Arc<Line>>, LinkError> {
        if let Some(line) = contact.line.have(|line| line.works()) {
            return Ok(Some(line));
        }
        if lock(&contact.older).is_some_and(|until| Instant::now() < until) {
            return Ok(None);
        }
        // Goes on when this call is given up: a far peer may take longer to dial than a vote may wait, and the next one finds it.
        let (streams, home, dialling) = (self.streams.clone(), self.home.clone(), Arc::clone(contact));
        let dialled = self.home.spawn(async move {
            let dial = dial(&streams, &dialling.addr, to, &home);
            dialling.line.get(|line| line.works(), dial).await
        });
        match dialled.await.unwrap_or_else(|ended| Err(NoLine::Unreachable(ended.to_string()))) {
            Ok(line) => Ok(Some(line)),
            Err(NoLine::Unreachable(why)) => Err(LinkError::Unreachable(why)),
            Err(NoLine::Older) => {
                *lock(&contact.older) = Some(Instant::now() + OLDER_FOR);
                Ok(None)
            }
        }
    }

    async fn ask(&self, to: Peer, kind: Kind, body: Bytes) -> Result<Bytes, LinkError> {
        let contact = self.contact(&to)?;
        let answer = match self.line(&contact, to.id).await? {
            Some(line) => line.call(kind, &body).await,
            None => ask_older(contact.calls.clone(), kind, body).await,
        };
        answer.map_err(|Failed { error, stranger }| {
            if stranger {
                self.shut_out.cancel();
            }
            error
        })
    }
}

async fn dial(streams: &Streams, addr: &str, to: NodeId, home: &Handle) -> Result<Arc<Line>, NoLine> {
    match streams.dial(addr, to, Protocol::Calls).await {
        Ok(stream) => Ok(Arc::new(Line::new(stream, home))),
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Err(NoLine::Older),
        Err(error) => Err(NoLine::Unreachable(error.to_string())),
    }
}

/// As by a line, of a peer that does not know them.
async fn ask_older(channel: Channel, kind: Kind, body: Bytes) -> Result<Bytes, Failed> {
    let mut client = Grpc::new(channel)
        .max_decoding_message_size(CALL_BYTES_MAX)
        .max_encoding_message_size(CALL_BYTES_MAX);
    let answer = client.ask(Call { kind: kind.code(), body }).await;
    let stranger = answer.as_ref().is_err_and(|status| status.code() == Code::PermissionDenied);
    told(answer).map_err(|error| Failed { error, stranger })
}

#[async_trait]
impl Link for RaftClient {
    async fn call(&self, to: Peer, kind: Kind, body: Bytes, deadline: Duration) -> Result<Bytes, LinkError> {
        match tokio::time::timeout(deadline, self.ask(to, kind, body)).await {
            Ok(answer) => answer,
            Err(_) => Err(LinkError::Unknown(format!("no answer within {deadline:?}"))),
        }
    }

    async fn snapshot(
        &self,
        to: Peer,
        meta: Bytes,
        chunks: Chunks,
        deadline: Duration,
    ) -> Result<Bytes, LinkError> {
        let mut client =
            BulkClient::new(self.contact(&to)?.bulk.clone()).max_encoding_message_size(PIECE_BYTES_MAX);
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
