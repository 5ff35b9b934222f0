//! What DashScope's error codes mean.

use http::HeaderMap;
use serde_json::Value;

use crate::dialect::Refusal;
use crate::failure::{Failure, FailureKind};
use crate::openai::{self, ErrorBody, retry_after};

/// What a code means; the longest beginning that fits counts. From the table of status codes and messages in Alibaba's
/// documentation.
const CODES: &[(&str, FailureKind)] = &[
    ("AccessDenied", FailureKind::Authentication),
    ("AllocationQuota", FailureKind::QuotaExceeded),
    ("Arrearage", FailureKind::QuotaExceeded),
    ("BadRequest", FailureKind::BadRequest),
    ("CommodityNotPurchased", FailureKind::QuotaExceeded),
    ("DataInspectionFailed", FailureKind::BadRequest),
    ("InternalError", FailureKind::Server),
    ("InternalError.Timeout", FailureKind::Timeout),
    ("InvalidApiKey", FailureKind::Authentication),
    ("InvalidParameter", FailureKind::BadRequest),
    ("InvalidSchema", FailureKind::BadRequest),
    ("InvalidURL", FailureKind::NotFound),
    ("Model.AccessDenied", FailureKind::Authentication),
    ("ModelNotFound", FailureKind::NotFound),
    ("ModelServiceFailed", FailureKind::Unavailable),
    ("ModelServingError", FailureKind::Unavailable),
    ("ModelUnavailable", FailureKind::Unavailable),
    ("PostpaidBillOverdue", FailureKind::QuotaExceeded),
    ("PrepaidBillOverdue", FailureKind::QuotaExceeded),
    ("RequestTimeOut", FailureKind::Timeout),
    ("ResponseTimeout", FailureKind::Timeout),
    ("ServiceUnavailable", FailureKind::Unavailable),
    ("SystemError", FailureKind::Server),
    ("Throttling", FailureKind::RateLimited),
    ("UnsupportedOperation", FailureKind::BadRequest),
    ("Workspace.AccessDenied", FailureKind::Authentication),
];

/// The error in a body or an event: `code`, `message` and `request_id`. A code that is not known is judged by the status
/// that it came with, if it came with one.
pub(super) fn told(value: &Value, otherwise: Option<FailureKind>) -> Option<Refusal> {
    let code = value["code"].as_str().filter(|code| !code.is_empty())?;
    let message = value["message"].as_str().filter(|message| !message.is_empty()).unwrap_or(code);
    let known =
        CODES.iter().filter(|(start, _)| code.starts_with(start)).max_by_key(|(start, _)| start.len());
    let kind = known.map(|(_, kind)| *kind).or(otherwise).unwrap_or(FailureKind::Server);
    Some(Refusal::told(kind, code, message))
}

/// What an answer that is no success means.
pub(super) fn classify(status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let by_status = openai::classify(status, headers, body);
    let value = serde_json::from_slice::<Value>(body).unwrap_or_else(|_| event(body));
    match told(&value, Some(by_status.kind)) {
        Some(refusal) => {
            let failure = Failure::of(refusal.failure.kind, retry_after(headers));
            Refusal { failure, error: refusal.error }
        }
        None => Refusal { failure: by_status, error: ErrorBody::untold(status) },
    }
}

/// Who asked for a stream is told of errors by an event, with the status of an error too.
fn event(body: &[u8]) -> Value {
    let mut value = Value::Null;
    let mut take = |data: &[u8]| value = serde_json::from_slice(data).unwrap_or_default();
    let mut sse = crate::frames::Sse::default();
    sse.push(body, |_, data| take(data));
    sse.push(b"\n\n", |_, data| take(data));
    value
}
