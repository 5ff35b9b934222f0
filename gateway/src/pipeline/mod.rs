//! The way of an inference call: authenticate → read → admit → route → call → record. Until the first byte goes to the client,
//! a target that fails is replaced by the next; after it, bytes pass frame by frame and nothing is repeated.

mod admit;
mod attempt;
mod events;
mod inbound;
mod loads;
mod peek;
mod relayed;
mod scripted;
mod ticket;
mod unread;

use std::sync::Arc;

use actors::limiter::Standing;
use actors::ports::{Body, BoxError};
use adapters::envelope::form_to_json;
use adapters::{Call, Operation};
use bytes::Bytes;
use domain::decide::routing::{self, Load, Reason, Target};
use domain::key::Scope;
use domain::provider::{Kind, Provider};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Request, Response, StatusCode};
use tokio::time::Instant;

use crate::auth;
use crate::extract::read_body;
use crate::inner::Inner;
use crate::problem::Problem;
use attempt::Miss;
pub(crate) use inbound::relayed;
pub(crate) use loads::Loads;
use loads::Stat;
pub use scripted::response as scripted;
use ticket::Ticket;
pub(crate) use unread::Unread;

/// Different targets tried for one call at most.
const ATTEMPTS_MAX: usize = 3;

/// The ticket of a call, until a streamed answer takes it along.
type Held = Option<Ticket>;

/// A target chosen for an attempt.
struct Choice {
    target: Target,
    stat: Arc<Stat>,
    way: Way,
}

/// How a target is reached.
enum Way {
    /// An engine on this node.
    Here,
    /// Another node's engine, over the cluster port.
    There(domain::NodeId),
    /// A provider's API, and its own name of the model where that differs.
    Api(Option<String>),
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
    let limited = {
        let view = inner.deps.view.peek();
        let key = auth::allow(inner, &view, &parts.headers, Scope::Inference)?;
        view.state.keys.get(&key).filter(|key| !key.limits.is_empty()).cloned()
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
    ask(inner, &call, held).await
}

fn content_type(headers: &HeaderMap) -> &str {
    headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default()
}

/// Asks one target after the other for an answer.
async fn ask(inner: &Arc<Inner>, call: &Call, held: &mut Held) -> Result<Response<Body>, Problem> {
    let deadline = Instant::now() + inner.config.patience(call.stream);
    let mut tried: Vec<Target> = Vec::new();
    let mut last: Option<Miss> = None;
    while tried.len() < ATTEMPTS_MAX {
        // Chosen anew each time: what failed may have changed the view meanwhile.
        let choice = match choose(inner, call, &tried) {
            Ok(Some(choice)) => choice,
            Ok(None) => break,
            Err(problem) if last.is_none() => return Err(problem),
            Err(_) => break,
        };
        if last.is_some() {
            inner.metrics.retries.add(1);
        }
        tried.push(choice.target.clone());
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
        None => Err(Problem::unavailable("no_target", "nothing can answer just now: try again")),
    }
}

/// The best target that was not tried yet.
fn choose(inner: &Inner, call: &Call, tried: &[Target]) -> Result<Option<Choice>, Problem> {
    let view = inner.deps.view.peek();
    let targets = routing::targets(&view, &call.model).map_err(|reason| no_target(&call.model, &reason))?;
    let mut open: Vec<(Target, Arc<Stat>)> = targets
        .into_iter()
        .filter(|target| !tried.contains(target))
        .map(|target| {
            let stat = inner.loads.of(&target);
            (target, stat)
        })
        .collect();
    let best = if open.len() > 1 {
        let now = inner.loads.now();
        let loads = open.iter().map(|(target, stat)| (target, load(inner, target, stat, now)));
        routing::best(loads, inner.ids.draw()).unwrap_or(0)
    } else {
        0
    };
    if open.is_empty() {
        return Ok(None);
    }
    let (target, stat) = open.swap_remove(best);
    let way = match &target {
        Target::Replica { node, .. } if *node == inner.deps.me => Way::Here,
        Target::Replica { node, .. } => Way::There(*node),
        Target::Provider(name) => match view.state.providers.get(name) {
            Some(row) if row.kind == Kind::Mock => Way::Mock,
            Some(row) => Way::Api(own_name(row, &call.model)),
            None => return Ok(None),
        },
    };
    Ok(Some(Choice { stat, target, way }))
}

/// What this node's calls tell of a target. Its actor knows more of its health: calls of other nodes and requests of its own.
fn load(inner: &Inner, target: &Target, stat: &Stat, now_ms: u64) -> Load {
    let own = stat.load(now_ms);
    let avoid = own.avoid || inner.deps.directory.load(target).is_some_and(|told| told.avoid);
    Load { avoid, ..own }
}

/// What a provider itself calls a model, where that differs. `provider/model` names one provider's.
fn own_name(provider: &Provider, model: &str) -> Option<String> {
    let plain = match model.split_once('/') {
        Some((first, rest))
            if first == provider.name.as_str() && !provider.models.iter().any(|offer| offer == model) =>
        {
            rest
        }
        _ => model,
    };
    let own = provider.own_name(plain);
    (own != model).then(|| own.to_owned())
}

fn no_target(model: &str, reason: &Reason) -> Problem {
    match reason {
        Reason::UnknownModel => {
            let message = format!("the model `{model}` does not exist: GET /v1/models lists those that do");
            let problem =
                Problem::new(StatusCode::NOT_FOUND, "invalid_request_error", "model_not_found", message);
            Problem { param: Some("model".to_owned()), ..problem }
        }
        Reason::Stopped(_) | Reason::NoneReady { .. } | Reason::Unreachable(_) => Problem::unavailable(
            "model_not_ready",
            format!("the model `{model}` cannot answer now: {reason}"),
        ),
    }
}
