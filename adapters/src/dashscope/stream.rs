//! An answer in pieces of DashScope. Nothing but the last `finish_reason` marks its end, so it is complete when the stream
//! ended in order and every choice that began has ended.

use std::collections::BTreeMap;

use serde_json::Value;

use super::answer::{arguments, finish, reason, said, text, usage};
use super::errors;
use crate::chat::{Delta, Event};
use crate::dialect::{Decoder, Refusal};
use crate::frames::Sse;
use crate::openai::chat::logprobs;

/// Reads events.
#[derive(Default)]
pub(super) struct EventDecoder {
    sse: Sse,
    state: State,
}

#[derive(Default)]
struct State {
    begun: bool,
    over: bool,
    choices: BTreeMap<u32, Progress>,
}

#[derive(Default)]
struct Progress {
    finished: bool,
    /// By the provider's index.
    calls: BTreeMap<u64, Call>,
    /// Calls that were told.
    told: u32,
}

/// A call of a tool, which is told once its name is known.
#[derive(Default)]
struct Call {
    index: Option<u32>,
    id: String,
    /// Arguments that came before the name.
    waiting: String,
}

impl Decoder for EventDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let Self { sse, state } = self;
        sse.push(bytes, |name, data| state.event(name, data, out));
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        let state = &mut self.state;
        let ended = !state.choices.is_empty() && state.choices.values().all(|choice| choice.finished);
        if ended && !std::mem::replace(&mut state.over, true) {
            out.push(Event::Done);
        }
    }
}

impl State {
    fn event(&mut self, name: &str, data: &[u8], out: &mut Vec<Event>) {
        if self.over || data.is_empty() {
            return;
        }
        let Ok(value) = serde_json::from_slice::<Value>(data) else {
            return self.fail(Refusal::nonsense("an event is no JSON"), out);
        };
        let choices = value["output"]["choices"].as_array();
        let Some(choices) = choices.filter(|_| name != "error") else {
            let refusal = errors::told(&value, None);
            return self.fail(refusal.unwrap_or_else(|| Refusal::nonsense("an event has no `output`")), out);
        };
        if !std::mem::replace(&mut self.begun, true) {
            let id = value["request_id"].as_str().unwrap_or_default().to_owned();
            out.push(Event::Begin { id, model: String::new() });
        }
        for choice in choices {
            if let Err(refusal) = self.choice(choice, out) {
                return self.fail(refusal, out);
            }
        }
        out.extend(usage(&value["usage"]).map(Event::Usage));
    }

    fn fail(&mut self, refusal: Refusal, out: &mut Vec<Event>) {
        self.over = true;
        out.push(Event::Error(refusal.error));
    }

    fn choice(&mut self, value: &Value, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let choice = value["index"].as_u64().and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
        let progress = self.choices.entry(choice).or_default();
        let message = &value["message"];
        let mut tell = |delta| out.push(Event::Delta { choice, delta });
        if let Some(thoughts) = text(&message["reasoning_content"]) {
            tell(Delta::Thinking(thoughts.to_owned()));
        }
        let said = said(&message["content"]);
        if !said.is_empty() {
            tell(Delta::Text(said));
        }
        if let Some(tokens) = logprobs(&value["logprobs"]["content"]).filter(|tokens| !tokens.is_empty()) {
            tell(Delta::Logprobs(tokens));
        }
        for call in message["tool_calls"].as_array().into_iter().flatten() {
            progress.call(call, &mut tell);
        }
        if let Some(word) = reason(&value["finish_reason"])
            && !std::mem::replace(&mut progress.finished, true)
        {
            if progress.calls.values().any(|call| call.index.is_none()) {
                return Err(Refusal::nonsense("the call of a tool has no name"));
            }
            out.push(Event::Finish { choice, reason: finish(word, progress.told > 0) });
        }
        Ok(())
    }
}

impl Progress {
    fn call(&mut self, value: &Value, tell: &mut impl FnMut(Delta)) {
        let function = &value["function"];
        let key = value["index"].as_u64().unwrap_or(self.calls.len() as u64);
        let call = self.calls.entry(key).or_default();
        if let (true, Some(id)) = (call.id.is_empty(), text(&value["id"])) {
            call.id = id.to_owned();
        }
        let mut more = arguments(&function["arguments"]);
        if let (None, Some(name)) = (call.index, text(&function["name"])) {
            let index = self.told;
            self.told += 1;
            call.index = Some(index);
            let id = if call.id.is_empty() { format!("call_{index}") } else { call.id.clone() };
            tell(Delta::ToolCall { index, id, name: name.to_owned() });
            more.insert_str(0, &std::mem::take(&mut call.waiting));
        }
        match call.index {
            Some(index) if !more.is_empty() => tell(Delta::Arguments { index, text: more }),
            Some(_) => {}
            None => call.waiting.push_str(&more),
        }
    }
}
