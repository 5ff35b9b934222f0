//! The shape of errors, as body and as an event inside a stream.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// An error as OpenAI's clients understand it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// What is wrong and what to do.
    #[serde(default)]
    pub message: String,
    /// Its family, e.g. `invalid_request_error`.
    #[serde(rename = "type", default)]
    pub kind: Option<String>,
    /// The request's field that is to blame.
    #[serde(default)]
    pub param: Option<String>,
    /// What programs should look at.
    #[serde(default, deserialize_with = "text_or_number")]
    pub code: Option<String>,
}

impl ErrorBody {
    /// The error of a server that did not say what is wrong.
    pub fn untold(status: u16) -> Self {
        let message = format!(
            "the model's server answered {status} without saying why: try again, or look at its logs"
        );
        let kind = if (400..500).contains(&status) { "invalid_request_error" } else { "server_error" };
        let (kind, code) = (Some(kind.to_owned()), Some("upstream_error".to_owned()));
        Self { message, kind, param: None, code }
    }
}

#[derive(Serialize, Deserialize)]
struct Envelope<T> {
    error: T,
}

/// Some servers send a number as code.
fn text_or_number<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    Ok(match Option::<serde_json::Value>::deserialize(deserializer)? {
        Some(serde_json::Value::String(text)) => Some(text),
        Some(serde_json::Value::Number(number)) => Some(number.to_string()),
        _ => None,
    })
}

/// `{"error":{"message","type","param","code"}}`
pub fn error_body(message: &str, kind: &str, param: Option<&str>, code: Option<&str>) -> Bytes {
    let error = serde_json::json!({ "message": message, "type": kind, "param": param, "code": code });
    Bytes::from(serde_json::json!({ "error": error }).to_string())
}

/// The same as one event of a stream.
pub fn error_event(message: &str, kind: &str, code: &str) -> Bytes {
    let error = serde_json::json!({ "message": message, "type": kind, "param": null, "code": code });
    Bytes::from(format!("data: {}\n\n", serde_json::json!({ "error": error })))
}

/// Reads an error out of a body or an event's data; also the forms `{"error":"text"}` and `{"message":"text"}`, the latter
/// with or without `code` and `type`.
pub fn read_error(body: &[u8]) -> Option<ErrorBody> {
    if let Ok(envelope) = serde_json::from_slice::<Envelope<ErrorBody>>(body) {
        return Some(envelope.error);
    }
    let plain = |message| ErrorBody { message, kind: None, param: None, code: None };
    if let Ok(envelope) = serde_json::from_slice::<Envelope<String>>(body) {
        return Some(plain(envelope.error));
    }
    #[derive(Deserialize)]
    struct Bare {
        message: String,
        #[serde(rename = "type", default)]
        kind: Option<String>,
        #[serde(default, deserialize_with = "text_or_number")]
        code: Option<String>,
    }
    let bare = serde_json::from_slice::<Bare>(body).ok()?;
    Some(ErrorBody { message: bare.message, kind: bare.kind, param: None, code: bare.code })
}
