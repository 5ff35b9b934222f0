//! A whole answer of Anthropic's.

use serde_json::Value;

use super::{REDACTED, errors};
use crate::chat::{Answer, Choice, Finish, Part, ToolCall};
use crate::dialect::Refusal;
use crate::openai::read_error;
use crate::usage::Usage;

/// Reads it.
///
/// # Errors
/// When it is an error that came as a success, or not what is documented.
pub(super) fn decode(body: &[u8]) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    let Some(content) = value["content"].as_array() else {
        return Err(match read_error(body) {
            Some(error) => errors::refusal(error),
            None => Refusal::nonsense("it has no `content`"),
        });
    };
    let Some(word) = value["stop_reason"].as_str() else {
        return Err(Refusal::nonsense("it has no `stop_reason`"));
    };
    let mut parts = Vec::with_capacity(content.len());
    for block in content {
        parts.extend(part(block)?);
    }
    parts.extend(refusal(&value).map(Part::Refusal));
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    let finish = finish(word, &value["stop_sequence"]);
    Ok(Answer {
        id: text("id"),
        model: text("model"),
        choices: vec![Choice { parts, finish, logprobs: None }],
        usage: Told::default().with(&value["usage"]),
    })
}

/// A block; `None` for what it may say some day and has no place here.
fn part(block: &Value) -> Result<Option<Part>, Refusal> {
    let text = |name: &str| {
        let text = block[name].as_str().map(str::to_owned);
        text.ok_or_else(|| Refusal::nonsense(&format!("a block has no `{name}`")))
    };
    Ok(match text("type")?.as_str() {
        "text" => Some(Part::Text(text("text")?)),
        "thinking" => {
            let signature = block["signature"].as_str().filter(|signature| !signature.is_empty());
            Some(Part::Thinking { text: text("thinking")?, signature: signature.map(str::to_owned) })
        }
        "redacted_thinking" => {
            let signature = format!("{REDACTED}{}", text("data")?);
            Some(Part::Thinking { text: String::new(), signature: Some(signature) })
        }
        "tool_use" => Some(Part::ToolCall(ToolCall {
            id: text("id")?,
            name: text("name")?,
            arguments: arguments(&block["input"]),
        })),
        _ => None,
    })
}

/// The arguments as text.
pub(super) fn arguments(input: &Value) -> String {
    if input.is_null() { "{}".to_owned() } else { input.to_string() }
}

/// Why it ended. A turn that was paused is one of Anthropic's own tools, which are not asked for by other protocols.
pub(super) fn finish(word: &str, stop_text: &Value) -> Finish {
    match word {
        "max_tokens" | "model_context_window_exceeded" => Finish::Length,
        "stop_sequence" => stop_text.as_str().map_or(Finish::Stop, |text| Finish::StopText(text.to_owned())),
        "tool_use" => Finish::Tools,
        "refusal" => Finish::Filtered,
        _ => Finish::Stop,
    }
}

/// Why it does not answer, of a message or of what changes of one.
pub(super) fn refusal(message: &Value) -> Option<String> {
    message["stop_details"]["explanation"].as_str().map(str::to_owned)
}

/// What was told of the usage so far. A stream tells it in parts, each of which counts from the beginning.
#[derive(Debug, Default)]
pub(super) struct Told {
    told: bool,
    input: u64,
    cache_read: u64,
    cache_write: u64,
    output: u64,
    thinking: u64,
}

impl Told {
    /// Takes what is told now; gives the usage so far, once something was told.
    pub(super) fn with(&mut self, usage: &Value) -> Option<Usage> {
        let places = [
            (&mut self.input, &usage["input_tokens"]),
            (&mut self.cache_read, &usage["cache_read_input_tokens"]),
            (&mut self.cache_write, &usage["cache_creation_input_tokens"]),
            (&mut self.output, &usage["output_tokens"]),
            (&mut self.thinking, &usage["output_tokens_details"]["thinking_tokens"]),
        ];
        for (place, value) in places {
            if let Some(value) = value.as_u64() {
                (*place, self.told) = (value, true);
            }
        }
        self.told.then(|| Usage {
            prompt_tokens: self.input.saturating_add(self.cache_read).saturating_add(self.cache_write),
            completion_tokens: self.output,
            cached_tokens: self.cache_read,
            cache_write_tokens: self.cache_write,
            reasoning_tokens: self.thinking,
        })
    }
}

/// What a whole answer that passes as it is tells of its usage.
pub(super) fn usage_of(body: &[u8]) -> Option<Usage> {
    #[derive(serde::Deserialize)]
    struct Body {
        usage: Value,
    }
    Told::default().with(&serde_json::from_slice::<Body>(body).ok()?.usage)
}
