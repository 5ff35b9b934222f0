//! OpenAI's pictures, speech, transcripts and moderations, and the order of documents as Jina, Cohere, vLLM and llama.cpp
//! know it: each from both sides.

pub mod images;
pub mod moderations;
mod profile;
pub mod rerank;
pub mod speech;
pub mod transcriptions;
mod watch;

pub(crate) use watch::EventWatch;

use serde_json::{Value, json};

use super::read_error;
use crate::dialect::Refusal;
use crate::failure::FailureKind;
use crate::read::Fields;
use crate::usage::Usage;

/// What was used, as these answers tell it.
pub(crate) fn spent(usage: &Usage) -> Value {
    json!({
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "total_tokens": usage.total(),
    })
}

/// What is wrong with an answer that lacks what it should have.
fn lacking(body: &[u8], what: &str) -> Refusal {
    match read_error(body) {
        Some(error) => Refusal::new(FailureKind::Server, error),
        None => Refusal::nonsense(&format!("it has no `{what}`")),
    }
}

/// The paths of what was not read.
fn rest(fields: Fields) -> Vec<String> {
    fields.rest().into_iter().map(|(path, _)| path).collect()
}
