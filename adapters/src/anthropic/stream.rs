//! An answer of Anthropic's in pieces.

use std::collections::BTreeMap;

use serde_json::Value;

use super::REDACTED;
use super::read::{Told, arguments, finish, refusal};
use crate::chat::{Delta, Event};
use crate::dialect::Decoder;
use crate::frames::Sse;
use crate::openai::{ErrorBody, read_error};

/// Reads events.
#[derive(Default)]
pub(super) struct MessageDecoder {
    sse: Sse,
    state: State,
}

#[derive(Default)]
struct State {
    begun: bool,
    /// Whether it told why it ends; without that it is not complete.
    finished: bool,
    over: bool,
    told: Told,
    /// Calls by the index of their block.
    calls: BTreeMap<u64, u32>,
    /// The block whose signature was the last thing told.
    signed: Option<u64>,
}

impl Decoder for MessageDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let Self { sse, state } = self;
        sse.push(bytes, |_, data| state.event(data, out));
    }
}

impl State {
    fn event(&mut self, data: &[u8], out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
        let kind = value["type"].as_str().unwrap_or_default();
        if kind == "error" || kind.is_empty() && !value["error"].is_null() {
            self.over = true;
            return out.push(Event::Error(error(data)));
        }
        if kind == "message_start" {
            self.begin(&value["message"], out);
        }
        if !self.begun {
            return;
        }
        match kind {
            "content_block_start" => self.start(&value, out),
            "content_block_delta" => self.delta(&value, out),
            "message_delta" => self.change(&value, out),
            "message_stop" => {
                self.over = true;
                out.extend(self.finished.then_some(Event::Done));
            }
            // Signs of life, ends of blocks, and what may come some day.
            _ => {}
        }
    }

    fn begin(&mut self, message: &Value, out: &mut Vec<Event>) {
        if !message.is_object() || std::mem::replace(&mut self.begun, true) {
            return;
        }
        let text = |name: &str| message[name].as_str().unwrap_or_default().to_owned();
        out.push(Event::Begin { id: text("id"), model: text("model") });
        out.extend(self.told.with(&message["usage"]).map(Event::Usage));
    }

    fn start(&mut self, value: &Value, out: &mut Vec<Event>) {
        let index = value["index"].as_u64().unwrap_or_default();
        let block = &value["content_block"];
        let text = |name: &str| block[name].as_str().unwrap_or_default().to_owned();
        match block["type"].as_str().unwrap_or_default() {
            "text" => self.tell(Delta::Text(text("text")), out),
            "thinking" => {
                self.tell(Delta::Thinking(text("thinking")), out);
                self.sign(index, text("signature"), out);
            }
            "redacted_thinking" => self.sign(index, format!("{REDACTED}{}", text("data")), out),
            "tool_use" => {
                let call = u32::try_from(self.calls.len()).unwrap_or(u32::MAX);
                self.calls.insert(index, call);
                let id =
                    Some(text("id")).filter(|id| !id.is_empty()).unwrap_or_else(|| format!("toolu_{call}"));
                self.tell(Delta::ToolCall { index: call, id, name: text("name") }, out);
                // Comes in pieces as documented; some servers give it whole.
                if block["input"].as_object().is_some_and(|input| !input.is_empty()) {
                    self.tell(Delta::Arguments { index: call, text: arguments(&block["input"]) }, out);
                }
            }
            _ => {}
        }
    }

    fn delta(&mut self, value: &Value, out: &mut Vec<Event>) {
        let index = value["index"].as_u64().unwrap_or_default();
        let piece = &value["delta"];
        let text = |name: &str| piece[name].as_str().unwrap_or_default().to_owned();
        match piece["type"].as_str().unwrap_or_default() {
            "text_delta" => self.tell(Delta::Text(text("text")), out),
            "thinking_delta" => self.tell(Delta::Thinking(text("thinking")), out),
            "signature_delta" => self.sign(index, text("signature"), out),
            "input_json_delta" => {
                if let Some(call) = self.calls.get(&index).copied() {
                    self.tell(Delta::Arguments { index: call, text: text("partial_json") }, out);
                }
            }
            _ => {}
        }
    }

    fn change(&mut self, value: &Value, out: &mut Vec<Event>) {
        let delta = &value["delta"];
        if let Some(word) = delta["stop_reason"].as_str() {
            self.finished = true;
            if let Some(why) = refusal(delta) {
                self.tell(Delta::Refusal(why), out);
            }
            out.push(Event::Finish { choice: 0, reason: finish(word, &delta["stop_sequence"]) });
        }
        if !value["usage"].is_null() {
            out.extend(self.told.with(&value["usage"]).map(Event::Usage));
        }
    }

    /// Tells a piece that says something.
    fn tell(&mut self, delta: Delta, out: &mut Vec<Event>) {
        let says = match &delta {
            Delta::Text(text) | Delta::Thinking(text) | Delta::Arguments { text, .. } => !text.is_empty(),
            _ => true,
        };
        if says {
            self.signed = None;
            out.push(Event::Delta { choice: 0, delta });
        }
    }

    /// Tells a signature. Thoughts of another block that come right after need a border, or their signatures run together.
    fn sign(&mut self, index: u64, signature: String, out: &mut Vec<Event>) {
        if signature.is_empty() {
            return;
        }
        if self.signed.is_some_and(|last| last != index) {
            out.push(Event::Delta { choice: 0, delta: Delta::Thinking(String::new()) });
        }
        self.signed = Some(index);
        out.push(Event::Delta { choice: 0, delta: Delta::Signature(signature) });
    }
}

fn error(data: &[u8]) -> ErrorBody {
    read_error(data).unwrap_or_else(|| ErrorBody {
        message: "the model's server gave up without saying why: try again".to_owned(),
        kind: Some("api_error".to_owned()),
        param: None,
        code: None,
    })
}
