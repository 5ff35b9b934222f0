//! One attempt: a call to one target, up to the point where an answer can be given to the client or another target tried.

use std::sync::Arc;
use std::time::Duration;

use actors::Finish;
use actors::ports::{Body, CallError};
use adapters::openai::{self, EVENT_STREAM, classify, read_error, usage_of};
use adapters::{Call, Failure, FailureKind, Target as Wire, mock};
use bytes::Bytes;
use domain::decide::routing::Target;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, timeout_at};

use super::loads::UnderWay;
use super::peek::{self, Broke};
use super::relayed::{Relayed, Source};
use super::{Choice, Held, Way, inbound, scripted};
use crate::deps::Pass;
use crate::inner::Inner;
use crate::problem::Problem;

/// The header that tells which target answered.
pub(crate) const TARGET_HEADER: &str = "x-llmhub-target";
/// How often a call on another node looks whether that node is still there.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long others are tried before a target that refused a call for a reason of its own and did not say for how long.
const REFUSED_AVOID: Duration = Duration::from_secs(5);
/// The same for one that asks to be left alone for longer.
const REFUSED_AVOID_MAX: Duration = Duration::from_secs(60);

/// An attempt that gave no answer.
pub(super) struct Miss {
    /// Whether another target may be tried.
    pub retry: bool,
    /// What the client gets when none is.
    pub answer: Response<Body>,
}

impl Miss {
    fn retry(problem: Problem) -> Self {
        Self { retry: true, answer: problem.into_answer() }
    }
    fn stop(problem: Problem) -> Self {
        Self { retry: false, answer: problem.into_answer() }
    }
}

/// A call whose target was reached.
struct Reached {
    under_way: UnderWay,
    pass: Option<Pass>,
    target: Target,
    asked: Instant,
    deadline: Instant,
}

impl Reached {
    /// The target answered: it is well.
    fn well(&self) {
        let first_byte = self.asked.elapsed();
        self.under_way.stat().answered(first_byte);
        if let Some(pass) = &self.pass {
            pass.report(Finish::Answered { first_byte });
        }
    }

    /// The target is well but cannot take this call, nor others for a while: its account is empty, it has had too many, it
    /// does not accept its key. That it says so quickly must not make it look fast.
    fn refused(&self, inner: &Inner, failure: &Failure) {
        let wait = failure.retry_after.unwrap_or(REFUSED_AVOID).min(REFUSED_AVOID_MAX);
        self.under_way.stat().avoid(inner.loads.now(), wait);
        self.pass_by();
    }

    /// What became of the call says nothing about the target.
    fn pass_by(&self) {
        if let Some(pass) = &self.pass {
            pass.report(Finish::Cancelled);
        }
    }

    /// The target is to blame.
    fn blame(&self, inner: &Inner, reason: &str) {
        self.under_way.stat().failed(inner.loads.now());
        if let Some(pass) = &self.pass {
            pass.report(Finish::Failed { reason: reason.to_owned() });
        }
    }
}

/// Calls a target.
pub(super) async fn call(
    inner: &Arc<Inner>,
    call: &Call,
    choice: Choice,
    deadline: Instant,
    held: &mut Held,
) -> Result<Response<Body>, Miss> {
    let Choice { target, stat, way } = choice;
    let pass = match knock(inner, &target, &way) {
        Ok(pass) => pass,
        Err(refused) => {
            stat.failed(inner.loads.now());
            return Err(Miss::retry(Problem::unavailable("target_refused", refused.to_string())));
        }
    };
    let under_way = UnderWay::new(stat);
    let reached = Reached { under_way, pass, target, asked: Instant::now(), deadline };
    let sent = send(inner, call, &reached, &way).await?;
    match sent {
        Ok(response) if response.status().is_success() => answer(inner, call, reached, response, held).await,
        Ok(response) => Err(refusal(inner, &reached, response, &way).await),
        Err(error) => {
            reached.blame(inner, &error.to_string());
            Err(unreached(&error))
        }
    }
}

/// Asks for the right to call a target on this node.
fn knock(inner: &Inner, target: &Target, way: &Way) -> Result<Option<Pass>, actors::Refused> {
    match (way, target) {
        (Way::Here, Target::Replica { id, ordinal, epoch, .. }) => {
            inner.deps.directory.replica(*id, *ordinal, *epoch).map(Some)
        }
        (Way::Api(_), Target::Provider(name)) => inner.deps.directory.provider(name).map(Some),
        _ => Ok(None),
    }
}

async fn send(
    inner: &Inner,
    call: &Call,
    reached: &Reached,
    way: &Way,
) -> Result<Result<Response<Body>, CallError>, Miss> {
    let left = reached.deadline.saturating_duration_since(Instant::now());
    if let Way::There(node) = way {
        let request = inbound::request(call, &reached.target);
        let relay = inner.deps.relay.send(*node, request, left);
        return Ok(tokio::select! {
            biased;
            sent = relay => sent,
            () = peek::gone(inner, &reached.target) => {
                Err(CallError::Broken { target: node.to_string(), reason: "the node is gone".to_owned() })
            }
        });
    }
    let Some(pass) = &reached.pass else {
        let script = mock::answer(call.operation, &call.body);
        let answer = timeout_at(reached.deadline, scripted::response(script)).await;
        return Ok(answer.map_err(|_| CallError::Timeout { target: "the mock".to_owned(), waited: left }));
    };
    let model = if let Way::Api(model) = way { model.as_deref() } else { None };
    let endpoint = pass.endpoint();
    let bearer = endpoint.bearer.as_ref().map(actors::Secret::expose);
    let wire = Wire { base_url: &endpoint.base_url, bearer, model };
    let request = openai::encode(call, &wire).map_err(|error| Miss::retry(error.into()))?;
    Ok(inner.deps.http.send(request, left).await)
}

/// What the failure of a call before its head means.
fn unreached(error: &CallError) -> Miss {
    let message = format!("the model's server did not answer: {error}");
    let bad_gateway = |code, message| Problem::new(StatusCode::BAD_GATEWAY, "server_error", code, message);
    match error {
        CallError::Connect { .. } => Miss::retry(Problem::unavailable("target_unreachable", message)),
        CallError::Broken { .. } => Miss::retry(bad_gateway("upstream_lost", message)),
        CallError::Forbidden { .. } => Miss::retry(bad_gateway("target_forbidden", message)),
        // It may still be at work on the call; a second one would only add to its load.
        CallError::Timeout { .. } => {
            Miss::stop(Problem::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "upstream_timeout", message))
        }
    }
}

/// A success: passed on as a stream, or gathered whole.
async fn answer(
    inner: &Arc<Inner>,
    call: &Call,
    reached: Reached,
    response: Response<Body>,
    held: &mut Held,
) -> Result<Response<Body>, Miss> {
    let (parts, mut body) = response.into_parts();
    let events = call.stream && is_event_stream(&parts.headers);
    let first = peek::first(inner, &mut body, &reached.target, reached.deadline).await;
    let first = first.map_err(|broke| broken(inner, &reached, &broke))?;
    if events && first.is_empty() {
        return Err(broken(inner, &reached, &Broke::Cut("it ended before its first event".to_owned())));
    }
    if let Some(ticket) = held {
        ticket.first_byte();
        if let (false, Some(claim)) = (events, ticket.claim()) {
            claim.whole();
        }
    }
    let mut head = head(parts.status, &parts.headers, &reached);
    let mut rest = None;
    let mut start = first;
    // A plain answer to a streamed question has the time that plain ones have.
    let whole_by = if call.stream { Instant::now() + inner.config.patience(false) } else { reached.deadline };
    if !events {
        let gathered = peek::gather(inner, &mut body, start, &reached.target, whole_by).await;
        (start, rest) = match gathered.map_err(|broke| broken(inner, &reached, &broke))? {
            peek::Gathered::Whole(bytes) => (bytes, None),
            peek::Gathered::TooLarge(bytes) => (bytes, Some(())),
        };
    }
    reached.well();
    if !events && rest.is_none() {
        if let Some(ticket) = held {
            ticket.used(usage_of(&start));
        }
        *head.body_mut() = full(start);
        return Ok(head);
    }
    let Some(ticket) = held.take() else { return Ok(head) };
    let Reached { under_way, pass, target, .. } = reached;
    let source = Source { body, pass, under_way, target };
    *head.body_mut() = Relayed::new(inner, source, start, events, ticket).boxed_unsync();
    Ok(head)
}

fn broken(inner: &Inner, reached: &Reached, broke: &Broke) -> Miss {
    reached.blame(inner, &broke.to_string());
    let message = format!("the model's answer broke off: {broke}");
    match broke {
        Broke::Cut(_) => {
            let problem = Problem::new(StatusCode::BAD_GATEWAY, "server_error", "upstream_lost", message);
            Miss::retry(problem)
        }
        Broke::Late => {
            let status = StatusCode::GATEWAY_TIMEOUT;
            Miss::stop(Problem::new(status, "server_error", "upstream_timeout", message))
        }
    }
}

/// An answer that is no success: passed on as it is, or told in our words where the client could misunderstand it.
async fn refusal(inner: &Inner, reached: &Reached, response: Response<Body>, way: &Way) -> Miss {
    let (parts, mut body) = response.into_parts();
    let gathered = peek::gather(inner, &mut body, Bytes::new(), &reached.target, reached.deadline).await;
    let bytes = match gathered {
        Ok(peek::Gathered::Whole(bytes)) => bytes,
        Ok(peek::Gathered::TooLarge(_)) | Err(_) => Bytes::new(),
    };
    let status = parts.status;
    let failure = classify(status.as_u16(), &parts.headers, &bytes);
    judge(inner, reached, &failure, status, way);
    // An engine that fails on a request may fail on it everywhere; one that is not ready says 502 or 503.
    let engine = matches!(way, Way::Here | Way::There(_));
    let retry = failure.retryable && !(engine && failure.kind == FailureKind::Server);
    if let Some(problem) = ours(&failure, status, way) {
        return Miss { retry, answer: problem.into_answer() };
    }
    let mut answer = head(status, &parts.headers, reached);
    if let (Some(wait), false) = (failure.retry_after, answer.headers().contains_key(RETRY_AFTER)) {
        let seconds = wait.as_secs_f64().ceil() as u64;
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    let known = read_error(&bytes).is_some();
    let bytes = if known && bytes.starts_with(b"{") { bytes } else { untold(status) };
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *answer.body_mut() = full(bytes);
    Miss { retry, answer }
}

/// What a refusal tells of the target.
fn judge(inner: &Inner, reached: &Reached, failure: &Failure, status: StatusCode, way: &Way) {
    match (failure.kind, way) {
        // The request asked for it.
        (_, Way::Mock) => reached.pass_by(),
        _ if failure.counts_for_breaker => reached.blame(inner, &format!("it answered {status}")),
        (FailureKind::BadRequest, _) => reached.well(),
        // One client's choice of a path or a model, which the next call may not make.
        (FailureKind::NotFound, _) => reached.pass_by(),
        _ => reached.refused(inner, failure),
    }
}

/// A refusal whose own words would send the client, or its user, to look in the wrong place.
fn ours(failure: &Failure, status: StatusCode, way: &Way) -> Option<Problem> {
    let bad_gateway =
        |code, message: String| Some(Problem::new(StatusCode::BAD_GATEWAY, "server_error", code, message));
    let (redirects, refuses_key) = (status.is_redirection(), failure.kind == FailureKind::Authentication);
    match way {
        Way::Mock => None,
        Way::Api(_) if redirects => {
            let message = format!(
                "the provider answered {status}, which is not followed: correct the provider's URL with PUT \
                 /api/providers"
            );
            bad_gateway("upstream_redirect", message)
        }
        Way::Here | Way::There(_) if redirects => {
            let message = format!(
                "the model's engine answered {status}, which is not followed: correct the engine's `base_path` in \
                 the configuration of its node"
            );
            bad_gateway("upstream_redirect", message)
        }
        Way::Api(_) if refuses_key => {
            let message =
                "the provider does not accept the cluster's key: give it a new one with PUT /api/providers";
            bad_gateway("upstream_auth", message.to_owned())
        }
        Way::Here | Way::There(_) if refuses_key => {
            let message = "the model's engine does not accept the key that it was started with: have it take `{key}` \
                           in the configuration of its node";
            bad_gateway("upstream_auth", message.to_owned())
        }
        _ => None,
    }
}

/// The error of a target that did not say what is wrong.
fn untold(status: StatusCode) -> Bytes {
    let message =
        format!("the model's server answered {status} without saying why: try again, or look at its logs");
    let kind = if status.is_client_error() { "invalid_request_error" } else { "server_error" };
    openai::error_body(&message, kind, None, Some("upstream_error"))
}

fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The answer's head: only what the client needs of the target's.
fn head(status: StatusCode, from: &HeaderMap, reached: &Reached) -> Response<Body> {
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.reserve(4);
    for name in [CONTENT_TYPE, RETRY_AFTER] {
        if let Some(value) = from.get(&name) {
            headers.insert(name, value.clone());
        }
    }
    headers.insert(TARGET_HEADER, reached.under_way.stat().label.clone());
    response
}

pub(super) fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.get(..EVENT_STREAM.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(EVENT_STREAM.as_bytes()))
}
