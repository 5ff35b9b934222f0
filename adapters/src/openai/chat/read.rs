//! A whole answer of a server that speaks OpenAI's dialect.

use serde_json::Value;

use crate::chat::{Answer, Choice, Finish, Part, TokenLogprob, ToolCall, TopLogprob};
use crate::dialect::Refusal;
use crate::failure::FailureKind;
use crate::openai::{read_error, usage_of};

/// Reads it.
///
/// # Errors
/// When it is an error that came as a success, or has no choices.
pub(crate) fn decode(body: &[u8]) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    let Some(choices) = value["choices"].as_array() else {
        return Err(match read_error(body) {
            Some(error) => Refusal::new(FailureKind::Server, error),
            None => Refusal::nonsense("it has no `choices`"),
        });
    };
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Ok(Answer {
        id: text("id"),
        model: text("model"),
        choices: choices.iter().map(choice).collect(),
        usage: usage_of(body),
    })
}

fn choice(value: &Value) -> Choice {
    let message = &value["message"];
    let mut parts = Vec::new();
    let texts = |name: &str| message[name].as_str().filter(|text| !text.is_empty());
    if let Some(text) = texts("reasoning_content").or_else(|| texts("reasoning")) {
        parts.push(Part::Thinking { text: text.to_owned(), signature: None });
    }
    match &message["content"] {
        Value::String(text) if !text.is_empty() => parts.push(Part::Text(text.clone())),
        Value::Array(list) => {
            let texts = list.iter().filter_map(|part| part["text"].as_str());
            parts.extend(texts.map(|text| Part::Text(text.to_owned())));
        }
        _ => {}
    }
    if let Some(why) = texts("refusal") {
        parts.push(Part::Refusal(why.to_owned()));
    }
    let calls = calls(&message["tool_calls"]);
    parts.extend(calls.enumerate().map(|(n, call)| Part::ToolCall(tool_call(n, call))));
    let called = parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    let finish = ending(value).unwrap_or_else(|| unsaid_ending(called));
    Choice { parts, finish, logprobs: logprobs(&value["logprobs"]["content"]) }
}

fn tool_call(n: usize, value: &Value) -> ToolCall {
    let id = value["id"].as_str().filter(|id| !id.is_empty());
    let function = &value["function"];
    ToolCall {
        id: id.map_or_else(|| format!("call_{n}"), str::to_owned),
        name: function["name"].as_str().unwrap_or_default().to_owned(),
        arguments: arguments(&function["arguments"]),
    }
}

/// Text as documented; some servers send the object itself.
pub(super) fn arguments(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The calls of a message: a list as documented; Spark has the one call itself there where it is not told otherwise.
pub(super) fn calls(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten().chain(value.is_object().then_some(value))
}

/// Why a choice ended, if it did; whole or as a piece.
pub(super) fn ending(choice: &Value) -> Option<Finish> {
    let word = choice["finish_reason"].as_str().filter(|word| !word.is_empty())?;
    // Qianfan's marks of what must not be shown, or not any longer.
    let barred = matches!(choice["flag"].as_u64(), Some(3 | 4));
    Some(if barred { Finish::Filtered } else { finish(word) })
}

/// Why a choice ended that does not say so.
pub(super) fn unsaid_ending(called: bool) -> Finish {
    if called { Finish::Tools } else { Finish::Stop }
}

/// Why it ended, in OpenAI's words and those that servers of its dialect add.
fn finish(word: &str) -> Finish {
    match word {
        "length" | "max_tokens" | "model_length" | "model_context_window_exceeded" => Finish::Length,
        "tool_calls" | "function_call" => Finish::Tools,
        "content_filter" | "sensitive" => Finish::Filtered,
        _ => Finish::Stop,
    }
}

/// The probabilities of tokens.
pub(crate) fn logprobs(value: &Value) -> Option<Vec<TokenLogprob>> {
    let list = value.as_array()?;
    let one = |value: &Value| TopLogprob {
        token: value["token"].as_str().unwrap_or_default().to_owned(),
        logprob: value["logprob"].as_f64().unwrap_or_default(),
        bytes: value["bytes"]
            .as_array()
            .map(|bytes| bytes.iter().filter_map(|byte| byte.as_u64()?.try_into().ok()).collect()),
    };
    let tokens = list.iter().map(|value| TokenLogprob {
        token: one(value),
        top: value["top_logprobs"].as_array().into_iter().flatten().map(one).collect(),
    });
    Some(tokens.collect())
}
