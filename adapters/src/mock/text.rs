//! What the mock says: an echo, words by number, a tool call, or the smallest JSON that fits a schema.

use serde_json::{Value, json};

use super::ask::{Ask, Wish};
use super::instance;
use crate::call::Operation;

/// Words for texts that must have a certain length.
const WORDS: [&str; 8] = ["alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel"];

/// What is said.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Reply {
    /// Text, in the pieces a stream sends.
    Text {
        pieces: Pieces,
        /// `stop` or `length`.
        finish: &'static str,
    },
    /// A call of a tool.
    Tool { name: String, arguments: String },
}

/// Pieces of text, made when asked for: a stream may have a million.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pieces {
    words: Vec<String>,
    count: u32,
}

impl Pieces {
    fn of(text: &str) -> Self {
        let words: Vec<String> = text.split_inclusive(' ').map(str::to_owned).collect();
        let count = u32::try_from(words.len()).unwrap_or(u32::MAX);
        Self { words, count }
    }

    /// Stretches or gathers the text to this number of pieces.
    fn into_count(mut self, count: u32) -> Self {
        let at_most = count as usize;
        if self.words.len() > at_most && at_most > 0 {
            let rest = self.words.split_off(at_most - 1).concat();
            self.words.push(rest);
        }
        self.count = count;
        self
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Piece number `n`: the text's own, then numbered words.
    pub(super) fn get(&self, n: u32) -> String {
        match self.words.get(n as usize) {
            Some(word) => word.clone(),
            None => format!(" {}", WORDS[n as usize % WORDS.len()]),
        }
    }

    pub(super) fn all(&self) -> String {
        (0..self.count).map(|n| self.get(n)).collect()
    }
}

pub(super) fn reply(operation: Operation, ask: &Ask, wish: &Wish) -> Reply {
    if operation == Operation::Chat
        && wish.text.is_none()
        && let Some(call) = tool_call(ask)
    {
        return call;
    }
    let text = match (&wish.text, ask.response_format.get("type").and_then(Value::as_str)) {
        (Some(text), _) => text.clone(),
        (None, Some("json_schema")) => {
            let schema = &ask.response_format["json_schema"]["schema"];
            instance::of(schema).to_string()
        }
        (None, Some("json_object")) => json!({ "mock": ask.question() }).to_string(),
        _ => format!("mock: {}", ask.question()),
    };
    let pieces = Pieces::of(&text);
    if let Some(count) = wish.chunks {
        return Reply::Text { pieces: pieces.into_count(count), finish: "stop" };
    }
    let limit = ask.max_completion_tokens.or(ask.max_tokens).unwrap_or(u64::MAX);
    if u64::from(pieces.count) > limit {
        let pieces = Pieces { count: limit as u32, ..pieces };
        return Reply::Text { pieces, finish: "length" };
    }
    Reply::Text { pieces, finish: "stop" }
}

/// A call of the tool the request insists on: the one it names, or the first.
fn tool_call(ask: &Ask) -> Option<Reply> {
    let tools = ask.tools.as_ref().filter(|tools| !tools.is_empty())?;
    let named = ask.tool_choice["function"]["name"].as_str();
    if named.is_none() && ask.tool_choice != "required" {
        return None;
    }
    let tool =
        tools.iter().map(|tool| &tool["function"]).find(|f| named.is_none_or(|name| f["name"] == name))?;
    Some(Reply::Tool {
        name: tool["name"].as_str()?.to_owned(),
        arguments: instance::of(&tool["parameters"]).to_string(),
    })
}
