//! How a key of Baidu's becomes an access token: OAuth 2.0's `client_credentials`.

use bytes::Bytes;
use http::Method;
use http::header::{ACCEPT, CONTENT_TYPE};
use serde_json::Value;

use super::errors;
use crate::call::{Error, HttpRequest, Target};
use crate::dialect::{Granted, Refusal};
use crate::failure::FailureKind;
use crate::openai::compatible::JSON;
use crate::query::encoded;

/// The request; `None` where the key is a token already.
pub(super) fn request(target: &Target<'_>) -> Result<Option<HttpRequest>, Error> {
    let Some((id, secret)) = target.need_secret()?.split_once(':') else { return Ok(None) };
    let (id, secret) = (encoded(id.trim()), encoded(secret.trim()));
    if id.is_empty() || secret.is_empty() {
        return Err(Error::Target("its key must be an API key and a secret key with `:` between".to_owned()));
    }
    let path =
        format!("/oauth/2.0/token?grant_type=client_credentials&client_id={id}&client_secret={secret}");
    let mut request = http::Request::new(Bytes::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = target.uri(&path)?;
    request.headers_mut().insert(ACCEPT, JSON);
    request.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(Some(request))
}

/// The token.
///
/// # Errors
/// When the key is not known, or there is no token.
pub(super) fn read(body: &[u8]) -> Result<Granted, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    if let Some(refusal) = refused(&value) {
        return Err(refusal);
    }
    let token = value["access_token"].as_str().filter(|token| !token.is_empty());
    match (token, value["expires_in"].as_u64()) {
        (Some(token), Some(lives_s)) => Ok(Granted { token: token.to_owned(), lives_s }),
        (None, _) => Err(Refusal::nonsense("it has no `access_token`")),
        (_, None) => Err(Refusal::nonsense("it has no `expires_in`")),
    }
}

/// Why there is no token: `error` and `error_description`, or an error code as everywhere else.
pub(super) fn refused(value: &Value) -> Option<Refusal> {
    let Some(error) = value["error"].as_str() else { return errors::told(value) };
    let kind = match error {
        "invalid_client" | "invalid_grant" | "unauthorized_client" => FailureKind::Authentication,
        "temporarily_unavailable" => FailureKind::Unavailable,
        "server_error" => FailureKind::Server,
        _ => FailureKind::BadRequest,
    };
    let message = value["error_description"].as_str().unwrap_or(error);
    Some(Refusal::told(kind, error, message))
}
