//! What handlers take: who calls and what they may do, a view that is fresh enough, a body of the right shape. Each turns
//! what is wrong into a [`Problem`], so that handlers only see what is right.

use std::sync::Arc;

use actors::ports::BoxError;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use domain::View;
use domain::key::Scope;
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http::request::Parts;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde::de::DeserializeOwned;

use crate::auth;
use crate::changes::{BodyHash, Changes};
use crate::inner::Inner;
use crate::problem::Problem;

/// What axum carries to handlers.
pub(crate) type App = Arc<Inner>;

macro_rules! callers {
    ($($(#[$doc:meta])* $name:ident$(($changes:ty))? => $scope:ident, $make:expr;)*) => {$(
        $(#[$doc])*
        pub(crate) struct $name$((pub $changes))?;

        impl FromRequestParts<App> for $name {
            type Rejection = Problem;
            async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
                let caller = auth::allow(app, &app.deps.view.peek(), &parts.headers, Scope::$scope)?;
                $make(app, caller, parts)
            }
        }
    )*};
}

callers! {
    /// May call models.
    MayInfer => Inference, |_, _, _| Ok(MayInfer);
    /// May look.
    MayRead => Read, |_, _, _| Ok(MayRead);
    /// May deploy; with the changes its request makes.
    MayDeploy(Changes) => Deploy, |app, caller, parts| Changes::of(app, caller, parts).map(MayDeploy);
    /// May do everything; with the changes its request makes.
    MayAdmin(Changes) => Admin, |app, caller, parts| Changes::of(app, caller, parts).map(MayAdmin);
}

/// The present view; with `?consistent=true` one that shows everything acknowledged before the request.
pub(crate) struct Fresh(pub Arc<View>);

impl FromRequestParts<App> for Fresh {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        match query(parts.uri.query(), "consistent") {
            Some("true" | "1") => app.deps.proposer.barrier().await?,
            None | Some("false" | "0") => {}
            Some(_) => return Err(Problem::bad_param("consistent", "`consistent` must be true or false")),
        }
        Ok(Self(app.deps.view.load()))
    }
}

/// A value of a query string, as it stands there.
pub(crate) fn query<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?
        .split('&')
        .find_map(|pair| pair.split_once('=').filter(|(key, _)| *key == name))
        .map(|(_, value)| value)
}

/// A body of this shape.
pub(crate) struct Shaped<T>(pub T);

impl<T: DeserializeOwned> FromRequest<App> for Shaped<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = read_body(app, &parts.headers, body).await?;
        if let Some(hash) = parts.extensions.get::<BodyHash>() {
            hash.put(&body);
        }
        // Nothing where an object is expected means all defaults.
        let body: &[u8] = if body.is_empty() { b"{}" } else { &body };
        // Decoding alone does not tell: a list of values passes for a struct.
        if body.trim_ascii_start().starts_with(b"[") {
            return Err(Problem::bad_request("invalid_value", "the body must be a JSON object"));
        }
        serde_json::from_slice(body).map(Shaped).map_err(|e| wrong_shape(body, &e))
    }
}

/// Reads a body, within the limits of size and time.
pub(crate) async fn read_body<B>(inner: &Inner, headers: &HeaderMap, body: B) -> Result<Bytes, Problem>
where
    B: http_body::Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let limit = inner.config.body_limit_bytes;
    let told = headers.get(CONTENT_LENGTH).and_then(|n| n.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|n| n > limit as u64) {
        return Err(Problem::too_large(limit));
    }
    let reading = Limited::new(body, limit).collect();
    match tokio::time::timeout(inner.config.body_timeout(), reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Problem::too_large(limit)),
        Ok(Err(_)) => Err(Problem::bad_request("body_broken", "the request's body broke off: send it again")),
        Err(_) => {
            let message = "the request's body did not arrive in time: send it again";
            Err(Problem::new(
                http::StatusCode::REQUEST_TIMEOUT,
                "invalid_request_error",
                "body_timeout",
                message,
            ))
        }
    }
}

/// What is wrong with a body, by its field where that is known.
pub(crate) fn wrong_shape(body: &[u8], error: &serde_json::Error) -> Problem {
    let message =
        format!("the body is not what is expected here: {error}; GET /openapi.json shows its shape");
    if error.is_data() {
        let text = error.to_string();
        // serde names missing and unknown fields in backquotes; for a wrong type it only tells the place.
        let named = text.contains(" field `").then(|| text.split('`').nth(1)).flatten().map(str::to_owned);
        let param = named.or_else(|| field_before(body, error.line(), error.column()));
        let param = param.map(String::into_boxed_str);
        return Problem { param, ..Problem::bad_request("invalid_value", message) };
    }
    Problem::bad_request("invalid_json", message)
}

/// The name of the last field that begins before a place in JSON, counted as serde_json does.
fn field_before(body: &[u8], line: usize, column: usize) -> Option<String> {
    let start: usize =
        body.split_inclusive(|b| *b == b'\n').take(line.saturating_sub(1)).map(<[u8]>::len).sum();
    let end = (start + column).min(body.len());
    let (mut at, mut last, mut found) = (0, None, None);
    while at < end {
        match body[at] {
            b'"' => {
                let from = at + 1;
                at = from;
                while at < end && body[at] != b'"' {
                    at += if body[at] == b'\\' { 2 } else { 1 };
                }
                last = body.get(from..at.min(end)).map(|text| String::from_utf8_lossy(text).into_owned());
            }
            b':' => found = last.take(),
            _ => {}
        }
        at += 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_with_the_wrong_type_is_named() {
        #[derive(serde::Deserialize, Debug)]
        struct Want {
            #[allow(dead_code)]
            name: String,
            #[allow(dead_code)]
            replicas: u32,
        }
        let param = |body: &str| {
            let error = serde_json::from_str::<Want>(body).unwrap_err();
            wrong_shape(body.as_bytes(), &error).param
        };
        assert_eq!(param("{\"name\": \"a: \\\"b\",\n \"replicas\": \"x\"}").as_deref(), Some("replicas"));
        assert_eq!(param(r#"{"name": 7, "replicas": 1}"#).as_deref(), Some("name"));
        assert_eq!(param(r#"{"name": "a"}"#).as_deref(), Some("replicas"));
    }

    #[test]
    fn a_query_is_read_by_name() {
        assert_eq!(query(Some("a=1&b=2"), "b"), Some("2"));
        assert_eq!(query(Some("a=1"), "b"), None);
        assert_eq!(query(None, "b"), None);
    }
}
