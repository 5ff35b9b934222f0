//! Ollama's embeddings, from both sides.

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::call::{Call, Error};
use crate::client::{About, Embedder};
use crate::dialect::Refusal;
use crate::embed::{Answer, Ask};
use crate::failure::FailureKind;
use crate::openai::read_error;
use crate::read::Fields;
use crate::usage::Usage;

/// Clients of `/api/embed`.
pub struct Embed;

/// What they are answered. Numbers are written as short as their 32 bits allow.
#[derive(Serialize)]
struct Told<'a> {
    model: &'a str,
    embeddings: &'a [Vec<f32>],
    total_duration: u64,
    load_duration: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    prompt_eval_count: Option<u64>,
}

impl Embedder for Embed {
    fn ask(&self, call: &Call) -> Result<Ask, Error> {
        let mut fields = Fields::body(&call.body)?;
        let inputs = fields.texts("input")?;
        if inputs.is_empty() {
            return Err(fields.wrong("input", "must be a string or a list of strings, and not empty"));
        }
        // Whether a text that is too long is cut is the target's to decide: others have no word for it.
        fields.flag("truncate")?;
        Ok(Ask {
            model: fields.need_text("model")?,
            inputs,
            dimensions: fields.count("dimensions")?.filter(|length| *length > 0),
            base64: false,
            user: None,
        })
    }

    fn answer(&self, ask: &Ask, answer: &Answer, _: &About) -> Bytes {
        let told = Told {
            model: if answer.model.is_empty() { &ask.model } else { &answer.model },
            embeddings: &answer.vectors,
            total_duration: 0,
            load_duration: 0,
            prompt_eval_count: answer.usage.map(|usage| usage.prompt_tokens),
        };
        // Cannot fail: there are only texts and numbers in it.
        serde_json::to_vec(&told).unwrap_or_default().into()
    }
}

/// The body for a server, which calls the model by this name.
pub(super) fn body(ask: &Ask, model: &str) -> Value {
    // As other protocols mean it: a text that is too long is an error, and not cut without a word.
    let mut body = json!({ "model": model, "input": ask.inputs, "truncate": false });
    if let Some(dimensions) = ask.dimensions {
        body["dimensions"] = dimensions.into();
    }
    body
}

/// A server's answer.
pub(super) fn read(body: &[u8]) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    let Some(rows) = value["embeddings"].as_array() else {
        return Err(match read_error(body) {
            Some(error) => Refusal::new(FailureKind::Server, error),
            None => Refusal::nonsense("it has no `embeddings`"),
        });
    };
    let vectors = rows.iter().map(|row| {
        let numbers = row.as_array().ok_or_else(|| Refusal::nonsense("an embedding is no list"))?;
        let numbers = numbers.iter().map(|number| number.as_f64().map(|number| number as f32));
        numbers
            .collect::<Option<Vec<f32>>>()
            .ok_or_else(|| Refusal::nonsense("an embedding holds what is no number"))
    });
    Ok(Answer {
        model: value["model"].as_str().unwrap_or_default().to_owned(),
        vectors: vectors.collect::<Result<_, _>>()?,
        usage: value["prompt_eval_count"].as_u64().map(|tokens| Usage::of(tokens, 0)),
    })
}
