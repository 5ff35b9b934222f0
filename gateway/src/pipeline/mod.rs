//! The way of an inference call: authenticate → read → admit → route → call → record. Until the first byte goes to the client,
//! a target that fails is replaced by the next; after it, bytes pass frame by frame and nothing is repeated.

mod admit;
mod attempt;
mod budget;
mod choose;
mod events;
mod guard;
mod inbound;
mod loads;
mod peek;
mod refusal;
mod relayed;
mod scripted;
mod ticket;
mod unread;

use std::sync::Arc;
use std::time::Duration;

use actors::limiter::Standing;
use actors::ports::{Body, BoxError};
use adapters::envelope::form_to_json;
use adapters::{Call, Operation};
use bytes::Bytes;
use domain::KeyId;
use domain::decide::routing::Reason;
use domain::key::Scope;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::time::Instant;

use crate::auth;
use crate::extract::read_body;
use crate::inner::Inner;
use crate::problem::Problem;
use attempt::Miss;
pub(crate) use budget::Budget;
pub(crate) use choose::Known;
use choose::{Search, may_pass};
pub(crate) use inbound::relayed;
pub(crate) use loads::Loads;
pub use scripted::response as scripted;
use ticket::Ticket;
pub(crate) use unread::Unread;

/// Different targets tried for one call at most.
const ATTEMPTS_MAX: usize = 3;

/// The ticket of a call, until a streamed answer takes it along.
type Held = Option<Ticket>;

/// How a target is reached.
enum Way {
    /// An engine on this node.
    Here,
    /// Another node's engine, over the cluster port.
    There(domain::NodeId),
    /// A provider's API.
    Api,
    /// The built-in mock.
    Mock,
}

/// Answers an inference call.
pub(crate) async fn infer<B>(inner: &Arc<Inner>, operation: Operation, request: Request<B>) -> Response<Body>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut held = Some(Ticket::new(inner, operation));
    let mut standings = Vec::new();
    let response = run(inner, operation, request, &mut held, &mut standings).await;
    let mut response = response.unwrap_or_else(|problem| problem.answer_for(operation));
    admit::show(&mut response, &standings);
    if let Some(ticket) = held {
        ticket.answered(response.status());
    }
    response
}

async fn run<B>(
    inner: &Arc<Inner>,
    operation: Operation,
    request: Request<B>,
    held: &mut Held,
    standings: &mut Vec<Standing>,
) -> Result<Response<Body>, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let (parts, body) = request.into_parts();
    let (key, limited) = {
        let view = inner.deps.view.peek();
        let key = auth::allow(inner, &view, &parts.headers, Scope::Inference)?;
        (key, view.state.keys.get(&key).filter(|key| !key.limits.is_empty()).cloned())
    };
    let body = read_body(inner, &parts.headers, body).await?;
    let call = match operation {
        Operation::Envelope => {
            form_to_json(content_type(&parts.headers), body).and_then(|body| Call::parse(operation, body))
        }
        Operation::Transcriptions => Call::parse_form(operation, content_type(&parts.headers), body),
        _ => Call::parse(operation, body),
    };
    let call = call.map_err(|e| Problem::of_adapter(&e, operation.protocol()))?;
    if let Some(key) = limited {
        let claim = admit::admit(inner, &key, &call, standings).await?;
        if let Some(ticket) = held {
            ticket.admitted(claim);
        }
    }
    let answer = ask(inner, &call, key, held).await;
    degraded(inner, &call, answer)
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default()
}

/// Asks one target after the other for an answer.
async fn ask(
    inner: &Arc<Inner>,
    call: &Call,
    key: KeyId,
    held: &mut Held,
) -> Result<Response<Body>, Problem> {
    let (patience, attempts_max) = patience(inner, call);
    let deadline = Instant::now() + patience;
    let mut search = Search::new(inner, call, key);
    let mut last: Option<Miss> = None;
    inner.budget.called();
    while search.tried() < attempts_max {
        let choice = match search.next() {
            Ok(Some(choice)) => choice,
            Ok(None) => break,
            Err(problem) if last.is_none() => return Err(problem),
            Err(_) => break,
        };
        if last.is_some() {
            if !inner.budget.draw(inner.loads.now()) {
                break;
            }
            inner.metrics.retries.add(1);
        }
        if let Some(claim) = held.as_mut().and_then(Ticket::claim) {
            claim.asked();
        }
        match attempt::call(inner, call, choice, deadline, held).await {
            Ok(response) => return Ok(response),
            Err(miss) => {
                let retry = miss.retry && Instant::now() < deadline;
                last = Some(miss);
                if !retry {
                    break;
                }
            }
        }
    }
    match last {
        Some(miss) => miss.answer,
        None => Err(search.nothing_left()),
    }
}

/// How long a call may take until the part of its answer that it cannot go on without, and how many targets may be tried.
fn patience(inner: &Inner, call: &Call) -> (Duration, usize) {
    let usual = inner.config.patience(call.stream);
    let view = inner.deps.view.peek();
    let Some(route) = view.state.route(&call.model) else { return (usual, ATTEMPTS_MAX) };
    let ms =
        if call.stream { route.times.first_token_ms.or(route.times.total_ms) } else { route.times.total_ms };
    let attempts = route.attempts_max.map_or(ATTEMPTS_MAX, |max| max as usize);
    (ms.map_or(usual, Duration::from_millis), attempts)
}

/// The answer that the route of the model's name declares for when nothing else answers, marked as such.
fn degraded(
    inner: &Inner,
    call: &Call,
    answer: Result<Response<Body>, Problem>,
) -> Result<Response<Body>, Problem> {
    let status = match &answer {
        Ok(response) => response.status(),
        Err(problem) => problem.status,
    };
    if !may_pass(status) {
        return answer;
    }
    let text = choose::fallback(&inner.deps.view.peek(), call);
    match text.and_then(|text| attempt::declared(inner, call, &text)) {
        Some(declared) => Ok(declared),
        None => answer,
    }
}

fn no_target(model: &str, reason: &Reason) -> Problem {
    match reason {
        Reason::UnknownModel => {
            let message = format!("the model `{model}` does not exist: GET /v1/models lists those that do");
            let problem =
                Problem::new(StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found", message);
            Problem { param: Some("model".into()), ..problem }
        }
        Reason::Stopped(_) | Reason::NoneReady { .. } | Reason::Unreachable(_) => Problem::unavailable(
            "model_not_ready",
            format!("the model `{model}` cannot answer now: {reason}"),
        ),
    }
}
