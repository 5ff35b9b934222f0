//! An answer in pieces for OpenAI's clients.

use std::collections::BTreeSet;

use bytes::BytesMut;
use serde_json::{Value, json};

use super::Chat;
use super::answer::{finish, id, logprobs, model, usage};
use crate::chat::{Ask, Delta, Event};
use crate::client::{About, Client, Encoder};
use crate::openai::DONE;
use crate::usage::Usage;

/// Writes chunks.
pub(super) struct ChunkEncoder {
    about: About,
    ask: Ask,
    id: String,
    model: String,
    usage: Option<Usage>,
    /// Choices whose role was told.
    begun: BTreeSet<u32>,
}

impl ChunkEncoder {
    pub(super) fn new(ask: &Ask, about: &About) -> Self {
        // Of the question only what chunks tell.
        let ask = Ask { model: ask.model.clone(), stream_usage: ask.stream_usage, ..Ask::default() };
        Self {
            id: id("", about),
            model: ask.model.clone(),
            about: about.clone(),
            ask,
            usage: None,
            begun: BTreeSet::new(),
        }
    }

    fn chunk(&self, choices: Value) -> Value {
        json!({
            "id": self.id,
            "object": "chat.completion.chunk",
            "created": self.about.now_s,
            "model": self.model,
            "choices": choices,
        })
    }

    fn choice(
        &mut self,
        choice: u32,
        mut delta: Value,
        tokens: Value,
        reason: Option<&str>,
        out: &mut BytesMut,
    ) {
        if self.begun.insert(choice) {
            let mut first = json!({ "role": "assistant", "content": "" });
            if let (Some(first), Some(delta)) = (first.as_object_mut(), delta.as_object_mut()) {
                first.append(delta);
            }
            delta = first;
        }
        let mut one = json!({ "index": choice, "delta": delta, "finish_reason": reason });
        if !tokens.is_null() {
            one["logprobs"] = json!({ "content": tokens, "refusal": null });
        }
        write(&self.chunk(json!([one])), out);
    }
}

fn write(value: &Value, out: &mut BytesMut) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(value.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

impl Encoder for ChunkEncoder {
    fn push(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Begin { id: of, model: by } => {
                self.id = id(of, &self.about);
                self.model = model(by, &self.ask).to_owned();
            }
            Event::Delta { choice, delta } => {
                let mut tokens = Value::Null;
                let piece = match delta {
                    Delta::Text(text) => json!({ "content": text }),
                    Delta::Thinking(text) => json!({ "reasoning_content": text }),
                    // Has no word in this protocol: thoughts cannot be sent back by it either.
                    Delta::Signature(_) => return,
                    Delta::Refusal(text) => json!({ "refusal": text }),
                    Delta::ToolCall { index, id, name } => json!({ "tool_calls": [{
                        "index": index,
                        "id": id,
                        "type": "function",
                        "function": { "name": name, "arguments": "" },
                    }] }),
                    Delta::Arguments { index, text } => {
                        json!({ "tool_calls": [{ "index": index, "function": { "arguments": text } }] })
                    }
                    Delta::Logprobs(told) => {
                        tokens = logprobs(told);
                        json!({})
                    }
                };
                self.choice(*choice, piece, tokens, None, out);
            }
            Event::Finish { choice, reason } => {
                self.choice(*choice, json!({}), Value::Null, Some(finish(reason)), out);
            }
            Event::Usage(told) => self.usage = Some(*told),
            Event::Error(error) => out.extend_from_slice(&Chat.error_event(error)),
            Event::Done => {
                if let (true, Some(told)) = (self.ask.stream_usage, &self.usage) {
                    let mut chunk = self.chunk(json!([]));
                    chunk["usage"] = usage(told);
                    write(&chunk, out);
                }
                out.extend_from_slice(DONE);
            }
        }
    }
}
