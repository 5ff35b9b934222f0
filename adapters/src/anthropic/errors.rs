//! Errors as Anthropic's clients understand them, and what Anthropic's own mean.

use bytes::Bytes;
use http::HeaderMap;
use serde_json::{Value, json};

use crate::dialect::Refusal;
use crate::failure::{Failure, FailureKind};
use crate::openai::{ErrorBody, classify as by_status, read_error, retry_after};

/// The kinds of errors that clients know.
const KINDS: [&str; 11] = [
    "invalid_request_error",
    "authentication_error",
    "billing_error",
    "permission_error",
    "not_found_error",
    "conflict_error",
    "request_too_large",
    "rate_limit_error",
    "api_error",
    "timeout_error",
    "overloaded_error",
];

/// How messages begin that say, with a status of 400, that an account has nothing left to spend.
const SPENT: [&str; 3] = [
    "Your credit balance is too low",
    "You have reached your specified API usage limits",
    "You have reached your specified workspace API usage limits",
];

/// An error as a body.
pub fn error_body(status: u16, error: &ErrorBody) -> Bytes {
    Bytes::from(shape(kind_of_status(status), error).to_string())
}

/// An error as one event of a stream.
pub(super) fn error_event(error: &ErrorBody) -> Bytes {
    Bytes::from(format!("event: error\ndata: {}\n\n", shape(kind_of(error), error)))
}

fn shape(kind: &str, error: &ErrorBody) -> Value {
    json!({ "type": "error", "error": { "type": kind, "message": error.message }, "request_id": null })
}

fn kind_of_status(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        408 | 504 => "timeout_error",
        409 => "conflict_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        503 | 529 => "overloaded_error",
        400..=499 => "invalid_request_error",
        _ => "api_error",
    }
}

/// Where no status tells: other providers' words for the same.
fn kind_of(error: &ErrorBody) -> &'static str {
    let kind = error.kind.as_deref().unwrap_or_default();
    if let Some(known) = KINDS.into_iter().find(|known| *known == kind) {
        return known;
    }
    match (kind, error.code.as_deref().unwrap_or_default()) {
        ("insufficient_quota", _) | (_, "insufficient_quota") => "billing_error",
        ("requests" | "tokens", _) | (_, "rate_limit_exceeded" | "429") => "rate_limit_error",
        ("unavailable_error", _) | (_, "503" | "529") => "overloaded_error",
        (_, "504") => "timeout_error",
        _ => "api_error",
    }
}

/// What an answer that is no success means.
pub(super) fn classify(status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let error = read_error(body).unwrap_or_else(|| ErrorBody::untold(status));
    let spent = status == 400 && SPENT.iter().any(|start| error.message.starts_with(start));
    let failure = if spent {
        Failure::of(FailureKind::QuotaExceeded, retry_after(headers))
    } else {
        by_status(status, headers, body)
    };
    Refusal { failure, error }
}

/// What an error means that came without a status.
pub(super) fn refusal(error: ErrorBody) -> Refusal {
    let kind = match error.kind.as_deref().unwrap_or_default() {
        "invalid_request_error" | "request_too_large" => FailureKind::BadRequest,
        "authentication_error" | "permission_error" => FailureKind::Authentication,
        "billing_error" => FailureKind::QuotaExceeded,
        "not_found_error" => FailureKind::NotFound,
        "rate_limit_error" => FailureKind::RateLimited,
        "timeout_error" => FailureKind::Timeout,
        "overloaded_error" => FailureKind::Unavailable,
        _ => FailureKind::Server,
    };
    Refusal::new(kind, error)
}
