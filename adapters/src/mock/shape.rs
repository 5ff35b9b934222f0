//! OpenAI's shapes, filled by the mock.

use base64::Engine;
use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::{Ask, text_of};
use crate::call::Operation;

/// When the mock's first answer might have been given; each is some seconds later, by what was asked.
const EPOCH_S: u64 = 1_700_000_000;
const DIMENSIONS: u32 = 16;
const DIMENSIONS_MAX: u32 = 8192;
/// Texts in one request at most, as OpenAI has it.
const INPUTS_MAX: usize = 2048;
/// Numbers in one answer at most: texts times dimensions. Written out, each takes some 20 bytes, and more before.
const NUMBERS_MAX: usize = 1 << 19;
/// The same as base64, where each takes 6 bytes: as many texts as may be, with the dimensions of OpenAI's usual models.
const BASE64_NUMBERS_MAX: usize = INPUTS_MAX * 1536;

/// What all parts of one answer share.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Stamp {
    pub operation: Operation,
    pub id: String,
    pub created: u64,
    pub model: String,
    pub prompt_tokens: u64,
}

impl Stamp {
    /// Derived from the request alone, so that the same request gets the same bytes.
    pub(super) fn of(operation: Operation, ask: &Ask, body: &[u8]) -> Self {
        let hash = fnv(body);
        let prefix = if operation == Operation::Chat { "chatcmpl" } else { "cmpl" };
        Self {
            operation,
            id: format!("{prefix}-mock{hash:016x}"),
            created: EPOCH_S + hash % 10_000_000,
            model: ask.model().to_owned(),
            prompt_tokens: ask.prompt_words(),
        }
    }

    fn envelope(&self, streamed: bool, choices: Value, usage: Option<u64>) -> Value {
        let object = match (self.operation, streamed) {
            (Operation::Chat, true) => "chat.completion.chunk",
            (Operation::Chat, false) => "chat.completion",
            _ => "text_completion",
        };
        let mut value = json!({
            "id": self.id, "object": object, "created": self.created, "model": self.model, "choices": choices,
        });
        if let Some(tokens) = usage {
            value["usage"] = json!({
                "prompt_tokens": self.prompt_tokens,
                "completion_tokens": tokens,
                "total_tokens": self.prompt_tokens + tokens,
            });
        }
        value
    }

    /// A whole answer; `message` is chat's message, or the text of a completion.
    pub(super) fn whole(&self, message: Value, finish: &str, tokens: u64) -> Bytes {
        let field = if self.operation == Operation::Chat { "message" } else { "text" };
        let choice = json!({ "index": 0, field: message, "logprobs": null, "finish_reason": finish });
        self.envelope(false, json!([choice]), Some(tokens)).to_string().into()
    }

    /// One event of a stream.
    pub(super) fn chunk(&self, delta: Value, finish: Option<&str>) -> Bytes {
        let field = if self.operation == Operation::Chat { "delta" } else { "text" };
        let choice = json!({ "index": 0, field: delta, "logprobs": null, "finish_reason": finish });
        event(&self.envelope(true, json!([choice]), None))
    }

    /// The event before the last, when usage was asked for.
    pub(super) fn usage(&self, tokens: u64) -> Bytes {
        event(&self.envelope(true, json!([]), Some(tokens)))
    }
}

fn event(value: &Value) -> Bytes {
    format!("data: {value}\n\n").into()
}

pub(super) fn models() -> Bytes {
    let model = json!({ "id": "mock", "object": "model", "created": EPOCH_S, "owned_by": "llmhub" });
    json!({ "object": "list", "data": [model] }).to_string().into()
}

/// Vectors of the texts; otherwise which limit they break.
pub(super) fn embeddings(stamp: &Stamp, ask: &Ask) -> Result<Bytes, String> {
    let inputs: Vec<String> = match &ask.input {
        // A list of numbers is one text, already cut into tokens.
        Value::Array(items) if !items.is_empty() && !items[0].is_number() => {
            items.iter().map(text_of).collect()
        }
        other => vec![text_of(other)],
    };
    let dimensions = ask.dimensions.unwrap_or(DIMENSIONS).clamp(1, DIMENSIONS_MAX);
    let count = inputs.len();
    if count > INPUTS_MAX {
        return Err(format!("input has {count} texts: the mock embeds at most {INPUTS_MAX} at once"));
    }
    let numbers = count * dimensions as usize;
    let base64 = ask.encoding_format.as_deref() == Some("base64");
    let numbers_max = if base64 { BASE64_NUMBERS_MAX } else { NUMBERS_MAX };
    if numbers > numbers_max {
        return Err(format!(
            "{count} texts with {dimensions} dimensions make {numbers} numbers: the mock makes at most \
             {numbers_max}, or {BASE64_NUMBERS_MAX} with `encoding_format` base64; send fewer texts or ask for fewer \
             dimensions"
        ));
    }
    let data: Vec<Value> = inputs
        .iter()
        .enumerate()
        .map(|(index, text)| {
            let vector = vector(text, dimensions);
            let embedding = if base64 { encoded(&vector) } else { json!(vector) };
            json!({ "object": "embedding", "index": index, "embedding": embedding })
        })
        .collect();
    let usage = json!({ "prompt_tokens": stamp.prompt_tokens, "total_tokens": stamp.prompt_tokens });
    Ok(json!({ "object": "list", "data": data, "model": stamp.model, "usage": usage }).to_string().into())
}

/// A vector of length 1 that depends on the text alone.
fn vector(text: &str, dimensions: u32) -> Vec<f32> {
    let mut state = fnv(text.as_bytes());
    let raw: Vec<f32> = (0..dimensions)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // 24 bits are what an f32 holds exactly; halves of the range keep it away from the zero vector.
            (state >> 40) as f32 / 8_388_608.0 - 1.0 + f32::EPSILON
        })
        .collect();
    let length = raw.iter().map(|x| x * x).sum::<f32>().sqrt().max(f32::EPSILON);
    raw.into_iter().map(|x| x / length).collect()
}

/// What official clients ask for by default: little-endian floats as base64.
fn encoded(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    base64::engine::general_purpose::STANDARD.encode(bytes).into()
}

/// FNV-1a, 64 bits: a stable fingerprint, not a defence.
fn fnv(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}
