//! What Qianfan's error codes mean. They come with status 200 more often than not.

use http::HeaderMap;
use serde_json::Value;

use super::token;
use crate::dialect::Refusal;
use crate::failure::{Failure, FailureKind};
use crate::openai::{self, ErrorBody, retry_after};

/// The error in a body: `error_code` and `error_msg`.
pub(super) fn told(value: &Value) -> Option<Refusal> {
    let code = match &value["error_code"] {
        Value::Number(number) => number.as_i64()?,
        Value::String(text) => text.trim().parse().ok()?,
        _ => return None,
    };
    if code == 0 {
        return None;
    }
    let message = value["error_msg"].as_str().unwrap_or("the provider did not say what is wrong");
    Some(Refusal::told(kind(code), code.to_string(), message))
}

/// From Baidu's table of error codes.
fn kind(code: i64) -> FailureKind {
    match code {
        // Service temporarily unavailable, high load.
        2 | 336_100 => FailureKind::Unavailable,
        // No such interface.
        3 | 336_005 => FailureKind::NotFound,
        // Too many at once: of the whole cluster, of one's own, by requests and by tokens in a minute.
        4 | 18 | 336_501..=336_505 => FailureKind::RateLimited,
        // The day's requests, all requests.
        17 | 19 => FailureKind::QuotaExceeded,
        // No permission, no service token, signature, application; then the access token: missing, invalid, expired.
        6 | 13 | 14 | 15 | 100 | 110 | 111 | 336_004 => FailureKind::Authentication,
        // Fields of the request.
        336_001..=336_003 | 336_006..=336_099 | 336_101..=336_199 => FailureKind::BadRequest,
        _ => FailureKind::Server,
    }
}

/// What an answer that is no success means.
pub(super) fn classify(status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let refusal = serde_json::from_slice(body).ok().and_then(|value| token::refused(&value));
    match refusal {
        Some(refusal) => {
            let failure = Failure::of(refusal.failure.kind, retry_after(headers));
            Refusal { failure, error: refusal.error }
        }
        None => {
            Refusal { failure: openai::classify(status, headers, body), error: ErrorBody::untold(status) }
        }
    }
}
