//! A whole answer for Anthropic's clients.

use serde_json::{Value, json};

use super::REDACTED;
use crate::chat::{Answer, Ask, Choice, Finish, Part, ToolCall};
use crate::client::About;
use crate::usage::Usage;

/// The answer as JSON. This protocol knows one choice.
pub(super) fn answer(ask: &Ask, answer: &Answer, about: &About) -> Value {
    let first = answer.choices.first();
    let content: Vec<Value> = first.into_iter().flat_map(|choice| &choice.parts).filter_map(block).collect();
    let mut out = json!({
        "id": id(&answer.id, about),
        "type": "message",
        "role": "assistant",
        "model": model(&answer.model, ask),
        "content": content,
    });
    let ending = first.map_or_else(Ending::default, Ending::of);
    ending.tell(&mut out);
    out["usage"] = usage(&answer.usage.unwrap_or_default());
    out
}

/// The provider's id, or one of our own.
pub(super) fn id(of: &str, about: &About) -> String {
    if of.is_empty() { format!("msg_{}", about.id) } else { of.to_owned() }
}

/// The model that answered, by the name the provider gave, or the client.
pub(super) fn model<'a>(of: &'a str, ask: &'a Ask) -> &'a str {
    if of.is_empty() { &ask.model } else { of }
}

fn block(part: &Part) -> Option<Value> {
    match part {
        Part::Text(text) => Some(json!({ "type": "text", "text": text })),
        Part::Thinking { text, signature } => Some(thinking(text, signature.as_deref().unwrap_or_default())),
        Part::ToolCall(call) => Some(json!({
            "type": "tool_use",
            "id": call.id,
            "name": call.name,
            "input": input(call),
        })),
        // Why it does not answer has a place of its own, see `Ending`; nothing else comes from a model.
        Part::Refusal(_) | Part::Image { .. } | Part::Audio(_) | Part::File { .. } | Part::ToolResult(_) => {
            None
        }
    }
}

/// A thought; one that nobody may read where its signature says so.
pub(super) fn thinking(text: &str, signature: &str) -> Value {
    match signature.strip_prefix(REDACTED) {
        Some(data) if text.is_empty() => json!({ "type": "redacted_thinking", "data": data }),
        _ => json!({ "type": "thinking", "thinking": text, "signature": signature }),
    }
}

/// The arguments as an object. What is none is wrapped the way Anthropic's page on fine-grained tool streaming shows.
pub(super) fn input(call: &ToolCall) -> Value {
    call.object().unwrap_or_else(|_| json!({ "INVALID_JSON": call.arguments }))
}

/// Why an answer ended, as it comes together.
#[derive(Debug, Default)]
pub(super) struct Ending {
    pub(super) finish: Option<Finish>,
    /// Whether it calls tools.
    pub(super) calls: bool,
    /// Why it does not answer.
    pub(super) refusal: Option<String>,
}

impl Ending {
    fn of(choice: &Choice) -> Self {
        Self {
            finish: Some(choice.finish.clone()),
            calls: choice.tool_calls().next().is_some(),
            refusal: choice.refusal().map(str::to_owned),
        }
    }

    /// Puts it into a message, or into what changes of one.
    pub(super) fn tell(&self, out: &mut Value) {
        let (reason, text) = match self.finish.as_ref().unwrap_or(&Finish::Stop) {
            _ if self.refusal.is_some() => ("refusal", None),
            Finish::Filtered => ("refusal", None),
            // Some servers say `stop` after calls; clients go by this word alone.
            Finish::Stop if self.calls => ("tool_use", None),
            Finish::Stop => ("end_turn", None),
            Finish::StopText(text) => ("stop_sequence", Some(text.as_str())),
            Finish::Length => ("max_tokens", None),
            Finish::Tools => ("tool_use", None),
        };
        out["stop_reason"] = reason.into();
        out["stop_sequence"] = text.into();
        if reason == "refusal" {
            out["stop_details"] = json!({ "type": "refusal", "category": null, "explanation": self.refusal });
        }
    }
}

/// What was used. Anthropic counts what came out of its cache, or went into it, apart.
pub(super) fn usage(usage: &Usage) -> Value {
    let cached = usage.cached_tokens.saturating_add(usage.cache_write_tokens);
    let mut out = json!({
        "input_tokens": usage.prompt_tokens.saturating_sub(cached),
        "cache_creation_input_tokens": usage.cache_write_tokens,
        "cache_read_input_tokens": usage.cached_tokens,
        "output_tokens": usage.completion_tokens,
    });
    if usage.reasoning_tokens > 0 {
        out["output_tokens_details"] = json!({ "thinking_tokens": usage.reasoning_tokens });
    }
    out
}
