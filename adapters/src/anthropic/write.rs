//! An answer in pieces for Anthropic's clients.

use std::collections::BTreeMap;

use bytes::BytesMut;
use serde_json::{Value, json};

use super::answer::{Ending, id, model, thinking, usage};
use super::{REDACTED, errors};
use crate::chat::{Ask, Delta, Event};
use crate::client::{About, Encoder};
use crate::usage::Usage;

/// Writes events.
pub(super) struct MessageEncoder {
    about: About,
    ask: Ask,
    id: String,
    model: String,
    usage: Usage,
    /// Whether the message was announced. That waits for the first piece: what the question used may come before it.
    begun: bool,
    open: Option<Open>,
    /// The index of the next block.
    next: u64,
    /// Blocks by the index of their call.
    calls: BTreeMap<u32, u64>,
    ending: Ending,
}

/// The block that is being written.
enum Open {
    Text,
    Thinking {
        /// Comes whole before the end of its block: clients keep only the last one that they are told.
        signature: String,
    },
    /// Thoughts of which no word was told yet, nor that there are any.
    Unsaid {
        signature: String,
    },
    Call,
}

impl MessageEncoder {
    pub(super) fn new(ask: &Ask, about: &About) -> Self {
        // Of the question only what events tell.
        let ask = Ask { model: ask.model.clone(), ..Ask::default() };
        Self {
            id: id("", about),
            model: ask.model.clone(),
            about: about.clone(),
            ask,
            usage: Usage::default(),
            begun: false,
            open: None,
            next: 0,
            calls: BTreeMap::new(),
            ending: Ending::default(),
        }
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if std::mem::replace(&mut self.begun, true) {
            return;
        }
        let message = json!({
            "id": self.id,
            "type": "message",
            "role": "assistant",
            "model": self.model,
            "content": [],
            "stop_reason": null,
            "stop_sequence": null,
            "usage": usage(&self.usage),
        });
        write(&json!({ "type": "message_start", "message": message }), out);
    }

    /// Begins a block, after ending the one before.
    fn start(&mut self, block: Value, open: Open, out: &mut BytesMut) {
        self.close(out);
        write(&json!({ "type": "content_block_start", "index": self.next, "content_block": block }), out);
        self.open = Some(open);
        self.next += 1;
    }

    /// A piece of the block that is being written.
    fn piece(&self, delta: Value, out: &mut BytesMut) {
        write(&delta_of(self.next.saturating_sub(1), delta), out);
    }

    fn close(&mut self, out: &mut BytesMut) {
        match self.open.take() {
            None => return,
            Some(Open::Text | Open::Call) => {}
            Some(Open::Thinking { signature }) => self.sign(&signature, out),
            Some(Open::Unsaid { signature }) if signature.starts_with(REDACTED) => {
                self.start(thinking("", &signature), Open::Text, out);
                self.open = None;
            }
            Some(Open::Unsaid { signature }) => {
                self.start(thinking("", ""), Open::Text, out);
                self.open = None;
                self.sign(&signature, out);
            }
        }
        write(&json!({ "type": "content_block_stop", "index": self.next.saturating_sub(1) }), out);
    }

    fn sign(&self, signature: &str, out: &mut BytesMut) {
        if !signature.is_empty() {
            self.piece(json!({ "type": "signature_delta", "signature": signature }), out);
        }
    }

    fn think(&mut self, text: &str, out: &mut BytesMut) {
        // A signature ends the thoughts before it.
        let signed = match &self.open {
            Some(Open::Thinking { signature }) => !signature.is_empty(),
            Some(Open::Unsaid { .. }) => true,
            _ => false,
        };
        if signed {
            self.close(out);
        }
        if text.is_empty() {
            return;
        }
        if !matches!(self.open, Some(Open::Thinking { .. })) {
            self.start(thinking("", ""), Open::Thinking { signature: String::new() }, out);
        }
        self.piece(json!({ "type": "thinking_delta", "thinking": text }), out);
    }

    fn delta(&mut self, delta: &Delta, out: &mut BytesMut) {
        match delta {
            Delta::Text(text) => {
                if !matches!(self.open, Some(Open::Text)) {
                    self.start(json!({ "type": "text", "text": "" }), Open::Text, out);
                }
                self.piece(json!({ "type": "text_delta", "text": text }), out);
            }
            Delta::Thinking(text) => self.think(text, out),
            Delta::Signature(more) => match &mut self.open {
                Some(Open::Thinking { signature } | Open::Unsaid { signature }) => signature.push_str(more),
                _ => {
                    self.close(out);
                    self.open = Some(Open::Unsaid { signature: more.clone() });
                }
            },
            Delta::Refusal(why) => self.ending.refusal.get_or_insert_default().push_str(why),
            Delta::ToolCall { index, id, name } => {
                self.ending.calls = true;
                let block = json!({ "type": "tool_use", "id": id, "name": name, "input": {} });
                self.start(block, Open::Call, out);
                self.calls.insert(*index, self.next.saturating_sub(1));
            }
            // Goes to its own block by index, also where a server writes several calls at a time.
            Delta::Arguments { index, text } => {
                if let Some(block) = self.calls.get(index) {
                    let piece = json!({ "type": "input_json_delta", "partial_json": text });
                    write(&delta_of(*block, piece), out);
                }
            }
            // Has no word in this protocol, and cannot be asked for by it.
            Delta::Logprobs(_) => {}
        }
    }

    fn end(&mut self, out: &mut BytesMut) {
        self.begin(out);
        self.close(out);
        let mut delta = json!({});
        self.ending.tell(&mut delta);
        let usage = usage(&self.usage);
        write(&json!({ "type": "message_delta", "delta": delta, "usage": usage }), out);
        write(&json!({ "type": "message_stop" }), out);
    }
}

fn delta_of(index: u64, delta: Value) -> Value {
    json!({ "type": "content_block_delta", "index": index, "delta": delta })
}

/// One event; its name is the type of its data.
fn write(value: &Value, out: &mut BytesMut) {
    let name = value["type"].as_str().unwrap_or_default();
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(value.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

impl Encoder for MessageEncoder {
    fn push(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Begin { id: of, model: by } => {
                self.id = id(of, &self.about);
                self.model = model(by, &self.ask).to_owned();
            }
            Event::Usage(told) => self.usage = *told,
            Event::Delta { choice: 0, delta } => {
                self.begin(out);
                self.delta(delta, out);
            }
            Event::Finish { choice: 0, reason } => {
                self.begin(out);
                self.close(out);
                self.ending.finish = Some(reason.clone());
            }
            // This protocol knows one choice.
            Event::Delta { .. } | Event::Finish { .. } => {}
            Event::Error(error) => out.extend_from_slice(&errors::error_event(error)),
            Event::Done => self.end(out),
        }
    }
}
