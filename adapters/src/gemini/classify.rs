//! What Gemini's errors mean.

use std::time::Duration;

use http::HeaderMap;
use serde_json::Value;

use crate::dialect::Refusal;
use crate::failure::{Failure, FailureKind};
use crate::openai::{ErrorBody, retry_after};

/// The longest wait a target may ask for; more is cut.
const WAIT_MAX: Duration = Duration::from_secs(3_600);

/// Classifies an answer whose status is no success, or an error that came with one.
pub(super) fn classify(status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
    let value: Value = serde_json::from_slice(body).unwrap_or_default();
    let told = inner(&value);
    let kind = match (status, told["status"].as_str().unwrap_or_default()) {
        // A key that is none is an argument like any other to Google.
        (400, _) if has_reason(told, "API_KEY_INVALID") => FailureKind::Authentication,
        // The account lacks something: it has not paid, where nothing is free.
        (400, "FAILED_PRECONDITION") => FailureKind::Authentication,
        (401 | 403, _) => FailureKind::Authentication,
        (402, _) => FailureKind::QuotaExceeded,
        (404 | 405, _) => FailureKind::NotFound,
        (408 | 504, _) => FailureKind::Timeout,
        (429, _) if is_daily(told) => FailureKind::QuotaExceeded,
        (429, _) => FailureKind::RateLimited,
        (502 | 503, _) => FailureKind::Unavailable,
        (400..=499, _) => FailureKind::BadRequest,
        _ => FailureKind::Server,
    };
    let wait = details(told, "google.rpc.RetryInfo").find_map(|detail| wait(&detail["retryDelay"]));
    Refusal {
        failure: Failure::of(kind, wait.or_else(|| retry_after(headers))),
        error: read_error(&value).map_or_else(|| ErrorBody::untold(status), |(_, error)| error),
    }
}

/// The error that a body or an event is, and its status: `{"error":{…}}`, also as the first of a list.
pub(super) fn read_error(value: &Value) -> Option<(u16, ErrorBody)> {
    let told = inner(value);
    let message = match (told.as_object(), told["message"].as_str()) {
        (Some(_), Some(message)) => message.to_owned(),
        (Some(_), None) => told.to_string(),
        (None, _) => told.as_str()?.to_owned(),
    };
    let status = told["code"].as_u64().and_then(|code| u16::try_from(code).ok()).unwrap_or(500);
    let kind = if (400..500).contains(&status) { "invalid_request_error" } else { "server_error" };
    let code = told["status"].as_str().map(str::to_owned);
    Some((status, ErrorBody { message, kind: Some(kind.to_owned()), param: None, code }))
}

fn inner(value: &Value) -> &Value {
    let one = value.as_array().and_then(|list| list.first()).unwrap_or(value);
    &one["error"]
}

/// The details of an error that are of this type.
fn details<'a>(told: &'a Value, of: &'a str) -> impl Iterator<Item = &'a Value> {
    let all = told["details"].as_array().into_iter().flatten();
    all.filter(move |detail| detail["@type"].as_str().is_some_and(|name| name.ends_with(of)))
}

fn has_reason(told: &Value, reason: &str) -> bool {
    details(told, "google.rpc.ErrorInfo").any(|detail| detail["reason"] == reason)
}

/// Whether it is the quota of a day: it does not come back soon, whatever the error says.
fn is_daily(told: &Value) -> bool {
    let violations =
        details(told, "google.rpc.QuotaFailure").filter_map(|detail| detail["violations"].as_array());
    violations.flatten().any(|one| one["quotaId"].as_str().is_some_and(|id| id.contains("PerDay")))
}

/// A duration as protocol buffers write it in JSON: `34.074824224s`.
fn wait(value: &Value) -> Option<Duration> {
    let seconds = value.as_str()?.strip_suffix('s')?.parse::<f64>().ok()?;
    Duration::try_from_secs_f64(seconds).ok().map(|wait| wait.min(WAIT_MAX))
}
