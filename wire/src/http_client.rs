//! HTTP/1.1 towards engines and providers: pooled connections over the network port. One client per runtime, so that a
//! connection stays on the core that uses it. It never retries what may have happened; that is the caller's decision.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actors::ports::{CallError, Http, Request, Response};
use async_trait::async_trait;
use bytes::Bytes;
use http::Uri;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use crate::egress::{self, Forbidden};
use crate::net::{BoxIo, Network};
use crate::websocket;

/// How long an unused connection is kept: less than the 5 s after which common servers (uvicorn under vLLM, Node,
/// llama-server) close theirs, so that no call is sent on one that is being closed. A call that may have happened is not
/// sent again.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(4);
/// How long connecting may take, name resolution and TLS included; longer means that the server is not there.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Unused connections kept to one host.
pub const IDLE_PER_HOST_MAX: usize = 256;
/// The largest head of an answer, in bytes.
const HEAD_BYTES_MAX: usize = 64 << 10;

/// The client; cheap to clone.
#[derive(Clone)]
pub struct HttpClient {
    pool: Client<Connector, Full<Bytes>>,
    network: Arc<dyn Network>,
}

impl HttpClient {
    /// A client with an empty pool. Its connections live on the runtime that calls [`Http::send`].
    pub fn new(network: Arc<dyn Network>) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_TIMEOUT)
            .pool_max_idle_per_host(IDLE_PER_HOST_MAX)
            .http1_max_buf_size(HEAD_BYTES_MAX);
        Self { pool: builder.build(Connector(network.clone())), network }
    }
}

#[async_trait]
impl Http for HttpClient {
    async fn send(&self, request: Request, timeout: Duration) -> Result<Response, CallError> {
        check_literal(request.uri())?;
        let uri = request.uri().clone();
        if websocket::is_meant(&uri) {
            let opened = tokio::time::timeout(timeout, self.open(request)).await;
            return opened.unwrap_or(Err(CallError::Timeout { target: target(&uri), waited: timeout }));
        }
        let sent = tokio::time::timeout(timeout, self.pool.request(request.map(Full::new))).await;
        match sent {
            Ok(Ok(response)) => Ok(response.map(|body| body.map_err(Into::into).boxed_unsync())),
            Ok(Err(error)) => Err(classify(target(&uri), &error)),
            Err(_) => Err(CallError::Timeout { target: target(&uri), waited: timeout }),
        }
    }
}

impl HttpClient {
    /// One exchange over a WebSocket; such connections are not kept.
    async fn open(&self, request: Request) -> Result<Response, CallError> {
        let target = target(request.uri());
        let io = connect(&*self.network, request.uri()).await.map_err(|error| match forbidden(&error) {
            Some(Forbidden(reason)) => {
                CallError::Forbidden { target: target.clone(), reason: reason.to_owned() }
            }
            None => CallError::Connect { target: target.clone(), reason: error.to_string() },
        })?;
        websocket::exchange(io, &target, request).await
    }
}

/// A connection to the server of an address, with TLS where its scheme asks for it.
async fn connect(network: &dyn Network, uri: &Uri) -> io::Result<BoxIo> {
    let invalid = |why| io::Error::new(io::ErrorKind::InvalidInput, why);
    let tls = match uri.scheme_str() {
        Some("https" | "wss") => true,
        Some("http" | "ws") => false,
        _ => return Err(invalid("the address must begin with http:// or https://")),
    };
    let host = uri.host().ok_or_else(|| invalid("the address has no host"))?;
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
    let connected = tokio::time::timeout(CONNECT_TIMEOUT, network.connect(host, port, tls)).await;
    connected.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))?
}

fn target(uri: &Uri) -> String {
    // Not the whole authority: it may carry a password.
    match (uri.host(), uri.port_u16()) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, _) => "a target without a host".to_owned(),
    }
}

/// Addresses given as such are refused before a pooled connection could be used for them.
fn check_literal(uri: &Uri) -> Result<(), CallError> {
    let host = uri.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let Ok(ip) = host.parse::<IpAddr>() else { return Ok(()) };
    egress::allowed(ip)
        .map_err(|reason| CallError::Forbidden { target: target(uri), reason: reason.to_owned() })
}

fn classify(target: String, error: &Error) -> CallError {
    let reason = deepest(error);
    if let Some(Forbidden(reason)) = forbidden(error) {
        CallError::Forbidden { target, reason: reason.to_owned() }
    } else if error.is_connect() {
        CallError::Connect { target, reason }
    } else {
        CallError::Broken { target, reason }
    }
}

/// The innermost cause says what happened; the outer layers only say where.
pub(crate) fn deepest(error: &(dyn std::error::Error + 'static)) -> String {
    let mut error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

fn forbidden(error: &(dyn std::error::Error + 'static)) -> Option<Forbidden> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(forbidden) = inner.and_then(|inner| inner.downcast_ref::<Forbidden>()) {
            return Some(*forbidden);
        }
        next = error.source();
    }
    None
}

#[derive(Clone)]
struct Connector(Arc<dyn Network>);

impl tower_service::Service<Uri> for Connector {
    type Response = Outside;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Outside>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let network = self.0.clone();
        Box::pin(async move { connect(&*network, &uri).await.map(|io| Outside(TokioIo::new(io))) })
    }
}

/// A stream to a server outside, as the pool wants it.
struct Outside(TokioIo<BoxIo>);

impl Connection for Outside {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl hyper::rt::Read for Outside {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: hyper::rt::ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl hyper::rt::Write for Outside {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(cx, bufs)
    }
}
