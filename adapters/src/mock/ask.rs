//! What the mock reads of a request: little, and leniently; a client's test may send anything that OpenAI takes.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

/// Pieces of one stream at most.
pub const CHUNKS_MAX: u32 = 1_000_000;
/// The longest delay that can be asked for, in milliseconds.
pub const DELAY_MS_MAX: u64 = 600_000;

/// How the mock is to behave: the request's field `mock`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wish {
    /// Milliseconds before anything is sent.
    pub delay_ms: Option<u64>,
    /// Milliseconds before each further piece of a stream.
    pub chunk_delay_ms: Option<u64>,
    /// How many pieces of text a stream has.
    pub chunks: Option<u32>,
    /// Answer with this HTTP status and an error.
    pub status: Option<u16>,
    /// `retry-after` of that error, in seconds.
    pub retry_after: Option<u64>,
    /// Break the connection after that many pieces of text; a plain answer breaks in its middle.
    pub cut_after_chunks: Option<u32>,
    /// Say exactly this.
    pub text: Option<String>,
}

impl Wish {
    pub(super) fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms.unwrap_or(0).min(DELAY_MS_MAX))
    }
    pub(super) fn chunk_delay(&self) -> Duration {
        Duration::from_millis(self.chunk_delay_ms.unwrap_or(0).min(DELAY_MS_MAX))
    }
}

/// A request, as far as the mock cares.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Ask {
    pub model: Option<String>,
    pub stream: Option<bool>,
    pub stream_options: Option<StreamOptions>,
    pub messages: Vec<Message>,
    pub prompt: Value,
    pub input: Value,
    pub max_tokens: Option<u64>,
    pub max_completion_tokens: Option<u64>,
    pub tools: Option<Vec<Value>>,
    pub tool_choice: Value,
    pub response_format: Value,
    pub dimensions: Option<u32>,
    pub encoding_format: Option<String>,
    pub mock: Option<Wish>,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct StreamOptions {
    #[serde(default)]
    pub include_usage: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Message {
    pub role: String,
    pub content: Value,
}

impl Ask {
    pub(super) fn parse(body: &[u8]) -> Result<Ask, String> {
        if body.is_empty() {
            return Ok(Ask::default());
        }
        if !crate::call::is_object(body) {
            return Err("the mock cannot read the request: an object is expected".to_owned());
        }
        let ask: Ask =
            serde_json::from_slice(body).map_err(|e| format!("the mock cannot read the request: {e}"))?;
        match &ask.mock {
            Some(wish) if wish.chunks.is_some_and(|n| n > CHUNKS_MAX) => {
                Err(format!("mock.chunks is too large: ask for at most {CHUNKS_MAX}"))
            }
            Some(wish) if wish.status.is_some_and(|s| !(200..600).contains(&s)) => {
                Err("mock.status must be 200 to 599".to_owned())
            }
            _ => Ok(ask),
        }
    }

    pub(super) fn model(&self) -> &str {
        self.model.as_deref().unwrap_or("mock")
    }

    pub(super) fn wants_usage(&self) -> bool {
        self.stream_options.as_ref().and_then(|o| o.include_usage).unwrap_or(false)
    }

    /// What the user said last.
    pub(super) fn question(&self) -> String {
        let said = self.messages.iter().rev().find(|m| m.role == "user").or(self.messages.last());
        match said {
            Some(message) => text_of(&message.content),
            None => text_of(&self.prompt),
        }
    }

    /// Words in everything that was sent: the mock's idea of prompt tokens.
    pub(super) fn prompt_words(&self) -> u64 {
        let words = |value: &Value| text_of(value).split_whitespace().count() as u64;
        let said: u64 = self.messages.iter().map(|m| words(&m.content)).sum();
        said + words(&self.prompt) + words(&self.input)
    }
}

/// The text of a content, which may be a string, a list of strings, or a list of parts.
pub(super) fn text_of(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => {
            let texts: Vec<String> = parts.iter().map(text_of).filter(|t| !t.is_empty()).collect();
            texts.join(" ")
        }
        Value::Object(part) => part.get("text").map(text_of).unwrap_or_default(),
        Value::Number(token) => token.to_string(),
        _ => String::new(),
    }
}
