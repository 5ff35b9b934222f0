//! The messages that answer. The last one says so by its status, 2.

use serde_json::Value;

use super::errors;
use crate::chat::{Answer, Collector, Delta, Event, Finish};
use crate::dialect::{Decoder, Refusal};
use crate::frames::Lines;
use crate::usage::Usage;

/// By which a last message is known.
const LAST: u64 = 2;

/// Reads all messages of an exchange.
///
/// # Errors
/// When one of them is an error, or the last one is not among them.
pub(super) fn decode(body: &[u8]) -> Result<Answer, Refusal> {
    let (mut lines, mut state) = (Lines::default(), State::default());
    let (mut events, mut refused) = (Vec::new(), None);
    let mut read = |line: &[u8]| {
        if let Err(refusal) = state.message(line, &mut events) {
            refused.get_or_insert(refusal);
        }
    };
    lines.push(body, &mut read);
    lines.finish(&mut read);
    if let Some(refusal) = refused {
        return Err(refusal);
    }
    let mut whole = Collector::default();
    events.into_iter().for_each(|event| whole.push(event));
    match whole.finish() {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(_)) | None => Err(Refusal::nonsense("its last message is missing")),
    }
}

/// Reads messages, each on a line.
#[derive(Default)]
pub(super) struct MessageDecoder {
    lines: Lines,
    state: State,
}

#[derive(Default)]
struct State {
    begun: bool,
    over: bool,
    called: bool,
}

impl Decoder for MessageDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let Self { lines, state } = self;
        lines.push(bytes, |line| {
            if let Err(refusal) = state.message(line, out) {
                out.push(Event::Error(refusal.error));
            }
        });
    }
}

impl State {
    /// A message; after the last one and after an error there is none.
    fn message(&mut self, line: &[u8], out: &mut Vec<Event>) -> Result<(), Refusal> {
        if self.over {
            return Ok(());
        }
        let told = self.read(line, out);
        self.over |= told.is_err();
        told
    }

    fn read(&mut self, line: &[u8], out: &mut Vec<Event>) -> Result<(), Refusal> {
        let value: Value =
            serde_json::from_slice(line).map_err(|_| Refusal::nonsense("a message is no JSON"))?;
        if let Some(refusal) = errors::told(&value) {
            return Err(refusal);
        }
        let (header, payload) = (&value["header"], &value["payload"]);
        if header["code"].as_i64() != Some(0) {
            return Err(Refusal::nonsense("a message has no `header.code`"));
        }
        let id = header["sid"].as_str().unwrap_or_default();
        if !std::mem::replace(&mut self.begun, true) {
            out.push(Event::Begin { id: id.to_owned(), model: String::new() });
        }
        let choices = &payload["choices"];
        let texts = choices["text"].as_array();
        for text in texts.into_iter().flatten() {
            self.text(text, id, out)?;
        }
        let usage = usage(&payload["usage"]["text"]);
        if choices["status"].as_u64() != Some(LAST) && header["status"].as_u64() != Some(LAST) {
            out.extend(usage.map(Event::Usage));
            return Ok(());
        }
        if texts.is_none() {
            return Err(Refusal::nonsense("its last message has no `payload.choices.text`"));
        }
        let reason = if self.called { Finish::Tools } else { Finish::Stop };
        out.push(Event::Finish { choice: 0, reason });
        out.extend(usage.map(Event::Usage));
        out.push(Event::Done);
        self.over = true;
        Ok(())
    }

    fn text(&mut self, value: &Value, id: &str, out: &mut Vec<Event>) -> Result<(), Refusal> {
        let mut tell = |delta| out.push(Event::Delta { choice: 0, delta });
        let text = |name: &str| value[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        if let Some(thoughts) = text("reasoning_content") {
            tell(Delta::Thinking(thoughts));
        }
        if let Some(said) = text("content") {
            tell(Delta::Text(said));
        }
        let call = &value["function_call"];
        if call.is_null() || std::mem::replace(&mut self.called, true) {
            return Ok(());
        }
        let Some(name) = call["name"].as_str().filter(|name| !name.is_empty()) else {
            return Err(Refusal::nonsense("a `function_call` has no name"));
        };
        // Calls have no id of their own.
        let id = format!("call_{}", if id.is_empty() { "0" } else { id });
        tell(Delta::ToolCall { index: 0, id, name: name.to_owned() });
        let arguments = match &call["arguments"] {
            Value::String(text) => text.clone(),
            Value::Null => String::new(),
            other => other.to_string(),
        };
        if !arguments.is_empty() {
            tell(Delta::Arguments { index: 0, text: arguments });
        }
        Ok(())
    }
}

fn usage(value: &Value) -> Option<Usage> {
    let number = |name: &str| value[name].as_u64();
    Some(Usage::of(number("prompt_tokens")?, number("completion_tokens").unwrap_or(0)))
}
