//! The object that a response is.

use serde_json::{Value, json};

use super::output::Items;
use crate::chat::{Answer, Ask, Finish};
use crate::client::About;
use crate::openai::ErrorBody;
use crate::usage::Usage;

/// Codes of errors that a response may have and that this protocol's clients know.
const CODES: [&str; 3] = ["server_error", "rate_limit_exceeded", "invalid_prompt"];

/// How far a response is.
pub(super) enum State<'a> {
    /// It grows.
    Going,
    /// It is complete, or was cut.
    Ended(&'a Finish),
    /// The provider gave up.
    Failed(&'a ErrorBody),
}

/// What a response tells that does not change while it grows.
pub(super) struct Head {
    id: String,
    model: String,
    created_s: u64,
    /// Of the question only what responses tell again.
    ask: Ask,
}

impl Head {
    pub(super) fn new(ask: &Ask, about: &About) -> Self {
        Self {
            id: format!("resp_{}", about.id),
            model: ask.model.clone(),
            created_s: about.now_s,
            ask: Ask { echo: ask.echo.clone(), ..Ask::default() },
        }
    }

    /// Takes over what the provider calls itself and the answer, where it gave names that fit.
    pub(super) fn name(&mut self, id: &str, model: &str) {
        if id.starts_with("resp_") {
            self.id = id.to_owned();
        }
        if !model.is_empty() {
            self.model = model.to_owned();
        }
    }

    /// The whole object.
    pub(super) fn response(&self, state: &State<'_>, output: Value, usage: Option<&Usage>) -> Value {
        let echo = |name: &str| self.ask.echoed(name).cloned().unwrap_or(Value::Null);
        let echo_or = |name: &str, default: Value| self.ask.echoed(name).cloned().unwrap_or(default);
        let reason = match state {
            State::Ended(Finish::Length) => Some("max_output_tokens"),
            State::Ended(Finish::Filtered) => Some("content_filter"),
            _ => None,
        };
        let status = match state {
            State::Going => "in_progress",
            State::Failed(_) => "failed",
            State::Ended(_) if reason.is_some() => "incomplete",
            State::Ended(_) => "completed",
        };
        json!({
            "id": self.id,
            "object": "response",
            "created_at": self.created_s,
            "status": status,
            "background": false,
            "error": if let State::Failed(error) = state { failure(error) } else { Value::Null },
            "incomplete_details": reason.map(|reason| json!({ "reason": reason })),
            "instructions": echo("instructions"),
            "max_output_tokens": echo("max_output_tokens"),
            "metadata": echo_or("metadata", json!({})),
            "model": self.model,
            "output": output,
            "parallel_tool_calls": echo_or("parallel_tool_calls", true.into()),
            "previous_response_id": null,
            "prompt_cache_key": echo("prompt_cache_key"),
            "reasoning": with(echo("reasoning"), &[("effort", Value::Null), ("summary", Value::Null)]),
            "safety_identifier": echo("safety_identifier"),
            "store": false,
            "temperature": echo("temperature"),
            "text": with(echo("text"), &[("format", json!({ "type": "text" }))]),
            "tool_choice": echo_or("tool_choice", "auto".into()),
            "tools": echo_or("tools", json!([])),
            "top_logprobs": echo_or("top_logprobs", 0.into()),
            "top_p": echo("top_p"),
            "truncation": echo_or("truncation", "disabled".into()),
            "usage": usage.map(used),
            "user": echo("user"),
        })
    }
}

/// A whole answer.
pub(super) fn answer(ask: &Ask, answer: &Answer, about: &About) -> Value {
    let mut head = Head::new(ask, about);
    head.name(&answer.id, &answer.model);
    let mut items = Items::new(&about.id, summed(ask), ask.logprobs.is_some());
    let finish = items.collect(answer);
    head.response(&State::Ended(&finish), items.values(), answer.usage.as_ref())
}

/// Whether a client asked for thoughts as a summary.
pub(super) fn summed(ask: &Ask) -> bool {
    let told = |name: &str| ask.echoed("reasoning").and_then(|reasoning| reasoning[name].as_str()).is_some();
    told("summary") || told("generate_summary")
}

/// An object with what it lacks.
fn with(value: Value, defaults: &[(&str, Value)]) -> Value {
    let mut map = if let Value::Object(map) = value { map } else { serde_json::Map::new() };
    for (name, default) in defaults {
        map.entry(*name).or_insert_with(|| default.clone());
    }
    Value::Object(map)
}

fn failure(error: &ErrorBody) -> Value {
    let known = |word: &Option<String>| CODES.iter().copied().find(|code| word.as_deref() == Some(code));
    let code = known(&error.code).or_else(|| known(&error.kind)).unwrap_or("server_error");
    json!({ "code": code, "message": error.message })
}

fn used(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
        },
        "output_tokens": usage.completion_tokens,
        "output_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
        "total_tokens": usage.total(),
    })
}
