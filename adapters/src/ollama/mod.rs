//! Ollama's interface, from both sides: what its clients send to `/api/chat`, `/api/generate` and `/api/embed`, and servers
//! that answer there.

mod answer;
mod ask;
mod dialect;
mod embed;
mod fields;
mod moment;
mod request;
mod stream;
mod write;

use bytes::Bytes;
use serde_json::{Value, json};

pub use dialect::{OLLAMA, Ollama};
pub use embed::Embed;

use crate::call::{Call, Error};
use crate::chat::{Answer, Ask};
use crate::client::{About, Client, Encoder};
use crate::openai::ErrorBody;
use answer::Shape;

/// The content type of streams.
pub const NDJSON: &str = "application/x-ndjson";

/// Clients of `/api/chat`.
pub struct Chat;

/// Clients of `/api/generate`.
pub struct Generate;

/// An error as Ollama's clients understand it.
pub(crate) fn error_body(error: &ErrorBody) -> Bytes {
    json!({ "error": error.message }).to_string().into()
}

/// The same as a line of a stream.
fn error_line(error: &ErrorBody) -> Bytes {
    format!("{}\n", json!({ "error": error.message })).into()
}

/// What is answered where nothing is asked: Ollama's clients load a model so before they need it, and unload it after.
/// Targets of other dialects hold their models themselves.
fn loaded(shape: Shape, call: &Call, ask: &Ask, about: &About) -> Option<Bytes> {
    if !ask.messages.is_empty() {
        return None;
    }
    let body: Value = serde_json::from_slice(&call.body).unwrap_or_default();
    let at_once = match &body["keep_alive"] {
        Value::Number(time) => time.as_f64() == Some(0.0),
        Value::String(time) => matches!(time.as_str(), "0" | "0s" | "0m" | "0h"),
        _ => false,
    };
    let reason = if at_once { "unload" } else { "load" };
    Some(answer::loaded(shape, &ask.model, about, reason).to_string().into())
}

impl Client for Chat {
    fn ask(&self, call: &Call) -> Result<Ask, Error> {
        ask::chat(&call.body)
    }

    fn local(&self, call: &Call, ask: &Ask, about: &About) -> Option<Bytes> {
        loaded(Shape::Chat, call, ask, about)
    }

    fn answer(&self, ask: &Ask, answer: &Answer, about: &About) -> Bytes {
        answer::answer(Shape::Chat, ask, answer, about).to_string().into()
    }

    fn encoder(&self, ask: &Ask, about: &About) -> Box<dyn Encoder> {
        Box::new(write::LineEncoder::new(Shape::Chat, ask, about))
    }

    fn error_event(&self, error: &ErrorBody) -> Bytes {
        error_line(error)
    }

    fn stream_type(&self) -> &'static str {
        NDJSON
    }
}

impl Client for Generate {
    fn ask(&self, call: &Call) -> Result<Ask, Error> {
        ask::generate(&call.body)
    }

    fn local(&self, call: &Call, ask: &Ask, about: &About) -> Option<Bytes> {
        loaded(Shape::Generate, call, ask, about)
    }

    fn answer(&self, ask: &Ask, answer: &Answer, about: &About) -> Bytes {
        answer::answer(Shape::Generate, ask, answer, about).to_string().into()
    }

    fn encoder(&self, ask: &Ask, about: &About) -> Box<dyn Encoder> {
        Box::new(write::LineEncoder::new(Shape::Generate, ask, about))
    }

    fn error_event(&self, error: &ErrorBody) -> Bytes {
        error_line(error)
    }

    fn stream_type(&self) -> &'static str {
        NDJSON
    }
}
