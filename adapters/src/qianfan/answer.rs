//! Answers of Qianfan, whole and in pieces: the pieces are of the same shape, and the last one says so.

use serde_json::Value;

use super::errors;
use crate::chat::{Answer, Choice, Delta, Event, Finish, Part, ToolCall};
use crate::dialect::{Decoder, Refusal};
use crate::frames::Lines;
use crate::usage::Usage;

/// Reads a whole answer.
///
/// # Errors
/// When it is an error that came as a success, or has no result.
pub(super) fn decode(body: &[u8]) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    let piece = piece(&value)?;
    let mut parts = Vec::new();
    if let Some(call) = &piece.call
        && !call.thoughts.is_empty()
    {
        parts.push(Part::Thinking { text: call.thoughts.clone(), signature: None });
    }
    if !piece.text.is_empty() {
        parts.push(Part::Text(piece.text.to_owned()));
    }
    let finish = piece.finish();
    if let Some(FunctionCall { id, name, arguments, .. }) = piece.call {
        parts.push(Part::ToolCall(ToolCall { id, name, arguments }));
    }
    Ok(Answer {
        id: piece.id.to_owned(),
        model: String::new(),
        choices: vec![Choice { parts, finish, logprobs: None }],
        usage: piece.usage,
    })
}

/// An answer, or a piece of one.
struct Piece<'a> {
    id: &'a str,
    text: &'a str,
    call: Option<FunctionCall>,
    word: &'a str,
    truncated: bool,
    /// The user's words are not allowed, and the conversation is to be forgotten.
    rejected: bool,
    last: bool,
    usage: Option<Usage>,
}

struct FunctionCall {
    id: String,
    name: String,
    arguments: String,
    thoughts: String,
}

fn piece(value: &Value) -> Result<Piece<'_>, Refusal> {
    if let Some(refusal) = errors::told(value) {
        return Err(refusal);
    }
    let text = |name: &str| value[name].as_str();
    let flag = |name: &str| value[name].as_bool().unwrap_or(false);
    let id = text("id").unwrap_or_default();
    let call = call(&value["function_call"], id)?;
    let said = text("result");
    if said.is_none() && call.is_none() {
        return Err(Refusal::nonsense("it has no `result`"));
    }
    Ok(Piece {
        id,
        text: said.unwrap_or_default(),
        call,
        word: text("finish_reason").unwrap_or_default(),
        truncated: flag("is_truncated"),
        rejected: flag("need_clear_history"),
        last: flag("is_end"),
        usage: usage(&value["usage"]),
    })
}

impl Piece<'_> {
    /// Why it ended. `normal` is said by every piece, whether more come or not.
    fn finish(&self) -> Finish {
        match self.word {
            _ if self.rejected => Finish::Filtered,
            "content_filter" => Finish::Filtered,
            _ if self.call.is_some() => Finish::Tools,
            "length" => Finish::Length,
            "function_call" => Finish::Tools,
            _ if self.truncated => Finish::Length,
            _ => Finish::Stop,
        }
    }
}

/// Calls have no id of their own: the answer's makes one that is not met twice in a conversation.
fn call(value: &Value, id: &str) -> Result<Option<FunctionCall>, Refusal> {
    if value.is_null() {
        return Ok(None);
    }
    let Some(name) = value["name"].as_str().filter(|name| !name.is_empty()) else {
        return Err(Refusal::nonsense("a `function_call` has no name"));
    };
    let arguments = match &value["arguments"] {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    };
    Ok(Some(FunctionCall {
        id: format!("call_{}", if id.is_empty() { "0" } else { id }),
        name: name.to_owned(),
        arguments,
        thoughts: value["thoughts"].as_str().unwrap_or_default().to_owned(),
    }))
}

fn usage(value: &Value) -> Option<Usage> {
    let number = |name: &str| value[name].as_u64();
    Some(Usage::of(number("prompt_tokens")?, number("completion_tokens").unwrap_or(0)))
}

/// Reads an answer in pieces. An error comes as a line of JSON without the frame of an event, so lines are read.
#[derive(Default)]
pub(super) struct LineDecoder {
    lines: Lines,
    state: State,
}

#[derive(Default)]
struct State {
    begun: bool,
    over: bool,
    /// The call that was told, if one was: there is never a second.
    called: bool,
}

impl Decoder for LineDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let Self { lines, state } = self;
        lines.push(bytes, |line| state.line(line, true, out));
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        let Self { lines, state } = self;
        // What was cut off is no nonsense.
        lines.finish(|line| state.line(line, false, out));
    }
}

impl State {
    fn line(&mut self, line: &[u8], whole: bool, out: &mut Vec<Event>) {
        let data = match line.strip_prefix(b"data:") {
            Some(data) => data.trim_ascii(),
            None if line.starts_with(b"{") => line,
            None => return,
        };
        if self.over || data.is_empty() {
            return;
        }
        let told = match serde_json::from_slice::<Value>(data) {
            Ok(value) => piece(&value).map(|piece| self.piece(piece, out)),
            Err(_) if !whole => return,
            Err(_) => Err(Refusal::nonsense("an event is no JSON")),
        };
        if let Err(refusal) = told {
            self.over = true;
            out.push(Event::Error(refusal.error));
        }
    }

    fn piece(&mut self, piece: Piece<'_>, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.begun, true) {
            out.push(Event::Begin { id: piece.id.to_owned(), model: String::new() });
        }
        let mut tell = |delta| out.push(Event::Delta { choice: 0, delta });
        let mut finish = piece.finish();
        if let Some(call) = &piece.call
            && !call.thoughts.is_empty()
        {
            tell(Delta::Thinking(call.thoughts.clone()));
        }
        if !piece.text.is_empty() {
            tell(Delta::Text(piece.text.to_owned()));
        }
        if let Some(FunctionCall { id, name, arguments, .. }) = piece.call
            && !std::mem::replace(&mut self.called, true)
        {
            tell(Delta::ToolCall { index: 0, id, name });
            tell(Delta::Arguments { index: 0, text: arguments });
        }
        if self.called && finish == Finish::Stop {
            finish = Finish::Tools;
        }
        if piece.last {
            out.push(Event::Finish { choice: 0, reason: finish });
        }
        out.extend(piece.usage.map(Event::Usage));
        if piece.last {
            self.over = true;
            out.push(Event::Done);
        }
    }
}
