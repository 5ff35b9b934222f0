//! What a status other than success means.

use std::time::Duration;

use http::HeaderMap;

use super::error_body::read_error;
use crate::failure::{Failure, FailureKind};

/// The longest wait a target may ask for; more is cut.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// Classifies an answer whose status is no success. Reads the body only where the status alone does not tell.
pub fn classify(status: u16, headers: &HeaderMap, body: &[u8]) -> Failure {
    let kind = match status {
        401 | 403 => FailureKind::Authentication,
        404 | 405 => FailureKind::NotFound,
        402 => FailureKind::QuotaExceeded,
        408 | 504 | 524 => FailureKind::Timeout,
        429 if is_quota(body) => FailureKind::QuotaExceeded,
        429 => FailureKind::RateLimited,
        502 | 503 | 529 => FailureKind::Unavailable,
        400..=499 => FailureKind::BadRequest,
        _ => FailureKind::Server,
    };
    Failure::of(kind, retry_after(headers))
}

/// OpenAI tells an empty account from a short burst only in the body.
fn is_quota(body: &[u8]) -> bool {
    read_error(body)
        .is_some_and(|e| [e.code.as_deref(), e.kind.as_deref()].contains(&Some("insufficient_quota")))
}

/// `retry-after-ms` (OpenAI, Azure) is finer than `retry-after` in seconds. A date would need a clock and is left out.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let number = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    let seconds = match number("retry-after-ms") {
        Some(ms) => ms / 1000.0,
        None => number("retry-after")?,
    };
    Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(RETRY_AFTER_MAX))
}
