//! OpenAI's embeddings, from both sides.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{read_error, usage_of};
use crate::call::{Call, Error};
use crate::client::{About, Embedder};
use crate::dialect::Refusal;
use crate::embed::{Answer, Ask};
use crate::failure::FailureKind;
use crate::read::Fields;

/// Texts of one call at most, as at OpenAI.
const INPUTS_MAX: usize = 2_048;

/// Clients of `/v1/embeddings`.
pub struct Embeddings;

impl Embedder for Embeddings {
    fn ask(&self, call: &Call) -> Result<Ask, Error> {
        let mut fields = Fields::body(&call.body)?;
        let inputs = match fields.take("input") {
            Some(Value::Array(list)) if list.iter().any(|value| !value.is_string()) => {
                return Err(fields.wrong("input", "must be a string or a list of strings: tokens are not understood by this model's provider"));
            }
            Some(Value::Array(list)) if list.is_empty() || list.len() > INPUTS_MAX => {
                return Err(fields.wrong("input", format!("must have 1 to {INPUTS_MAX} texts")));
            }
            Some(Value::Array(list)) => list
                .into_iter()
                .filter_map(|value| if let Value::String(text) = value { Some(text) } else { None })
                .collect(),
            Some(Value::String(text)) => vec![text],
            _ => return Err(fields.wrong("input", "must be a string or a list of strings")),
        };
        let base64 = match fields.text("encoding_format")?.as_deref() {
            None | Some("float") => false,
            Some("base64") => true,
            Some(_) => return Err(fields.wrong("encoding_format", "must be float or base64")),
        };
        Ok(Ask {
            model: fields.need_text("model")?,
            inputs,
            dimensions: fields.count("dimensions")?,
            base64,
            user: fields.text("user")?,
        })
    }

    fn answer(&self, ask: &Ask, answer: &Answer, _: &About) -> Bytes {
        let data: Vec<Value> = answer
            .vectors
            .iter()
            .enumerate()
            .map(|(index, vector)| {
                let vector = if ask.base64 { in_base64(vector) } else { json!(vector) };
                json!({ "object": "embedding", "index": index, "embedding": vector })
            })
            .collect();
        let model = if answer.model.is_empty() { &ask.model } else { &answer.model };
        let tokens = answer.usage.map_or(0, |usage| usage.prompt_tokens);
        let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
        json!({ "object": "list", "data": data, "model": model, "usage": usage }).to_string().into()
    }
}

/// Little-endian 32-bit floats.
fn in_base64(vector: &[f32]) -> Value {
    let bytes: Vec<u8> = vector.iter().flat_map(|number| number.to_le_bytes()).collect();
    STANDARD.encode(bytes).into()
}

/// Texts as they are put to servers that speak OpenAI's dialect.
pub(crate) fn body(ask: &Ask, model: &str) -> Value {
    let mut body = json!({
        "model": model,
        "input": ask.inputs,
        "encoding_format": "float",
    });
    if let Some(dimensions) = ask.dimensions {
        body["dimensions"] = dimensions.into();
    }
    if let Some(user) = &ask.user {
        body["user"] = user.as_str().into();
    }
    body
}

/// An answer of a server that speaks OpenAI's dialect, in the order of the questions.
pub(crate) fn read(body: &[u8]) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    let Some(data) = value["data"].as_array() else {
        return Err(match read_error(body) {
            Some(error) => Refusal::new(FailureKind::Server, error),
            None => Refusal::nonsense("it has no `data`"),
        });
    };
    let mut rows: Vec<(u64, Vec<f32>)> = Vec::with_capacity(data.len());
    for (n, row) in data.iter().enumerate() {
        let vector =
            row["embedding"].as_array().ok_or_else(|| Refusal::nonsense("an `embedding` is no list"))?;
        let numbers = vector.iter().map(|number| number.as_f64().map(|number| number as f32));
        let numbers: Option<Vec<f32>> = numbers.collect();
        let numbers = numbers.ok_or_else(|| Refusal::nonsense("an `embedding` holds what is no number"))?;
        rows.push((row["index"].as_u64().unwrap_or(n as u64), numbers));
    }
    rows.sort_by_key(|(index, _)| *index);
    Ok(Answer {
        model: value["model"].as_str().unwrap_or_default().to_owned(),
        vectors: rows.into_iter().map(|(_, vector)| vector).collect(),
        usage: usage_of(body),
    })
}
