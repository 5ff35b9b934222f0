//! Configuration values: bytes under keys, with their revision as an entity tag, so that a change can be made to depend on
//! what is there.

use std::ops::Bound;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use domain::config::{Command, Expect, Value as Row};
use domain::limits::CONFIG_VALUE_LEN_MAX;
use domain::{Command as Change, Reply};
use http::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http::{HeaderMap, HeaderName};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use super::page::Page;
use crate::changes::BodyHash;
use crate::extract::{App, Fresh, MayAdmin, MayRead, read_body};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// Which keys to list.
#[derive(Debug, Deserialize)]
pub(crate) struct Which {
    #[serde(default)]
    prefix: String,
}

/// What a change expects to find, from `If-Match` and `If-None-Match`.
pub(crate) struct Condition(Expect);

impl FromRequestParts<App> for Condition {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        condition(&parts.headers).map(Self)
    }
}

/// A body as it is.
pub(crate) struct Raw(Bytes);

impl FromRequest<App> for Raw {
    type Rejection = Problem;
    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let body = read_body(app, &parts.headers, body).await?;
        if let Some(hash) = parts.extensions.get::<BodyHash>() {
            hash.put(&body);
        }
        Ok(Self(body))
    }
}

pub(crate) async fn list(
    _: MayRead,
    Fresh(view): Fresh,
    which: Result<Query<Which>, QueryRejection>,
    page: Page,
) -> Answer {
    let Query(Which { prefix }) = which.map_err(|e| Problem::bad_request("invalid_value", e.body_text()))?;
    let from = match page.begin::<String>()? {
        Bound::Excluded(after) if after >= prefix => Bound::Excluded(after),
        _ => Bound::Included(prefix.clone()),
    };
    let rows = view.state.config.from(from).take_while(|(key, _)| key.starts_with(&prefix));
    let (rows, next) = page.cut(rows);
    Ok(Json(json!({ "keys": rows.iter().map(|row| shape(row)).collect::<Vec<_>>(), "next": next })))
}

fn shape(row: &Row) -> Value {
    json!({
        "key": row.key, "revision": row.revision, "bytes": row.bytes.len(),
        "changed_at": rfc3339(row.changed_at),
    })
}

pub(crate) async fn get(
    _: MayRead,
    Fresh(view): Fresh,
    Path(key): Path<String>,
) -> Result<Response, Problem> {
    let row = view.state.config.get(&key);
    let row = row.ok_or_else(|| Problem::not_found(domain::config::Reject::Unknown(key).to_string()))?;
    let headers = [(ETAG, tag(row.revision)), (CONTENT_TYPE, "application/octet-stream".to_owned())];
    Ok((headers, row.bytes.clone()).into_response())
}

pub(crate) async fn put(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(key): Path<String>,
    Condition(expect): Condition,
    Raw(body): Raw,
) -> Result<Response, Problem> {
    if body.len() > CONFIG_VALUE_LEN_MAX {
        return Err(Problem::too_large(CONFIG_VALUE_LEN_MAX));
    }
    let command = Command::Put { key: key.clone(), bytes: body.into(), expect };
    let Reply::Revision(revision) = changes.commit(&app, Change::Config(command)).await? else {
        return Ok(Json(json!({ "key": key })).into_response());
    };
    Ok(([(ETAG, tag(revision))], Json(json!({ "key": key, "revision": revision }))).into_response())
}

pub(crate) async fn remove(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(key): Path<String>,
    Condition(expect): Condition,
) -> Answer {
    changes.commit(&app, Change::Config(Command::Delete { key: key.clone(), expect })).await?;
    Ok(Json(json!({ "deleted": key })))
}

/// An entity tag, RFC 9110 section 8.8.3.
fn tag(revision: u64) -> String {
    format!("\"{revision}\"")
}

fn condition(headers: &HeaderMap) -> Result<Expect, Problem> {
    let bad = |header: &HeaderName, hint: &str| {
        Err(Problem::bad_param(header.as_str(), format!("`{header}` must be {hint}")))
    };
    match (headers.get(IF_MATCH), headers.get(IF_NONE_MATCH)) {
        (None, None) => Ok(Expect::Anything),
        (Some(_), Some(_)) => bad(&IF_NONE_MATCH, "left out beside `if-match`"),
        (None, Some(value)) if value == "*" => Ok(Expect::Absent),
        (None, Some(_)) => bad(&IF_NONE_MATCH, "`*`: only if there is no value"),
        (Some(value), None) if value == "*" => Ok(Expect::Present),
        (Some(value), None) => {
            let text = value.to_str().ok().and_then(|text| text.strip_prefix('"')?.strip_suffix('"'));
            match text.and_then(|text| text.parse().ok()) {
                Some(revision) => Ok(Expect::Revision(revision)),
                None => bad(&IF_MATCH, "a revision in quotes, as in the ETag of an answer, or `*`"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_are_read_from_the_standard_headers() {
        let of = |name: HeaderName, value: &'static str| {
            condition(&HeaderMap::from_iter([(name, http::HeaderValue::from_static(value))])).ok()
        };
        assert_eq!(of(IF_MATCH, "\"17\""), Some(Expect::Revision(17)));
        assert_eq!(of(IF_MATCH, "*"), Some(Expect::Present));
        assert_eq!(of(IF_NONE_MATCH, "*"), Some(Expect::Absent));
        for wrong in ["17", "\"x\"", "W/\"17\"", ""] {
            assert_eq!(of(IF_MATCH, wrong), None, "{wrong}");
        }
        assert_eq!(of(IF_NONE_MATCH, "\"17\""), None);
        assert_eq!(condition(&HeaderMap::new()).unwrap(), Expect::Anything);
    }
}
