//! One item of a response, and its parts, as JSON.

use serde_json::{Value, json};

use crate::chat::{TokenLogprob, ToolCall, TopLogprob};

/// An item, as far as it has grown.
pub(super) struct Item {
    /// By which events name it.
    pub(super) id: String,
    /// Whether it may grow.
    pub(super) open: bool,
    /// Whether it ended before its time.
    pub(super) cut: bool,
    pub(super) what: What,
}

/// What an item is.
pub(super) enum What {
    Message(Vec<Said>),
    Thoughts { text: String, signature: Option<String> },
    Call(ToolCall),
}

/// A content of a message.
pub(super) enum Said {
    Text { text: String, logprobs: Vec<Value> },
    Refusal(String),
}

impl Item {
    /// As it is now; thoughts as a summary where `summed`.
    pub(super) fn value(&self, summed: bool) -> Value {
        let status = match (self.open, self.cut) {
            (true, _) => "in_progress",
            (false, true) => "incomplete",
            (false, false) => "completed",
        };
        match &self.what {
            What::Message(said) => json!({
                "id": self.id,
                "type": "message",
                "status": status,
                "role": "assistant",
                "content": said.iter().map(Said::value).collect::<Vec<_>>(),
            }),
            What::Thoughts { text, signature } => {
                let parts: Vec<Value> =
                    (!text.is_empty()).then(|| thought_part(summed, text)).into_iter().collect();
                let (summary, content) = if summed { (parts, Vec::new()) } else { (Vec::new(), parts) };
                let mut item =
                    json!({ "id": self.id, "type": "reasoning", "summary": summary, "content": content });
                if let Some(signature) = signature {
                    item["encrypted_content"] = signature.as_str().into();
                }
                item
            }
            What::Call(call) => json!({
                "id": self.id,
                "type": "function_call",
                "status": status,
                "call_id": call.id,
                "name": call.name,
                "arguments": call.arguments,
            }),
        }
    }
}

impl Said {
    /// As it is now.
    pub(super) fn value(&self) -> Value {
        match self {
            Said::Text { text, logprobs } => {
                json!({ "type": "output_text", "text": text, "annotations": [], "logprobs": logprobs })
            }
            Said::Refusal(text) => json!({ "type": "refusal", "refusal": text }),
        }
    }
}

/// Thoughts in words, as a part of their item.
pub(super) fn thought_part(summed: bool, text: &str) -> Value {
    let kind = if summed { "summary_text" } else { "reasoning_text" };
    json!({ "type": kind, "text": text })
}

/// The fields of an event of thoughts, which have one part only.
pub(super) fn thought(summed: bool, name: &str, value: Value) -> Value {
    let index = if summed { "summary_index" } else { "content_index" };
    json!({ index: 0, name: value })
}

/// The probabilities of a token.
pub(super) fn logprob(token: &TokenLogprob) -> Value {
    // Responses always have bytes; where the provider does not tell them there are none.
    let one = |token: &TopLogprob| {
        let bytes = token.bytes.as_deref().unwrap_or_default();
        json!({ "token": token.token, "logprob": token.logprob, "bytes": bytes })
    };
    let mut out = one(&token.token);
    out["top_logprobs"] = token.top.iter().map(one).collect();
    out
}
