//! The answering side: a gRPC server over the streams the dispatcher hands over.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use consensus::Kind;
use domain::NodeId;
use futures::StreamExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::Connected;
use tonic::{Request, Response, Status, Streaming};

use super::answers::not_a_member;
use super::proto::bulk_server::{Bulk, BulkServer};
use super::proto::raft_server::{Raft, RaftServer};
use super::proto::{Answer, Call, Piece};
use super::{
    BULK_PING_TIMEOUT, CALL_BYTES_MAX, CALLS_PER_PEER_MAX, CONNECTION_WINDOW, Chunks, PIECE_BYTES_MAX,
    PING_INTERVAL, PING_TIMEOUT, RaftService, STREAM_WINDOW,
};
use crate::net::BoxIo;
use crate::streams::{IsMember, PeerStream};

/// Serves calls of nodes of an older version, on streams of [`crate::Protocol::Raft`], until `stop`; calls under way are finished.
pub async fn serve_raft(
    arrivals: mpsc::Receiver<PeerStream>,
    service: Arc<dyn RaftService>,
    is_member: IsMember,
    stop: CancellationToken,
) {
    let service = RaftServer::new(Answers { service, is_member })
        .max_decoding_message_size(CALL_BYTES_MAX)
        .max_encoding_message_size(CALL_BYTES_MAX);
    let router = server(PING_TIMEOUT).add_service(service);
    let served = router.serve_with_incoming_shutdown(incoming(arrivals), stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::warn!(%error, "the server for calls of the log ended");
    }
}

/// Serves snapshots on streams of [`crate::Protocol::Bulk`] until `stop`.
pub async fn serve_bulk(
    arrivals: mpsc::Receiver<PeerStream>,
    service: Arc<dyn RaftService>,
    is_member: IsMember,
    stop: CancellationToken,
) {
    let service = BulkServer::new(Answers { service, is_member }).max_decoding_message_size(PIECE_BYTES_MAX);
    let router = server(BULK_PING_TIMEOUT).add_service(service);
    let served = router.serve_with_incoming_shutdown(incoming(arrivals), stop.cancelled_owned()).await;
    if let Err(error) = served {
        tracing::warn!(%error, "the server for snapshots ended");
    }
}

fn server(ping_timeout: Duration) -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(PING_INTERVAL))
        .http2_keepalive_timeout(Some(ping_timeout))
        .http2_adaptive_window(Some(false))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(CALLS_PER_PEER_MAX as u32)
}

fn incoming(arrivals: mpsc::Receiver<PeerStream>) -> impl futures::Stream<Item = io::Result<Accepted>> {
    ReceiverStream::new(arrivals).map(|stream| Ok(Accepted(stream)))
}

struct Answers {
    service: Arc<dyn RaftService>,
    is_member: IsMember,
}

impl Answers {
    /// Who calls, as its stream proves, provided it is a member now.
    fn caller<T>(&self, request: &Request<T>) -> Result<NodeId, Status> {
        let Some(Caller(node)) = request.extensions().get::<Caller>().copied() else {
            return Err(Status::permission_denied("the stream has no identity"));
        };
        if !(self.is_member)(node) {
            tracing::warn!(%node, "refused a call of a node that is not a member");
            return Err(Status::permission_denied(not_a_member(node)));
        }
        Ok(node)
    }
}

#[tonic::async_trait]
impl Raft for Answers {
    async fn ask(&self, request: Request<Call>) -> Result<Response<Answer>, Status> {
        let from = self.caller(&request)?;
        let Call { kind, body } = request.into_inner();
        let kind = Kind::from_code(kind)
            .ok_or_else(|| Status::unimplemented(format!("this version knows no call of kind {kind}")))?;
        let body = self.service.handle(from, kind, body).await.map_err(Status::failed_precondition)?;
        Ok(Response::new(Answer { body }))
    }
}

#[tonic::async_trait]
impl Bulk for Answers {
    async fn install(&self, request: Request<Streaming<Piece>>) -> Result<Response<Answer>, Status> {
        let from = self.caller(&request)?;
        let mut pieces = request.into_inner();
        let first = pieces.message().await?;
        let meta =
            first.ok_or_else(|| Status::failed_precondition("a snapshot begins with its description"))?.meta;
        let body =
            self.service.install(from, meta, chunks(pieces)).await.map_err(Status::failed_precondition)?;
        Ok(Response::new(Answer { body }))
    }
}

/// The chunks up to the last piece; a stream that ends before was given up.
fn chunks(pieces: Streaming<Piece>) -> Chunks {
    let chunks = futures::stream::unfold(Some(pieces), |pieces| async move {
        let mut pieces = pieces?;
        let error = match pieces.message().await {
            Ok(Some(Piece { last: true, .. })) => return None,
            Ok(Some(piece)) => return Some((Ok(piece.chunk), Some(pieces))),
            Ok(None) => io::Error::new(io::ErrorKind::UnexpectedEof, "the sender gave the snapshot up"),
            Err(status) => io::Error::other(status),
        };
        Some((Err(error), None))
    });
    chunks.boxed()
}

#[derive(Clone, Copy)]
struct Caller(NodeId);

/// A stream that tells tonic who is at its other end.
struct Accepted(PeerStream);

impl Accepted {
    fn io(self: Pin<&mut Self>) -> Pin<&mut BoxIo> {
        Pin::new(&mut self.get_mut().0.io)
    }
}

impl Connected for Accepted {
    type ConnectInfo = Caller;
    fn connect_info(&self) -> Caller {
        Caller(self.0.peer)
    }
}

impl AsyncRead for Accepted {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.io().poll_read(cx, buf)
    }
}

impl AsyncWrite for Accepted {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.io().poll_write(cx, buf)
    }
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_flush(cx)
    }
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.io().poll_shutdown(cx)
    }
}
