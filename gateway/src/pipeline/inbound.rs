//! Calls between nodes: the request that the client's node makes, and what the replica's node does with it. The client's
//! node has authenticated the caller; the cluster port has authenticated the node.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use actors::Finish;
use actors::ports::{Body, BoxError, Request};
use adapters::openai::{self, EVENT_STREAM};
use adapters::{Call, Operation, Target as Wire};
use bytes::Bytes;
use domain::decide::routing::Target;
use domain::{DeploymentId, Epoch, NodeId};
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::deps::Pass;
use crate::inner::Inner;
use crate::problem::Problem;

/// Names the deployment.
const DEPLOYMENT: &str = "x-llmhub-deployment";
/// Names its replica.
const ORDINAL: &str = "x-llmhub-ordinal";
/// Names the hand-out of the replica; another one is refused.
const EPOCH: &str = "x-llmhub-epoch";

/// The request for a replica on another node.
pub(super) fn request(call: &Call, target: &Target) -> Request {
    let mut request = http::Request::new(call.body_for(None));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static(call.operation.v1_path());
    let headers = request.headers_mut();
    headers.reserve(4);
    if call.stream {
        headers.insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
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
    let operation = Operation::of_v1_path(parts.uri.path()).ok_or_else(bad)?;
    let id = DeploymentId(number(&parts.headers, DEPLOYMENT).ok_or_else(bad)?);
    let ordinal = number(&parts.headers, ORDINAL).and_then(|n| u32::try_from(n).ok()).ok_or_else(bad)?;
    let epoch: Epoch = number(&parts.headers, EPOCH).ok_or_else(bad)?;
    let pass = inner
        .deps
        .directory
        .replica(id, ordinal, epoch)
        .map_err(|refused| Problem::unavailable("target_refused", refused.to_string()))?;
    let endpoint = pass.endpoint();
    let bearer = endpoint.bearer.as_ref().map(actors::Secret::expose);
    let wire = Wire { base_url: &endpoint.base_url, bearer, model: None };
    let stream = parts.headers.contains_key(ACCEPT);
    let request = openai::encode_body(operation, stream, body, &wire)?;
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
