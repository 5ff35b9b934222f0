//! DashScope's embeddings.

use serde_json::{Value, json};

use super::errors;
use crate::dialect::Refusal;
use crate::embed::{Answer, Ask};
use crate::usage::Usage;

/// The body.
pub(super) fn body(ask: &Ask, model: &str) -> Value {
    let mut parameters = json!({ "output_type": "dense" });
    if let Some(dimensions) = ask.dimensions {
        parameters["dimension"] = dimensions.into();
    }
    json!({ "model": model, "input": { "texts": ask.inputs }, "parameters": parameters })
}

/// The vectors, in the order of the texts.
///
/// # Errors
/// When it is an error that came as a success, or is not what is documented.
pub(super) fn read(body: &[u8]) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    let Some(list) = value["output"]["embeddings"].as_array() else {
        return Err(match errors::told(&value, None) {
            Some(refusal) => refusal,
            None => Refusal::nonsense("it has no `output.embeddings`"),
        });
    };
    let mut rows: Vec<(u64, Vec<f32>)> = Vec::with_capacity(list.len());
    for (n, row) in list.iter().enumerate() {
        let numbers = row["embedding"].as_array().and_then(|numbers| {
            let numbers = numbers.iter().map(|number| number.as_f64().map(|number| number as f32));
            numbers.collect::<Option<Vec<f32>>>()
        });
        let numbers = numbers.ok_or_else(|| Refusal::nonsense("an `embedding` is no list of numbers"))?;
        rows.push((row["text_index"].as_u64().unwrap_or(n as u64), numbers));
    }
    rows.sort_by_key(|(index, _)| *index);
    Ok(Answer {
        model: String::new(),
        vectors: rows.into_iter().map(|(_, vector)| vector).collect(),
        usage: value["usage"]["total_tokens"].as_u64().map(|tokens| Usage::of(tokens, 0)),
    })
}
