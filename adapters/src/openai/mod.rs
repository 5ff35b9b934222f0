//! OpenAI's dialect, spoken by providers and by engines alike. Bodies pass through as they are; only the model's name is
//! replaced where the target calls it differently.

pub mod chat;
mod classify;
pub mod compatible;
mod completions;
mod embeddings;
mod error_body;
pub mod media;
mod models;
mod rule;
mod stream;
mod tail;
mod thinking;
mod usage;

pub use chat::Chat;
pub use classify::classify;
pub(crate) use classify::retry_after;
pub use compatible::{COMPATIBLE, OPENAI, Profile};
pub use completions::Completions;
pub use embeddings::Embeddings;
pub(crate) use embeddings::{body as embed_body, read as embedded};
pub use error_body::{ErrorBody, error_body, error_event, read_error};
pub use rule::Rule;
pub use stream::{DONE, Decoder, EVENT_LEN_MAX, Ending, Event, complete_len};
pub use tail::Tail;
pub use thinking::Thinking;
pub use usage::usage_of;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method};

use crate::call::{Call, Error, HttpRequest, Operation, Target};

/// The content type of streams.
pub const EVENT_STREAM: &str = "text/event-stream";

/// The request that puts a call to a target.
pub fn encode(call: &Call, target: &Target<'_>) -> Result<HttpRequest, Error> {
    encode_body(call.operation, call.stream, call.body_for(target.model), target)
}

/// The same for a body that was understood before, on another node; it is sent as it is.
pub fn encode_body(
    operation: Operation,
    stream: bool,
    body: Bytes,
    target: &Target<'_>,
) -> Result<HttpRequest, Error> {
    let mut request = http::Request::new(body);
    *request.uri_mut() = target.uri(below_v1(operation))?;
    let headers = request.headers_mut();
    headers.reserve(4);
    if let Some(bearer) = target.secret {
        headers.insert(AUTHORIZATION, bearer_value(bearer)?);
    }
    let accept = if stream { EVENT_STREAM } else { "application/json" };
    headers.insert(ACCEPT, HeaderValue::from_static(accept));
    if operation != Operation::Models {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        *request.method_mut() = Method::POST;
    }
    Ok(request)
}

/// An operation's path below a base URL, which usually ends in `/v1`.
fn below_v1(operation: Operation) -> &'static str {
    let path = operation.path();
    path.strip_prefix("/v1").unwrap_or(path)
}

/// `Bearer …`, marked as a secret.
pub(crate) fn bearer_value(bearer: &str) -> Result<HeaderValue, Error> {
    let mut text = String::with_capacity(7 + bearer.len());
    text.push_str("Bearer ");
    text.push_str(bearer);
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| Error::Target("its API key has characters that a header cannot carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_becomes_a_request_with_the_same_body() {
        let body = Bytes::from_static(br#"{"model":"m","messages":[],"stream":true,"unknown":1}"#);
        let call = Call::parse(Operation::Chat, body.clone()).unwrap();
        let target = Target { secret: Some("k"), ..Target::at("https://api.example.com/v1/") };
        let request = encode(&call, &target).unwrap();
        assert_eq!(request.uri(), "https://api.example.com/v1/chat/completions");
        assert_eq!(request.method(), Method::POST);
        assert_eq!(request.headers()[AUTHORIZATION], "Bearer k");
        assert!(request.headers()[AUTHORIZATION].is_sensitive());
        assert_eq!(request.headers()[ACCEPT], EVENT_STREAM);
        assert_eq!(request.body(), &body);
    }

    #[test]
    fn the_list_of_models_is_a_get() {
        let target = Target::at("http://127.0.0.1:1/v1");
        let request = encode(&Call::models(), &target).unwrap();
        assert_eq!(request.method(), Method::GET);
        assert_eq!(request.uri().path(), "/v1/models");
        assert!(request.body().is_empty());
    }

    #[test]
    fn a_bad_address_or_key_is_told() {
        let call = Call::models();
        assert!(encode(&call, &Target::at("http://a b")).is_err());
        let error = encode(&call, &Target { secret: Some("k\n"), ..Target::at("http://a") }).unwrap_err();
        assert!(!error.to_string().contains("k\n"));
    }
}
