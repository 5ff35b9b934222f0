//! An answer in pieces of a server that speaks OpenAI's dialect.

use std::collections::BTreeMap;

use serde_json::Value;

use super::read::{arguments, finish, logprobs};
use crate::chat::{Delta, Event};
use crate::dialect::Decoder;
use crate::frames::Sse;
use crate::openai::{read_error, usage_of};

/// Reads chunks.
#[derive(Default)]
pub(crate) struct ChunkDecoder {
    sse: Sse,
    state: State,
}

#[derive(Default)]
struct State {
    begun: bool,
    over: bool,
    /// By choice and the server's index of the call, its place among the choice's calls. Some servers leave the index out
    /// and send each call whole.
    calls: BTreeMap<(u32, u64), u32>,
    counts: BTreeMap<u32, u32>,
}

impl Decoder for ChunkDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let Self { sse, state } = self;
        sse.push(bytes, |_, data| state.event(data, out));
    }
}

impl State {
    fn event(&mut self, data: &[u8], out: &mut Vec<Event>) {
        if self.over || data.is_empty() {
            return;
        }
        if data == b"[DONE]" {
            self.over = true;
            return out.push(Event::Done);
        }
        let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
        if value["choices"].is_null()
            && let Some(error) = read_error(data)
        {
            self.over = true;
            return out.push(Event::Error(error));
        }
        if !std::mem::replace(&mut self.begun, true) {
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            out.push(Event::Begin { id: text("id"), model: text("model") });
        }
        for choice in value["choices"].as_array().into_iter().flatten() {
            self.choice(choice, out);
        }
        out.extend(usage_of(data).map(Event::Usage));
    }

    fn choice(&mut self, value: &Value, out: &mut Vec<Event>) {
        let choice = value["index"].as_u64().and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
        let piece = &value["delta"];
        let text = |name: &str| piece[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        let mut tell = |delta| out.push(Event::Delta { choice, delta });
        if let Some(text) = text("reasoning_content").or_else(|| text("reasoning")) {
            tell(Delta::Thinking(text));
        }
        if let Some(text) = text("content") {
            tell(Delta::Text(text));
        }
        if let Some(text) = text("refusal") {
            tell(Delta::Refusal(text));
        }
        if let Some(tokens) = logprobs(&value["logprobs"]["content"]).filter(|tokens| !tokens.is_empty()) {
            tell(Delta::Logprobs(tokens));
        }
        for call in piece["tool_calls"].as_array().into_iter().flatten() {
            self.call(choice, call, &mut tell);
        }
        if let Some(word) = value["finish_reason"].as_str().filter(|word| !word.is_empty()) {
            out.push(Event::Finish { choice, reason: finish(word) });
        }
    }

    fn call(&mut self, choice: u32, value: &Value, tell: &mut impl FnMut(Delta)) {
        let function = &value["function"];
        let count = self.counts.entry(choice).or_default();
        let key = (choice, value["index"].as_u64().unwrap_or(u64::from(*count)));
        let index = *self.calls.entry(key).or_insert_with(|| {
            let index = *count;
            *count += 1;
            let id = value["id"].as_str().filter(|id| !id.is_empty());
            let id = id.map_or_else(|| format!("call_{index}"), str::to_owned);
            let name = function["name"].as_str().unwrap_or_default().to_owned();
            tell(Delta::ToolCall { index, id, name });
            index
        });
        let text = arguments(&function["arguments"]);
        if !text.is_empty() {
            tell(Delta::Arguments { index, text });
        }
    }
}
