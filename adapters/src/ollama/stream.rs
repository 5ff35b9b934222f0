//! Answers of a server that speaks as Ollama does. A whole answer is a stream of one line.

use serde_json::Value;

use crate::chat::{Answer, Collector, Delta, Event, Finish, TokenLogprob, TopLogprob};
use crate::dialect::{Decoder, Refusal};
use crate::failure::FailureKind;
use crate::frames::Lines;
use crate::openai::{ErrorBody, read_error};
use crate::usage::Usage;

/// Reads lines, of `/api/chat` and of `/api/generate`.
#[derive(Default)]
pub(super) struct LineDecoder {
    lines: Lines,
    state: State,
}

#[derive(Default)]
struct State {
    begun: bool,
    over: bool,
    calls: u32,
}

impl Decoder for LineDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let Self { lines, state } = self;
        lines.push(bytes, |line| match serde_json::from_slice(line) {
            Ok(value) => state.line(&value, out),
            Err(error) => state.fail(&format!("a line is no JSON: {error}"), out),
        });
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        let Self { lines, state } = self;
        // What is no JSON at the end was cut.
        lines.finish(|line| {
            if let Ok(value) = serde_json::from_slice(line) {
                state.line(&value, out);
            }
        });
    }
}

impl State {
    fn line(&mut self, value: &Value, out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        if let Some(error) = error(value) {
            self.over = true;
            return out.push(Event::Error(error));
        }
        let message = &value["message"];
        let done = value["done"].as_bool() == Some(true);
        if !done && !message.is_object() && !value["response"].is_string() {
            return self.fail("it has neither `message` nor `response`", out);
        }
        if !std::mem::replace(&mut self.begun, true) {
            let model = value["model"].as_str().unwrap_or_default().to_owned();
            out.push(Event::Begin { id: String::new(), model });
        }
        let mut tell = |delta| out.push(Event::Delta { choice: 0, delta });
        let text = |name: &str, top: &str| {
            let text = message[name].as_str().or_else(|| value[top].as_str());
            text.filter(|text| !text.is_empty()).map(str::to_owned)
        };
        if let Some(thoughts) = text("thinking", "thinking") {
            tell(Delta::Thinking(thoughts));
        }
        if let Some(text) = text("content", "response") {
            tell(Delta::Text(text));
        }
        if let Some(tokens) = logprobs(&value["logprobs"]).filter(|tokens| !tokens.is_empty()) {
            tell(Delta::Logprobs(tokens));
        }
        let calls = message["tool_calls"].as_array().or_else(|| value["tool_calls"].as_array());
        for call in calls.into_iter().flatten() {
            if !self.call(call, &value["created_at"], &mut tell) {
                return self.fail("a call names no tool", out);
            }
        }
        if done {
            self.over = true;
            out.push(Event::Finish { choice: 0, reason: self.finish(&value["done_reason"]) });
            out.extend(usage(value).map(Event::Usage));
            out.push(Event::Done);
        }
    }

    /// A call, which comes whole.
    fn call(&mut self, value: &Value, at: &Value, tell: &mut impl FnMut(Delta)) -> bool {
        let function = &value["function"];
        let Some(name) = function["name"].as_str().filter(|name| !name.is_empty()) else { return false };
        let index = self.calls;
        self.calls = self.calls.saturating_add(1);
        let id = match value["id"].as_str() {
            Some(id) if !id.is_empty() => id.to_owned(),
            _ => made_id(at.as_str().unwrap_or_default(), index),
        };
        tell(Delta::ToolCall { index, id, name: name.to_owned() });
        let text = match &function["arguments"] {
            Value::Null => return true,
            // Some servers send text.
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        tell(Delta::Arguments { index, text });
        true
    }

    fn finish(&self, reason: &Value) -> Finish {
        match reason.as_str() {
            Some("length") => Finish::Length,
            Some("content_filter") => Finish::Filtered,
            _ if self.calls > 0 => Finish::Tools,
            _ => Finish::Stop,
        }
    }

    fn fail(&mut self, what: &str, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.over, true) {
            out.push(Event::Error(Refusal::nonsense(what).error));
        }
    }
}

/// An id for a call that came without one. The moment of the answer makes it another one in each turn of a conversation.
fn made_id(at: &str, index: u32) -> String {
    let digits: String = at.chars().filter(char::is_ascii_digit).take(24).collect();
    if digits.is_empty() { format!("call_{index}") } else { format!("call_{digits}_{index}") }
}

/// Reads a whole answer.
///
/// # Errors
/// When it is an error that came as a success, or is not complete.
pub(super) fn decode(body: &[u8]) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    if let Some(error) = error(&value) {
        return Err(Refusal::new(FailureKind::Server, error));
    }
    if !value["message"].is_object() && !value["response"].is_string() {
        return Err(Refusal::nonsense("it has neither `message` nor `response`"));
    }
    let (mut events, mut collector) = (Vec::new(), Collector::default());
    State::default().line(&value, &mut events);
    events.into_iter().for_each(|event| collector.push(event));
    match collector.finish() {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => Err(Refusal::new(FailureKind::Server, error)),
        None => Err(Refusal::nonsense("it is not `done`")),
    }
}

/// The error that an object is instead of an answer.
fn error(value: &Value) -> Option<ErrorBody> {
    let told = value.get("error").filter(|error| !error.is_null())?;
    Some(read_error(value.to_string().as_bytes()).unwrap_or_else(|| ErrorBody {
        message: told.to_string(),
        kind: Some("server_error".to_owned()),
        param: None,
        code: None,
    }))
}

/// What was used, which the last object tells. Servers leave out what is nothing.
pub(super) fn usage(value: &Value) -> Option<Usage> {
    let count = |name: &str| value[name].as_u64();
    match (count("prompt_eval_count"), count("eval_count")) {
        (None, None) => None,
        (prompt, completion) => Some(Usage::of(prompt.unwrap_or(0), completion.unwrap_or(0))),
    }
}

fn logprobs(value: &Value) -> Option<Vec<TokenLogprob>> {
    let one = |value: &Value| TopLogprob {
        token: value["token"].as_str().unwrap_or_default().to_owned(),
        logprob: value["logprob"].as_f64().unwrap_or_default(),
        bytes: value["bytes"]
            .as_array()
            .map(|bytes| bytes.iter().filter_map(|byte| byte.as_u64()?.try_into().ok()).collect()),
    };
    let tokens = value.as_array()?.iter().map(|value| TokenLogprob {
        token: one(value),
        top: value["top_logprobs"].as_array().into_iter().flatten().map(one).collect(),
    });
    Some(tokens.collect())
}
