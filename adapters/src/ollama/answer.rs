//! A whole answer for Ollama's clients.

use serde_json::{Map, Value, json};

use super::moment::rfc3339;
use crate::chat::{Answer, Ask, Finish, TokenLogprob, ToolCall, TopLogprob};
use crate::client::About;
use crate::usage::Usage;

/// How answers are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// As of `/api/chat`: in a message.
    Chat,
    /// As of `/api/generate`: in fields at the top.
    Generate,
}

/// What one object of an answer says.
#[derive(Default)]
pub(super) struct Said<'a> {
    pub(super) text: &'a str,
    pub(super) thinking: &'a str,
    pub(super) calls: Vec<Value>,
    pub(super) logprobs: Option<&'a [TokenLogprob]>,
}

/// The answer as JSON. Ollama answers once, so the first choice is all there is.
pub(super) fn answer(shape: Shape, ask: &Ask, answer: &Answer, about: &About) -> Value {
    let model = model(&answer.model, ask);
    let Some(choice) = answer.choices.first() else {
        return last(shape, model, about, &Said::default(), &Finish::Stop, answer.usage.as_ref());
    };
    let mut text = choice.all_text();
    text.extend(choice.refusal());
    let mut calls = Vec::new();
    for one in choice.tool_calls() {
        match call(one, calls.len()) {
            Some(value) => calls.push(value),
            None => text.push_str(&one.arguments),
        }
    }
    let thinking = choice.all_thoughts();
    let logprobs = choice.logprobs.as_deref();
    let said = Said { text: &text, thinking: &thinking, calls, logprobs };
    last(shape, model, about, &said, &choice.finish, answer.usage.as_ref())
}

/// An object that is not the last.
pub(super) fn piece(shape: Shape, model: &str, about: &About, said: &Said<'_>) -> Map<String, Value> {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("model", model.into());
    put("created_at", rfc3339(about.now_s).into());
    put("done", false.into());
    if let Some(tokens) = said.logprobs {
        put("logprobs", logprobs(tokens));
    }
    let mut inner = Map::new();
    if !said.thinking.is_empty() {
        inner.insert("thinking".to_owned(), said.thinking.into());
    }
    if !said.calls.is_empty() {
        inner.insert("tool_calls".to_owned(), said.calls.clone().into());
    }
    match shape {
        Shape::Chat => {
            inner.insert("role".to_owned(), "assistant".into());
            inner.insert("content".to_owned(), said.text.into());
            put("message", inner.into());
        }
        Shape::Generate => {
            put("response", said.text.into());
            out.append(&mut inner);
        }
    }
    out
}

/// The last object. How long things took is not known here, and told as nothing.
pub(super) fn last(
    shape: Shape,
    model: &str,
    about: &About,
    said: &Said<'_>,
    finish: &Finish,
    usage: Option<&Usage>,
) -> Value {
    let mut out = piece(shape, model, about, said);
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    put("done", true.into());
    put("done_reason", done_reason(finish).into());
    for name in ["total_duration", "load_duration", "prompt_eval_duration", "eval_duration"] {
        put(name, 0.into());
    }
    if let Some(usage) = usage {
        put("prompt_eval_count", usage.prompt_tokens.into());
        put("eval_count", usage.completion_tokens.into());
    }
    out.into()
}

/// What is told of a model that was loaded or unloaded.
pub(super) fn loaded(shape: Shape, model: &str, about: &About, reason: &str) -> Value {
    let mut out = piece(shape, model, about, &Said::default());
    out.insert("done".to_owned(), true.into());
    out.insert("done_reason".to_owned(), reason.into());
    out.into()
}

/// The model that answered, by the name the provider gave, or the client.
pub(super) fn model<'a>(of: &'a str, ask: &'a Ask) -> &'a str {
    if of.is_empty() { &ask.model } else { of }
}

/// A call of a tool; `None` where the model's arguments are no object, which this protocol has no place for. Such a call
/// cannot be made, so that what the model wrote is told as text, as Ollama does with what it cannot read as a call.
pub(super) fn call(call: &ToolCall, index: usize) -> Option<Value> {
    let arguments = call.object().ok()?;
    Some(json!({
        "id": call.id,
        "function": { "index": index, "name": call.name, "arguments": arguments },
    }))
}

/// Ollama has no word for what a provider does not allow; `content_filter` is OpenAI's.
fn done_reason(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopText(_) | Finish::Tools => "stop",
        Finish::Length => "length",
        Finish::Filtered => "content_filter",
    }
}

fn logprobs(tokens: &[TokenLogprob]) -> Value {
    let one = |token: &TopLogprob| {
        let mut out = json!({ "token": token.token, "logprob": token.logprob });
        if let Some(bytes) = &token.bytes {
            out["bytes"] = json!(bytes);
        }
        out
    };
    let tokens = tokens.iter().map(|token| {
        let mut out = one(&token.token);
        if !token.top.is_empty() {
            out["top_logprobs"] = token.top.iter().map(one).collect();
        }
        out
    });
    tokens.collect()
}
