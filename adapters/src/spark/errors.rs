//! What Spark's error codes mean.

use http::HeaderMap;
use serde_json::Value;

use crate::dialect::Refusal;
use crate::failure::{Failure, FailureKind};
use crate::openai::{self, ErrorBody, read_error, retry_after};

/// The error in a message: `code` is not 0. Before the socket is open, the same stand without a `header`.
pub(super) fn told(value: &Value) -> Option<Refusal> {
    let header = if value["header"].is_object() { &value["header"] } else { value };
    let code = match &header["code"] {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    if code == 0 {
        return None;
    }
    let message = header["message"].as_str().filter(|message| !message.is_empty());
    let message = message.unwrap_or("the provider did not say what is wrong");
    Some(Refusal::told(kind(code), code.to_string(), message))
}

/// From iFlytek's table of error codes.
fn kind(code: i64) -> FailureKind {
    match code {
        // The message: its form, its schema, its values; too long.
        10_003..=10_005 | 10_163 | 10_907 => FailureKind::BadRequest,
        // The question or the answer is not allowed.
        10_013 | 10_014 | 10_019 | 10_021 | 10_022 => FailureKind::BadRequest,
        // The user is connected already, or waits for an answer.
        10_006 | 10_007 => FailureKind::RateLimited,
        // No room, busy, no way to an engine.
        10_008 | 10_110 | 10_222 | 10_223 => FailureKind::Unavailable,
        // The application is banned, or not the key's.
        10_015 | 10_313 => FailureKind::Authentication,
        // No licence for this model, or all its tokens are used; the day's are.
        10_016 | 11_200 | 11_201 => FailureKind::QuotaExceeded,
        10_018 => FailureKind::Timeout,
        // Too many in a second, too many at once.
        11_202 | 11_203 => FailureKind::RateLimited,
        _ => FailureKind::Server,
    }
}

/// Why no socket was opened.
pub(super) fn classify(status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
    match serde_json::from_slice(body).ok().and_then(|value| told(&value)) {
        Some(refusal) => {
            let failure = Failure::of(refusal.failure.kind, retry_after(headers));
            Refusal { failure, error: refusal.error }
        }
        None => Refusal {
            failure: openai::classify(status, headers, body),
            error: read_error(body).unwrap_or_else(|| ErrorBody::untold(status)),
        },
    }
}
