//! The gateway as the runtime sees it: it is given accepted streams and relayed calls, and told when to drain.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actors::ports::{Body, BoxError};
use adapters::Operation;
use axum::Router;
use bytes::Bytes;
use domain::NodeId;
use domain::decide::mode::Mode;
use http::{HeaderValue, Method, Request, Response};
use http_body_util::BodyExt;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tower::ServiceExt;

use crate::config::Config;
use crate::deps::Deps;
use crate::inner::Inner;
use crate::patient::Patient;
use crate::{pipeline, request_id, routes};

/// Requests under way on one HTTP/2 connection at most.
const STREAMS_MAX: u32 = 256;

/// On every answer of a node that no majority answers.
const DEGRADED: &str = "x-llmhub-degraded";

/// A node's HTTP interface. Cheap to clone.
#[derive(Clone)]
pub struct Gateway {
    inner: Arc<Inner>,
    router: Router,
}

impl Gateway {
    /// A gateway over these ports. Must be made inside a runtime.
    pub fn new(config: Config, deps: Deps) -> Self {
        let inner = Arc::new(Inner::new(config, deps));
        let router = routes::router(inner.clone());
        Self { inner, router }
    }

    /// Serves one client's connection, HTTP/1.1 or HTTP/2, until it ends or the gateway drains.
    pub async fn serve<I>(&self, io: I, remote: SocketAddr)
    where
        I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let _open = self.inner.open.token();
        let _counted = Counted::new(&self.inner);
        let keep_alive = self.inner.config.keep_alive();
        let io = Patient::new(io, keep_alive, self.inner.config.idle_timeout());
        let mut builder = auto::Builder::new(TokioExecutor::new());
        // No `date`: it would come from a clock that the simulator does not control, and costs a little each time.
        // Who comes while the node drains gets one answer, so that `/ready` can tell; hanging up at once would tell nothing.
        let late = self.inner.draining.is_cancelled();
        let mut http1 = builder.http1();
        http1
            .keep_alive(!late)
            .auto_date_header(false)
            .timer(TokioTimer::new())
            .header_read_timeout(keep_alive);
        let mut http2 = builder.http2();
        http2.auto_date_header(false).timer(TokioTimer::new()).max_concurrent_streams(STREAMS_MAX);
        http2.keep_alive_interval(keep_alive);
        let service = service_fn(|request| {
            let gateway = self.clone();
            async move { Ok::<_, Infallible>(gateway.handle(request).await) }
        });
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
        let ended = if late {
            connection.await
        } else {
            tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = self.inner.draining.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            }
        };
        if let Err(error) = ended {
            // Clients go away in the middle all the time: nothing an operator needs to see.
            tracing::trace!(%remote, %error, "connection ended");
        }
    }

    /// Answers one client's request.
    pub async fn handle<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let id = self.inner.ids.of(request.headers());
        // The hot path goes past the router, which has the same routes for everything else about them.
        let hot = if request.method() == Method::POST { inference(request.uri().path()) } else { None };
        let mut response = match hot {
            Some(operation) => pipeline::infer(&self.inner, operation, request).await,
            None => self.route(request).await,
        };
        response.headers_mut().insert(request_id::HEADER, id);
        if self.inner.mode() == Mode::Degraded {
            response.headers_mut().insert(DEGRADED, HeaderValue::from_static("no-quorum"));
        }
        response
    }

    async fn route<B>(&self, request: Request<B>) -> Response<Body>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = request.map(axum::body::Body::new);
        let response = match self.router.clone().oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        self.inner.metrics.api_answered(response.status());
        let mut response = response.map(|body| body.map_err(Into::into).boxed_unsync());
        // What the API shows changes all the time and may hold a key's text.
        response.headers_mut().insert(http::header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }

    /// Answers a call that another node relays to a replica on this one.
    pub async fn relayed(&self, from: NodeId, request: Request<Bytes>) -> Response<Body> {
        pipeline::relayed(&self.inner, from, request).await
    }

    /// Takes no more requests: `/ready` says so, connections end after the answers under way.
    pub fn drain(&self) {
        self.inner.draining.cancel();
        self.inner.open.close();
    }

    /// Waits until all answers are finished, or as long as that; says whether they are.
    pub async fn drained(&self, limit: Duration) -> bool {
        self.inner.open.close();
        tokio::time::timeout(limit, self.inner.open.wait()).await.is_ok()
    }
}

/// The inference operation of a path.
fn inference(path: &str) -> Option<Operation> {
    Operation::of_path(path).filter(|operation| *operation != Operation::Models)
}

/// A connection, as long as it lasts.
struct Counted<'a>(&'a Inner);

impl<'a> Counted<'a> {
    fn new(inner: &'a Inner) -> Self {
        inner.metrics.connections.add(1);
        Self(inner)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.metrics.connections.add(-1);
    }
}
