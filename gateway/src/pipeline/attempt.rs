//! One attempt: a call to one target, up to the point where an answer can be given to the client or another target tried.

use std::sync::Arc;
use std::time::Duration;

use actors::Finish;
use actors::ports::{Body, CallError};
use adapters::client::About;
use adapters::dialect::Spoken;
use adapters::exchange::{self, Exchange};
use adapters::media::Whole;
use adapters::openai::{COMPATIBLE, EVENT_STREAM};
use adapters::{Call, Error, Failure, FailureKind, HttpRequest, Operation, Refusal, Target as Wire, mock};
use bytes::Bytes;
use domain::decide::breaker;
use domain::decide::routing::Target;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::time::{Instant, timeout_at};

use super::choose::Choice;
use super::events::Events;
use super::guard::Outcome;
use super::loads::UnderWay;
use super::peek::{self, Broke};
use super::refusal::{refusal, refused};
use super::relayed::{Relayed, Source};
use super::{Held, Way, inbound, scripted};
use crate::deps::Pass;
use crate::inner::Inner;
use crate::problem::{Problem, TARGET_HEADER};

/// Names the fields of a question that its target had no word for, and that do not change the answer.
const IGNORED_HEADER: HeaderName = HeaderName::from_static("x-llmhub-ignored");
/// The content type of lines of JSON.
const NDJSON: &str = "application/x-ndjson";
/// Tells why this target was asked, where the model's name has a route.
const ROUTE_HEADER: HeaderName = HeaderName::from_static("x-llmhub-route");
/// Tells that an answer is the declared one, because no model answered.
const DEGRADED_HEADER: HeaderName = HeaderName::from_static("x-llmhub-degraded");
/// The base URL of requests that go to no server.
const NOWHERE: &str = "http://nowhere/v1";
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
    pub answer: Result<Response<Body>, Problem>,
}

impl Miss {
    fn retry(problem: Problem) -> Self {
        Self { retry: true, answer: Err(problem) }
    }
    fn stop(problem: Problem) -> Self {
        Self { retry: false, answer: Err(problem) }
    }
    /// The call cannot be put to this target, or to none.
    fn unsaid(error: &Error, operation: Operation) -> Self {
        Self { retry: error.is_of_target(), answer: Err(Problem::of_adapter(error, operation.protocol())) }
    }
}

/// A call whose target was reached.
pub(super) struct Reached {
    pub under_way: UnderWay,
    pass: Option<Pass>,
    pub target: Target,
    asked: Instant,
    pub deadline: Instant,
    /// What the target's breaker let it pass with.
    admitted: Option<breaker::Pass>,
    why: Option<HeaderValue>,
}

impl Reached {
    /// The target answered: it is well.
    pub(super) fn well(&self, inner: &Inner) {
        self.learn(inner, Outcome::Answered);
        let first_byte = self.asked.elapsed();
        self.under_way.stat().answered(first_byte);
        if let Some(pass) = &self.pass {
            pass.report(Finish::Answered { first_byte });
        }
    }

    /// The target is well but cannot take this call, nor others for a while: its account is empty, it has had too many, it
    /// does not accept its key. That it says so quickly must not make it look fast.
    pub(super) fn refused(&self, inner: &Inner, failure: &Failure) {
        let wait = failure.retry_after.unwrap_or(REFUSED_AVOID).min(REFUSED_AVOID_MAX);
        self.under_way.stat().avoid(inner.loads.now(), wait);
        self.pass_by(inner);
    }

    /// What became of the call says nothing about the target.
    pub(super) fn pass_by(&self, inner: &Inner) {
        self.learn(inner, Outcome::GivenUp);
        if let Some(pass) = &self.pass {
            pass.report(Finish::Cancelled);
        }
    }

    /// The target is to blame.
    pub(super) fn blame(&self, inner: &Inner, reason: &str) {
        self.learn(inner, Outcome::Failed);
        self.under_way.stat().failed(inner.loads.now());
        if let Some(pass) = &self.pass {
            pass.report(Finish::Failed { reason: reason.to_owned() });
        }
    }

    /// Tells the target's breaker.
    fn learn(&self, inner: &Inner, outcome: Outcome) {
        self.under_way.stat().learn(self.admitted, outcome, inner.loads.now(), inner.ids.draw());
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
    let Choice { target, stat, way, model, pass: admitted, why } = choice;
    let pass = match knock(inner, &target, &way) {
        Ok(pass) => pass,
        Err(refused) => {
            stat.failed(inner.loads.now());
            stat.learn(admitted, Outcome::GivenUp, inner.loads.now(), inner.ids.draw());
            return Err(Miss::retry(Problem::unavailable("target_refused", refused.to_string())));
        }
    };
    let under_way = UnderWay::new(stat);
    let asked = Instant::now();
    let reached = Reached { under_way, pass, target, asked, deadline, admitted, why };
    let engine = Spoken::Known(&COMPATIBLE);
    let dialect = reached.pass.as_ref().map_or(&engine, |pass| &pass.endpoint().dialect);
    let unsaid = |error| {
        reached.pass_by(inner);
        Miss::unsaid(&error, call.operation)
    };
    let exchange = Exchange::new(call, dialect).map_err(unsaid)?;
    if let Some(bytes) = local(inner, call, &exchange) {
        reached.pass_by(inner);
        let mut answer = head(StatusCode::OK, &HeaderMap::new(), &reached, &exchange);
        answer.headers_mut().insert(CONTENT_TYPE, JSON);
        *answer.body_mut() = full(bytes);
        return Ok(answer);
    }
    let request = request(inner, call, &exchange, &reached, model.as_deref()).map_err(unsaid)?;
    match send(inner, call, request, &reached, &way).await {
        Ok(response) if response.status().is_success() => {
            answer(inner, call, exchange, reached, response, &way, held).await
        }
        Ok(response) => Err(refusal(inner, &exchange, &reached, response, &way).await),
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
        (Way::Api, Target::Provider(name)) => inner.deps.directory.provider(name).map(Some),
        _ => Ok(None),
    }
}

/// The request for the target, in its own words.
fn request(
    inner: &Inner,
    call: &Call,
    exchange: &Exchange,
    reached: &Reached,
    model: Option<&str>,
) -> Result<HttpRequest, Error> {
    match &reached.pass {
        Some(pass) => exchange.request(call, &pass.endpoint().target(model, inner.deps.clock.now() / 1_000)),
        None => exchange.request(call, &Wire { model, ..Wire::at(NOWHERE) }),
    }
}

async fn send(
    inner: &Inner,
    call: &Call,
    request: HttpRequest,
    reached: &Reached,
    way: &Way,
) -> Result<Response<Body>, CallError> {
    let left = reached.deadline.saturating_duration_since(Instant::now());
    match way {
        Way::There(node) => {
            let request = inbound::request(request, call.stream, &reached.target);
            tokio::select! {
                biased;
                sent = inner.deps.relay.send(*node, request, left) => sent,
                () = peek::gone(inner, &reached.target) => {
                    Err(CallError::Broken { target: node.to_string(), reason: "the node is gone".to_owned() })
                }
            }
        }
        Way::Mock => {
            let operation = Operation::of_path(request.uri().path()).unwrap_or(Operation::Models);
            let script = mock::answer(operation, request.body());
            let answer = timeout_at(reached.deadline, scripted::response(script)).await;
            answer.map_err(|_| CallError::Timeout { target: "the mock".to_owned(), waited: left })
        }
        Way::Here | Way::Api => inner.deps.http.send(request, left).await,
    }
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

/// The answer, where the target need not be asked for it.
fn local(inner: &Inner, call: &Call, exchange: &Exchange) -> Option<Bytes> {
    if exchange.relays() { None } else { exchange.local(call, &about(inner)) }
}

/// An answer of this text that no model gave, marked as such; none for operations that are no chats.
pub(super) fn declared(inner: &Inner, call: &Call, text: &str) -> Option<Response<Body>> {
    let (bytes, kind) = exchange::declared(call, text, &about(inner))?;
    let mut answer = Response::new(full(bytes));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(DEGRADED_HEADER, HeaderValue::from_static("fallback-answer"));
    Some(answer)
}

/// What an answer tells beside what the target said.
fn about(inner: &Inner) -> About {
    let id = format!("{:016x}{:016x}", inner.ids.draw(), inner.ids.draw());
    About { id, now_s: inner.deps.clock.now() / 1_000 }
}

/// A success: passed on as a stream, or gathered whole.
async fn answer(
    inner: &Arc<Inner>,
    call: &Call,
    exchange: Exchange,
    reached: Reached,
    response: Response<Body>,
    way: &Way,
    held: &mut Held,
) -> Result<Response<Body>, Miss> {
    let (parts, mut body) = response.into_parts();
    if call.stream && is_stream(&parts.headers) {
        return stream(inner, exchange, reached, &parts.headers, body, way, held).await;
    }
    let first = peek::first(inner, &mut body, &reached.target, reached.deadline).await;
    let first = first.map_err(|broke| broken(inner, &reached, &broke))?;
    if let Some(ticket) = held {
        ticket.first_byte();
        if let Some(claim) = ticket.claim() {
            claim.whole();
        }
    }
    // A plain answer to a streamed question has the time that plain ones have.
    let whole_by = if call.stream { Instant::now() + inner.config.patience(false) } else { reached.deadline };
    let gathered = peek::gather(inner, &mut body, first, &reached.target, whole_by).await;
    let mut head = head(parts.status, &parts.headers, &reached, &exchange);
    let bytes = match gathered.map_err(|broke| broken(inner, &reached, &broke))? {
        peek::Gathered::Whole(bytes) => bytes,
        peek::Gathered::TooLarge(start) if exchange.relays() => {
            reached.well(inner);
            let Some(ticket) = held.take() else { return Ok(head) };
            let Reached { under_way, pass, target, .. } = reached;
            let source = Source { body, pass, under_way, target };
            *head.body_mut() = Relayed::new(inner, source, Some(start), None, ticket).boxed_unsync();
            return Ok(head);
        }
        peek::Gathered::TooLarge(_) => {
            return Err(refused(inner, &reached, &Refusal::nonsense("it is too large"), way));
        }
    };
    let whole = whole(inner, call, &exchange, bytes, &mut head);
    let (bytes, usage) = whole.map_err(|refusal| refused(inner, &reached, &refusal, way))?;
    reached.well(inner);
    if let Some(ticket) = held {
        ticket.used(usage);
    }
    *head.body_mut() = full(bytes);
    Ok(head)
}

/// A whole answer as the client understands it: as a stream, if it asked for one in another protocol than the target's.
fn whole(
    inner: &Inner,
    call: &Call,
    exchange: &Exchange,
    bytes: Bytes,
    head: &mut Response<Body>,
) -> Result<(Bytes, Option<adapters::Usage>), Refusal> {
    let about = if exchange.relays() { About::default() } else { about(inner) };
    if call.stream
        && let Some(streamed) = exchange.replay(&bytes, &about)?
    {
        if let Some(kind) = exchange.stream_type() {
            head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        return Ok(streamed);
    }
    let Whole { bytes, content_type, usage } = exchange.whole(bytes, &about)?;
    if let Some(kind) = content_type {
        head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    Ok((bytes, usage))
}

/// A stream, from its first event on: until that is there, another target may be tried.
async fn stream(
    inner: &Arc<Inner>,
    exchange: Exchange,
    reached: Reached,
    headers: &HeaderMap,
    mut body: Body,
    way: &Way,
    held: &mut Held,
) -> Result<Response<Body>, Miss> {
    let mut head = head(StatusCode::OK, headers, &reached, &exchange);
    if let Some(kind) = exchange.stream_type() {
        head.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    }
    let through = if exchange.relays() { None } else { exchange.through(&about(inner)) };
    let count = held.as_mut().is_some_and(|ticket| ticket.claim().is_some());
    let mut events = Events::new(exchange, through, count);
    let first = loop {
        let came = peek::first(inner, &mut body, &reached.target, reached.deadline).await;
        let came = came.map_err(|broke| broken(inner, &reached, &broke))?;
        let ended = came.is_empty();
        let told = if ended { events.finish() } else { events.push(came) };
        if let Some(error) = events.first_error() {
            return Err(refused(inner, &reached, &Refusal::new(FailureKind::Server, error), way));
        }
        match told {
            Some(bytes) => break bytes,
            None if ended => {
                let broke = Broke::Cut("it ended before its first event".to_owned());
                return Err(broken(inner, &reached, &broke));
            }
            None => {}
        }
    };
    reached.well(inner);
    let Some(mut ticket) = held.take() else { return Ok(head) };
    ticket.first_byte();
    let Reached { under_way, pass, target, .. } = reached;
    let source = Source { body, pass, under_way, target };
    *head.body_mut() = Relayed::new(inner, source, Some(first), Some(events), ticket).boxed_unsync();
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

pub(super) const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn full(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
}

/// The answer's head: only what the client needs of the target's.
pub(super) fn head(
    status: StatusCode,
    from: &HeaderMap,
    reached: &Reached,
    exchange: &Exchange,
) -> Response<Body> {
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
    if let Some(why) = &reached.why {
        headers.insert(ROUTE_HEADER, why.clone());
    }
    if let Some(ask) = exchange.ask().filter(|ask| !ask.hints.is_empty())
        && let Ok(names) = HeaderValue::try_from(ask.hints.join(", "))
    {
        headers.insert(IGNORED_HEADER, names);
    }
    response
}

/// Whether an answer comes in pieces: events, or lines of JSON.
pub(super) fn is_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    [EVENT_STREAM, NDJSON].iter().any(|stream| {
        kind.get(..stream.len()).is_some_and(|kind| kind.eq_ignore_ascii_case(stream.as_bytes()))
    })
}
