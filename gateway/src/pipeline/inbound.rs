//! Calls between nodes: the request that the client's node makes, and what the replica's node does with it. The client's
//! node has authenticated the caller; the cluster port has authenticated the node.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actors::Finish;
use actors::ports::{Body, BoxError, Request};
use adapters::openai::{self, COMPATIBLE, EVENT_STREAM};
use adapters::{Dialect, HttpRequest, Operation, Protocol};
use bytes::Bytes;
use domain::decide::routing::Target;
use domain::{DeploymentId, Epoch, NodeId};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::deps::Pass;
use crate::inner::Inner;
use crate::problem::Problem;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Names the deployment.
const DEPLOYMENT: &str = "x-llmhub-deployment";
/// Names its replica.
const ORDINAL: &str = "x-llmhub-ordinal";
/// Names the hand-out of the replica; another one is refused.
const EPOCH: &str = "x-llmhub-epoch";

/// The request for a replica on another node, out of the one for its engine.
pub(super) fn request(engine: HttpRequest, stream: bool, target: &Target) -> Request {
    let (parts, body) = engine.into_parts();
    let mut request = http::Request::new(body);
    *request.method_mut() = Method::POST;
    if let Some(path) = parts.uri.path_and_query() {
        *request.uri_mut() = Uri::from(path.clone());
    }
    let headers = request.headers_mut();
    headers.reserve(5);
    if stream {
        headers.insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
    }
    if let Some(kind) = parts.headers.get(CONTENT_TYPE) {
        headers.insert(CONTENT_TYPE, kind.clone());
    }
    if let Target::Replica { id, ordinal, epoch, .. } = target {
        headers.insert(DEPLOYMENT, HeaderValue::from(id.0));
        headers.insert(ORDINAL, HeaderValue::from(*ordinal));
        headers.insert(EPOCH, HeaderValue::from(*epoch));
    }
    request
}

/// Answers a call that another node relays to a replica on this one.
pub(crate) async fn relayed(inner: &Arc<Inner>, from: NodeId, request: Request) -> Response<Body> {
    inner.metrics.relayed.add(1);
    tracing::trace!(node = %from, "relayed call");
    serve(inner, request).await.unwrap_or_else(Problem::into_answer)
}

async fn serve(inner: &Arc<Inner>, request: Request) -> Result<Response<Body>, Problem> {
    let (parts, body) = request.into_parts();
    let bad = || {
        Problem::bad_request("bad_relay", "a relayed call must name its path, deployment, replica and epoch")
    };
    let operation = Operation::of_path(parts.uri.path()).filter(|o| COMPATIBLE.relays(*o)).ok_or_else(bad)?;
    let id = DeploymentId(number(&parts.headers, DEPLOYMENT).ok_or_else(bad)?);
    let ordinal = number(&parts.headers, ORDINAL).and_then(|n| u32::try_from(n).ok()).ok_or_else(bad)?;
    let epoch: Epoch = number(&parts.headers, EPOCH).ok_or_else(bad)?;
    let pass = inner
        .deps
        .directory
        .replica(id, ordinal, epoch)
        .map_err(|refused| Problem::unavailable("target_refused", refused.to_string()))?;
    let endpoint = pass.endpoint();
    let wire = endpoint.target(None, 0);
    let stream = parts.headers.contains_key(ACCEPT);
    let kind = parts.headers.get(CONTENT_TYPE).cloned().unwrap_or(JSON);
    let request = COMPATIBLE
        .pass_body(operation, body, kind, stream, &wire)
        .map_err(|error| Problem::of_adapter(&error, Protocol::OpenAi))?;
    let asked = Instant::now();
    match inner.deps.http.send(request, inner.config.patience(stream)).await {
        Ok(response) => {
            pass.report(verdict(&response, asked));
            let open = inner.open.token();
            Ok(response.map(|body| Kept { body, pass, _open: open }.boxed_unsync()))
        }
        Err(error) => {
            pass.report(Finish::Failed { reason: error.to_string() });
            let message = format!("the replica's engine did not answer: {error}");
            Err(Problem::new(StatusCode::BAD_GATEWAY, "server_error", "upstream_lost", message))
        }
    }
}

/// What an answer's head tells of the engine.
fn verdict(response: &Response<Body>, asked: Instant) -> Finish {
    let status = response.status();
    if status.is_success() {
        return Finish::Answered { first_byte: asked.elapsed() };
    }
    let failure = openai::classify(status.as_u16(), response.headers(), &[]);
    if failure.counts_for_breaker {
        Finish::Failed { reason: format!("it answered {status}") }
    } else if failure.retryable {
        // Neither well nor broken: it had no room, or does not offer what was asked for.
        Finish::Cancelled
    } else {
        Finish::Answered { first_byte: asked.elapsed() }
    }
}

fn number(headers: &HeaderMap, name: &str) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.parse().ok()
}

/// A body that keeps its slot until it is over or dropped.
struct Kept {
    body: Body,
    pass: Pass,
    _open: TaskTrackerToken,
}

impl http_body::Body for Kept {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if matches!(polled, Poll::Ready(Some(Ok(_)))) {
            self.pass.progressed();
        }
        polled
    }
    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }
    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}
