//! The side of the node that has the target: answers what peers relay to it.

use std::convert::Infallible;
use std::sync::Arc;

use actors::ports::Body;
use async_trait::async_trait;
use bytes::Bytes;
use domain::NodeId;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::{
    LANE_WINDOW, PING_INTERVAL, PING_TIMEOUT, REQUEST_BYTES_MAX, SEND_BUFFER, STREAM_WINDOW,
    STREAMS_PER_LANE_MAX,
};
use crate::net::BoxIo;

/// Answers relayed requests.
#[async_trait]
pub trait RelayService: Send + Sync + 'static {
    /// Answers a request that `from` relays. Dropped, like the body it returned, when the peer goes away or cancels.
    async fn handle(&self, from: NodeId, request: Request<Bytes>) -> Response<Body>;
}

/// Serves one connection until it ends. The caller spawns it, on the runtime that shall do the work.
pub async fn serve(io: BoxIo, peer: NodeId, service: Arc<dyn RelayService>) {
    let answer = service_fn(move |request| {
        let service = service.clone();
        async move { Ok::<_, Infallible>(answer(peer, request, &*service).await) }
    });
    let served = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(LANE_WINDOW)
        .max_concurrent_streams(STREAMS_PER_LANE_MAX as u32)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .serve_connection(TokioIo::new(io), answer)
        .await;
    if let Err(error) = served {
        tracing::debug!(node = %peer, %error, "a relay lane broke");
    }
}

async fn answer(from: NodeId, request: Request<Incoming>, service: &dyn RelayService) -> Response<Body> {
    let (head, body) = request.into_parts();
    match Limited::new(body, REQUEST_BYTES_MAX).collect().await {
        Ok(body) => service.handle(from, Request::from_parts(head, body.to_bytes())).await,
        Err(error) if error.is::<LengthLimitError>() => bare(StatusCode::PAYLOAD_TOO_LARGE),
        Err(_) => bare(StatusCode::BAD_REQUEST),
    }
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}
