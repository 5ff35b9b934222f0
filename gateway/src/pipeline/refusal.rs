//! What a target's refusal comes to: what it says of the target, whether another one may be tried, and what the client is told.

use actors::ports::Body;
use adapters::exchange::Exchange;
use adapters::openai::read_error;
use adapters::{Failure, FailureKind, Refusal};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};

use super::attempt::{JSON, Miss, Reached, full, head};
use super::{Way, peek};
use crate::inner::Inner;
use crate::problem::Problem;

/// An answer that is no success: passed on as it is, or told in our words where the client could misunderstand it.
pub(super) async fn refusal(
    inner: &Inner,
    exchange: &Exchange,
    reached: &Reached,
    response: Response<Body>,
    way: &Way,
) -> Miss {
    let (parts, mut body) = response.into_parts();
    let gathered = peek::gather(inner, &mut body, Bytes::new(), &reached.target, reached.deadline).await;
    let bytes = match gathered {
        Ok(peek::Gathered::Whole(bytes)) => bytes,
        Ok(peek::Gathered::TooLarge(_)) | Err(_) => Bytes::new(),
    };
    let status = parts.status;
    let Refusal { failure, error } = exchange.dialect().classify(status.as_u16(), &parts.headers, &bytes);
    let retry = judge(inner, reached, &failure, status, way);
    if let Some(problem) = ours(&failure, status, way) {
        return Miss { retry, answer: Err(problem) };
    }
    if !exchange.relays() || !bytes.starts_with(b"{") || read_error(&bytes).is_none() {
        let status = if exchange.relays() { status } else { status_of(&failure, status) };
        let target = Some(Box::new(reached.under_way.stat().label.clone()));
        let told = Problem::of_provider(status, error);
        return Miss { retry, answer: Err(Problem { retry_after: failure.retry_after, target, ..told }) };
    }
    let mut answer = head(status, &parts.headers, reached, exchange);
    if let (Some(wait), false) = (failure.retry_after, answer.headers().contains_key(RETRY_AFTER)) {
        let seconds = wait.as_secs_f64().ceil() as u64;
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer.headers_mut().insert(CONTENT_TYPE, JSON);
    *answer.body_mut() = full(bytes);
    Miss { retry, answer: Ok(answer) }
}

/// A success that was none.
pub(super) fn refused(inner: &Inner, reached: &Reached, refusal: &Refusal, way: &Way) -> Miss {
    let Refusal { failure, error } = refusal;
    let retry = judge(inner, reached, failure, StatusCode::OK, way);
    if let Some(problem) = ours(failure, StatusCode::OK, way) {
        return Miss { retry, answer: Err(problem) };
    }
    let told = Problem::of_provider(status_of(failure, StatusCode::OK), error.clone());
    let target = Some(Box::new(reached.under_way.stat().label.clone()));
    Miss { retry, answer: Err(Problem { retry_after: failure.retry_after, target, ..told }) }
}

/// The status that tells a failure to clients of every protocol. What the request is to blame for keeps its own.
fn status_of(failure: &Failure, status: StatusCode) -> StatusCode {
    match failure.kind {
        FailureKind::BadRequest if status.is_client_error() => status,
        FailureKind::BadRequest => StatusCode::BAD_REQUEST,
        FailureKind::NotFound => StatusCode::NOT_FOUND,
        FailureKind::RateLimited | FailureKind::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
        FailureKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        FailureKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        FailureKind::Authentication | FailureKind::Server => StatusCode::BAD_GATEWAY,
    }
}

/// What a refusal tells of the target, and whether another one may be tried.
fn judge(inner: &Inner, reached: &Reached, failure: &Failure, status: StatusCode, way: &Way) -> bool {
    match (failure.kind, way) {
        // The request asked for it.
        (_, Way::Mock) => reached.pass_by(inner),
        _ if failure.counts_for_breaker => reached.blame(inner, &format!("it answered {status}")),
        (FailureKind::BadRequest, _) => reached.well(inner),
        // One client's choice of a path or a model, which the next call may not make.
        (FailureKind::NotFound, _) => reached.pass_by(inner),
        _ => reached.refused(inner, failure),
    }
    // An engine that fails on a request may fail on it everywhere; one that is not ready says 502 or 503.
    let engine = matches!(way, Way::Here | Way::There(_));
    failure.retryable && !(engine && failure.kind == FailureKind::Server)
}

/// A refusal whose own words would send the client, or its user, to look in the wrong place.
fn ours(failure: &Failure, status: StatusCode, way: &Way) -> Option<Problem> {
    let bad_gateway =
        |code, message: String| Some(Problem::new(StatusCode::BAD_GATEWAY, "server_error", code, message));
    let (redirects, refuses_key) = (status.is_redirection(), failure.kind == FailureKind::Authentication);
    match way {
        Way::Mock => None,
        Way::Api if redirects => {
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
        Way::Api if refuses_key => {
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
