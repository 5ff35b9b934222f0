//! Answers, pieces of answers and errors in envelopes.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use crate::chat::{Answer, Ask, Event, Finish, Part};
use crate::client::{About, Client, Encoder};
use crate::openai::{Chat, DONE, ErrorBody};

/// The status of an error in the middle of a stream: its beginning was a success.
const STREAM_ERROR: u16 = 500;

/// A whole answer.
pub(super) fn answer(ask: &Ask, answer: &Answer, about: &About) -> Value {
    let choice = answer.choices.first();
    let texts = choice.into_iter().flat_map(|choice| &choice.parts).map(|part| match part {
        Part::Text(text) | Part::Refusal(text) => text.as_str(),
        _ => "",
    });
    let result: String = texts.collect();
    let usage = answer.usage.map(|usage| {
        json!({
            "prompt_tokens": usage.prompt_tokens,
            "completion_tokens": usage.completion_tokens,
            "total_tokens": usage.total(),
        })
    });
    let data = json!({
        "result": result,
        "finish_reason": choice.map(|choice| finish(&choice.finish)),
        "model_info": { "name": ask.model, "provider": null, "version": version(ask, answer) },
        "usage": usage,
    });
    json!({
        "code": 200,
        "message": "success",
        "data": data,
        "request_id": request_id(ask, about),
        "timestamp": about.now_s,
    })
}

/// What the client called the question, or a name of our own.
fn request_id(ask: &Ask, about: &About) -> Value {
    ask.echoed("request_id").cloned().unwrap_or_else(|| about.id.as_str().into())
}

/// The version that a provider tells as part of a model's name: `0613` of `gpt-4-0613`, where `gpt-4` was asked for.
fn version<'a>(ask: &Ask, answer: &'a Answer) -> Option<&'a str> {
    let version = answer.model.strip_prefix(ask.model.as_str())?.strip_prefix(['-', ':', '@'])?;
    version.starts_with(|letter: char| letter.is_ascii_digit()).then_some(version)
}

/// Why it ended, in OpenAI's words.
fn finish(reason: &Finish) -> &'static str {
    match reason {
        Finish::Stop | Finish::StopText(_) | Finish::Tools => "stop",
        Finish::Length => "length",
        Finish::Filtered => "content_filter",
    }
}

/// An error: its status, what is wrong, and where programs look, OpenAI's words for it.
fn error_value(status: u16, error: &ErrorBody, request_id: Option<&Value>) -> Value {
    let kind = error.kind.as_deref().unwrap_or("server_error");
    let mut out = json!({
        "code": status,
        "message": error.message,
        "data": null,
        "error": { "type": kind, "param": error.param, "code": error.code },
    });
    if let Some(id) = request_id {
        out["request_id"] = id.clone();
    }
    out
}

/// An error as a body.
pub(crate) fn error(status: u16, error: &ErrorBody) -> Bytes {
    Bytes::from(error_value(status, error, None).to_string())
}

/// An error as an event of a stream.
pub(super) fn error_event(error: &ErrorBody, request_id: Option<&Value>) -> Bytes {
    Bytes::from(format!("data: {}\n\n", error_value(STREAM_ERROR, error, request_id)))
}

/// Puts each chunk of OpenAI's chats into an envelope.
pub(super) struct EnvelopeEncoder {
    chunks: Box<dyn Encoder>,
    buffer: BytesMut,
    request_id: Value,
    now_s: u64,
}

impl EnvelopeEncoder {
    pub(super) fn new(ask: &Ask, about: &About) -> Self {
        Self {
            chunks: Chat.encoder(ask, about),
            buffer: BytesMut::new(),
            request_id: request_id(ask, about),
            now_s: about.now_s,
        }
    }
}

impl Encoder for EnvelopeEncoder {
    fn push(&mut self, event: &Event, out: &mut BytesMut) {
        if let Event::Error(error) = event {
            out.extend_from_slice(&error_event(error, Some(&self.request_id)));
            return;
        }
        self.chunks.push(event, &mut self.buffer);
        let Self { buffer, request_id, now_s, .. } = self;
        // A chunk is one line.
        for line in buffer.as_ref().split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            match line.strip_prefix(b"data: ") {
                Some(chunk) if chunk != b"[DONE]" => {
                    out.extend_from_slice(b"data: {\"code\":200,\"message\":\"success\",\"data\":");
                    out.extend_from_slice(chunk);
                    let rest = format!(",\"request_id\":{request_id},\"timestamp\":{now_s}}}\n\n");
                    out.extend_from_slice(rest.as_bytes());
                }
                _ => out.extend_from_slice(DONE),
            }
        }
        buffer.clear();
    }
}
