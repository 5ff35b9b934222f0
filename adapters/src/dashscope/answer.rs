//! A whole answer of DashScope.

use serde_json::Value;

use super::errors;
use crate::chat::{Answer, Choice, Finish, Part, ToolCall};
use crate::dialect::Refusal;
use crate::openai::chat::logprobs;
use crate::usage::Usage;

/// Reads it.
///
/// # Errors
/// When it is an error that came as a success, or holds no complete choice.
pub(super) fn decode(body: &[u8]) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    let choices = value["output"]["choices"].as_array().filter(|choices| !choices.is_empty());
    let Some(choices) = choices else {
        return Err(match errors::told(&value, None) {
            Some(refusal) => refusal,
            None => Refusal::nonsense("it has no `output.choices`"),
        });
    };
    let choices: Result<Vec<Choice>, Refusal> = choices.iter().map(choice).collect();
    Ok(Answer {
        id: value["request_id"].as_str().unwrap_or_default().to_owned(),
        model: String::new(),
        choices: choices?,
        usage: usage(&value["usage"]),
    })
}

fn choice(value: &Value) -> Result<Choice, Refusal> {
    let message = &value["message"];
    let mut parts = Vec::new();
    if let Some(thoughts) = text(&message["reasoning_content"]) {
        parts.push(Part::Thinking { text: thoughts.to_owned(), signature: None });
    }
    let said = said(&message["content"]);
    if !said.is_empty() {
        parts.push(Part::Text(said));
    }
    let calls = message["tool_calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    for (n, call) in calls.iter().enumerate() {
        parts.push(Part::ToolCall(tool_call(n, call)?));
    }
    if parts.is_empty() && !message["content"].is_string() && !message["content"].is_array() {
        return Err(Refusal::nonsense("a choice has no `message.content`"));
    }
    let Some(word) = reason(&value["finish_reason"]) else {
        return Err(Refusal::nonsense("a choice has no `finish_reason`"));
    };
    Ok(Choice {
        parts,
        finish: finish(word, !calls.is_empty()),
        logprobs: logprobs(&value["logprobs"]["content"]),
    })
}

fn tool_call(n: usize, value: &Value) -> Result<ToolCall, Refusal> {
    let function = &value["function"];
    let Some(name) = text(&function["name"]) else {
        return Err(Refusal::nonsense("the call of a tool has no name"));
    };
    Ok(ToolCall {
        id: text(&value["id"]).map_or_else(|| format!("call_{n}"), str::to_owned),
        name: name.to_owned(),
        arguments: arguments(&function["arguments"]),
    })
}

/// A text that is there.
pub(super) fn text(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| !text.is_empty())
}

/// Arguments are told as text; where an object comes instead, it is taken as it is.
pub(super) fn arguments(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// What is said: a text, or a list of parts on the multimodal path.
pub(super) fn said(content: &Value) -> String {
    match content {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().filter_map(|part| part["text"].as_str()).collect(),
        _ => String::new(),
    }
}

/// Why a choice ended, if it did: until then the word is `null`, as text.
pub(super) fn reason(value: &Value) -> Option<&str> {
    text(value).filter(|word| *word != "null")
}

/// What the word means. Some models say `stop` when they call tools.
pub(super) fn finish(word: &str, calls: bool) -> Finish {
    match word {
        "length" => Finish::Length,
        "tool_calls" => Finish::Tools,
        _ if calls => Finish::Tools,
        _ => Finish::Stop,
    }
}

/// What was used, if it is told.
pub(super) fn usage(value: &Value) -> Option<Usage> {
    let number = |value: &Value| value.as_u64();
    let completion_tokens = number(&value["output_tokens"]).unwrap_or(0);
    let total = number(&value["total_tokens"]);
    let prompt = number(&value["input_tokens"]);
    let details = &value["prompt_tokens_details"];
    Some(Usage {
        prompt_tokens: prompt.or_else(|| total.map(|total| total.saturating_sub(completion_tokens)))?,
        completion_tokens,
        cached_tokens: number(&details["cached_tokens"]).unwrap_or(0),
        cache_write_tokens: number(&details["cache_creation_input_tokens"]).unwrap_or(0),
        reasoning_tokens: number(&value["output_tokens_details"]["reasoning_tokens"]).unwrap_or(0),
    })
}
