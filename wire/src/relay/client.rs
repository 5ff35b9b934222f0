//! The side of the node that has the client: sends a request to the node that has the target.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use actors::ports::{BoxError, CallError, Request, Response};
use bytes::Bytes;
use domain::NodeId;
use http::Uri;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::Instant;

use super::LANES;
use super::lane::{Lane, Place};
use crate::http_client::deepest;
use crate::streams::{Streams, lock};

/// Tries on a connection that turned out to be closing before the request was sent.
const ATTEMPTS: usize = 2;

/// Sends requests to peers; one per runtime, cheap to share.
pub struct RelayClient {
    streams: Arc<Streams>,
    peers: Mutex<BTreeMap<NodeId, Peer>>,
}

struct Peer {
    addr: String,
    lanes: [Arc<Lane>; LANES],
}

impl RelayClient {
    /// A client without connections. They will live on the runtime that calls [`RelayClient::send`].
    pub fn new(streams: Arc<Streams>) -> Self {
        Self { streams, peers: Mutex::default() }
    }

    /// Sends a request to a node's relay service and waits, at most `timeout`, for the head of its answer. Of the
    /// request's URI only path and query are used. Dropping the answer cancels the call.
    pub async fn send(
        &self,
        node: NodeId,
        addr: &str,
        request: Request,
        timeout: Duration,
    ) -> Result<Response, CallError> {
        let target = || format!("node {node}");
        let connect = |reason: String| CallError::Connect { target: target(), reason };
        let deadline = Instant::now() + timeout;
        let late = || CallError::Timeout { target: target(), waited: timeout };
        let lane = self.lane(node, addr);
        let place = lane.enter().ok_or_else(|| connect("too many streams are under way to it".into()))?;
        let mut request = addressed(request, node).map_err(connect)?.map(Full::new);
        let mut attempt = 0;
        loop {
            attempt += 1;
            let sender = tokio::time::timeout_at(deadline, lane.sender(&self.streams, node, addr)).await;
            let unsent = || connect(format!("no connection within {timeout:?}"));
            let mut sender = sender.map_err(|_| unsent())?.map_err(connect)?;
            match tokio::time::timeout_at(deadline, sender.try_send_request(request)).await {
                Ok(Ok(response)) => {
                    return Ok(response.map(|body| Relayed { body, _place: place }.boxed_unsync()));
                }
                Ok(Err(mut failed)) => match failed.take_message() {
                    Some(unsent) if attempt < ATTEMPTS => request = unsent,
                    Some(_) => return Err(connect(deepest(failed.error()))),
                    None => {
                        return Err(CallError::Broken { target: target(), reason: deepest(failed.error()) });
                    }
                },
                Err(_) => return Err(late()),
            }
        }
    }

    /// Drops the connections to nodes for which `keep` is false.
    pub fn retain(&self, keep: impl Fn(NodeId) -> bool) {
        lock(&self.peers).retain(|node, _| keep(*node));
    }

    /// The lane with fewest streams.
    fn lane(&self, node: NodeId, addr: &str) -> Arc<Lane> {
        let mut peers = lock(&self.peers);
        let fresh = || Peer { addr: addr.to_owned(), lanes: Default::default() };
        let peer = peers.entry(node).or_insert_with(fresh);
        if peer.addr != addr {
            *peer = fresh();
        }
        let [first, rest @ ..] = &peer.lanes;
        rest.iter().fold(first, |best, lane| if lane.load() < best.load() { lane } else { best }).clone()
    }
}

/// HTTP/2 wants a scheme and an authority; the peer's id serves.
fn addressed(mut request: Request, node: NodeId) -> Result<Request, String> {
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let uri = Uri::builder().scheme("http").authority(node.to_string()).path_and_query(path).build();
    *request.uri_mut() = uri.map_err(|error| error.to_string())?;
    *request.version_mut() = http::Version::HTTP_2;
    for connection_specific in
        ["connection", "host", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"]
    {
        request.headers_mut().remove(connection_specific);
    }
    Ok(request)
}

/// An answer's body, which holds its place on the lane.
struct Relayed {
    body: Incoming,
    _place: Place,
}

impl Body for Relayed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
