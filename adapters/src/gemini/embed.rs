//! Gemini's embeddings.

use serde_json::{Value, json};

use super::classify::{classify, read_error};
use super::stream::usage;
use crate::dialect::Refusal;
use crate::embed::{Answer, Ask};

/// The body of `batchEmbedContents`, which names the model once more for each text.
pub(super) fn body(ask: &Ask, model: &str) -> Value {
    let model = if model.starts_with("models/") { model.to_owned() } else { format!("models/{model}") };
    let requests: Vec<Value> = ask
        .inputs
        .iter()
        .map(|text| {
            let mut one = json!({ "model": model, "content": { "parts": [{ "text": text }] } });
            if let Some(dimensions) = ask.dimensions {
                one["outputDimensionality"] = dimensions.into();
            }
            one
        })
        .collect();
    json!({ "requests": requests })
}

/// The answer.
pub(super) fn read(body: &[u8]) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    let Some(rows) = value["embeddings"].as_array() else {
        return Err(match read_error(&value) {
            Some((status, _)) => classify(status, &http::HeaderMap::new(), body),
            None => Refusal::nonsense("it has no `embeddings`"),
        });
    };
    let vectors = rows.iter().map(|row| {
        let numbers =
            row["values"].as_array().ok_or_else(|| Refusal::nonsense("an embedding has no `values`"))?;
        let numbers = numbers.iter().map(|number| number.as_f64().map(|number| number as f32));
        numbers
            .collect::<Option<Vec<f32>>>()
            .ok_or_else(|| Refusal::nonsense("an embedding holds what is no number"))
    });
    Ok(Answer { model: String::new(), vectors: vectors.collect::<Result<_, _>>()?, usage: usage(&value) })
}
