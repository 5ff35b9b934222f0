//! An answer in pieces of a server that speaks OpenAI's dialect.

use std::collections::BTreeMap;

use serde_json::Value;

use super::read::{arguments, calls, ending, logprobs, unsaid_ending};
use crate::chat::{Delta, Event};
use crate::dialect::Decoder;
use crate::frames::Sse;
use crate::openai::{ErrorBody, read_error, usage_of};

/// Finds an error in what came as a success.
pub(super) type Fault = fn(&Value) -> Option<ErrorBody>;

/// Reads chunks.
#[derive(Default)]
pub(crate) struct ChunkDecoder {
    sse: Sse,
    state: State,
}

impl ChunkDecoder {
    /// Reads those of a server that tells errors in a way of its own.
    pub(crate) fn finding(fault: Option<Fault>) -> Self {
        Self { state: State { fault, ..State::default() }, ..Self::default() }
    }
}

#[derive(Default)]
struct State {
    fault: Option<Fault>,
    begun: bool,
    over: bool,
    /// By choice and the server's index of the call, its place among the choice's calls. Some servers leave the index out
    /// and send each call whole.
    calls: BTreeMap<(u32, u64), u32>,
    counts: BTreeMap<u32, u32>,
    /// Choices that were told of, and whether they said why they ended.
    ended: BTreeMap<u32, bool>,
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
            return self.done(out);
        }
        let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
        if let Some(error) = self.fault.and_then(|fault| fault(&value)) {
            self.over = true;
            return out.push(Event::Error(error));
        }
        if value["choices"].is_null()
            && let Some(error) = read_error(data)
        {
            self.over = true;
            return out.push(Event::Error(error));
        }
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let (id, choices, usage) = (text("id"), value["choices"].as_array(), usage_of(data));
        // Azure tells first what it thinks of the question; the answer and its id come after that.
        if id.is_empty() && choices.is_some_and(Vec::is_empty) && usage.is_none() {
            return;
        }
        if !std::mem::replace(&mut self.begun, true) {
            out.push(Event::Begin { id, model: text("model") });
        }
        for choice in choices.into_iter().flatten() {
            self.choice(choice, out);
        }
        out.extend(usage.map(Event::Usage));
    }

    /// The server has said all. Some do not say why a choice ended.
    fn done(&mut self, out: &mut Vec<Event>) {
        let open = self.ended.iter().filter(|(_, ended)| !**ended).map(|(choice, _)| *choice);
        out.extend(open.map(|choice| {
            let called = self.counts.get(&choice).is_some_and(|count| *count > 0);
            Event::Finish { choice, reason: unsaid_ending(called) }
        }));
        out.push(Event::Done);
    }

    fn choice(&mut self, value: &Value, out: &mut Vec<Event>) {
        let choice = value["index"].as_u64().and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
        self.ended.entry(choice).or_default();
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
        for call in calls(&piece["tool_calls"]) {
            self.call(choice, call, &mut tell);
        }
        if let Some(reason) = ending(value) {
            self.ended.insert(choice, true);
            out.push(Event::Finish { choice, reason });
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
