//! `/v1/rerank`, which is not OpenAI's: Jina, Cohere, vLLM, llama.cpp and others offer it in nearly one shape.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{lacking, rest};
use crate::call::{Call, Error};
use crate::client::About;
use crate::dialect::Refusal;
use crate::media::json;
use crate::media::rerank::{Answer, Ask, Document, Rank};
use crate::openai::usage_of;
use crate::read::Fields;

/// Documents of one call at most.
const DOCUMENTS_MAX: usize = 10_000;

/// The question of a body.
///
/// # Errors
/// When a field is missing or of the wrong type.
pub(crate) fn ask(call: &Call) -> Result<Ask, Error> {
    let mut fields = Fields::body(&call.body)?;
    let missing = fields.wrong("documents", "is missing: it is what the model puts in order");
    let list = fields.list("documents")?.ok_or(missing)?;
    if list.is_empty() || list.len() > DOCUMENTS_MAX {
        return Err(fields.wrong("documents", format!("must have 1 to {DOCUMENTS_MAX} documents")));
    }
    let documents = list.into_iter().enumerate().map(|(n, value)| document(n, value));
    let documents = documents.collect::<Result<_, Error>>()?;
    let top = fields.count("top_n")?;
    if top == Some(0) {
        return Err(fields.wrong("top_n", "must be at least 1"));
    }
    Ok(Ask {
        model: fields.need_text("model")?,
        query: fields.need_text("query")?,
        documents,
        top,
        echo: fields.flag("return_documents")?.unwrap_or(false),
        rest: rest(fields),
    })
}

fn document(n: usize, value: Value) -> Result<Document, Error> {
    match value {
        Value::String(text) => Ok(Document { text, object: None }),
        Value::Object(_) => {
            let text = value["text"].as_str().map(str::to_owned);
            let missing = Error::field(format!("documents[{n}].text"), "is missing: it must be a string");
            Ok(Document { text: text.ok_or(missing)?, object: Some(value) })
        }
        _ => Err(Error::field(format!("documents[{n}]"), "must be a string or an object with a `text`")),
    }
}

/// The answer to a client, best first. Where documents come with it, they are those that the client sent.
pub(crate) fn answer(ask: &Ask, answer: &Answer, ranks: &[Rank], about: &About) -> Bytes {
    let results = ranks.iter().map(|rank| {
        let mut one = json!({ "index": rank.index, "relevance_score": rank.score });
        if let Some(document) = ask.documents.get(rank.index).filter(|_| ask.echo) {
            one["document"] = document.object.clone().unwrap_or_else(|| json!({ "text": document.text }));
        }
        one
    });
    let results: Vec<Value> = results.collect();
    let id = if answer.id.is_empty() { format!("rerank-{}", about.id) } else { answer.id.clone() };
    let model = if answer.model.is_empty() { &ask.model } else { &answer.model };
    let tokens = answer.usage.map_or(0, |usage| usage.prompt_tokens);
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    json!({ "id": id, "object": "list", "model": model, "results": results, "usage": usage })
        .to_string()
        .into()
}

/// The question to a server. It need not send documents back that are known here.
pub(super) fn body(ask: &Ask, model: &str) -> Map<String, Value> {
    let documents: Vec<&str> = ask.documents.iter().map(|document| document.text.as_str()).collect();
    let mut out = Map::new();
    out.insert("model".to_owned(), model.into());
    out.insert("query".to_owned(), ask.query.as_str().into());
    out.insert("documents".to_owned(), json!(documents));
    if let Some(top) = ask.top {
        out.insert("top_n".to_owned(), top.into());
    }
    out
}

/// The answer of a server.
pub(super) fn read(body: &[u8]) -> Result<Answer, Refusal> {
    let value = json(body)?;
    let results = value["results"].as_array().ok_or_else(|| lacking(body, "results"))?;
    let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
    Ok(Answer { id: text("id"), model: text("model"), ranks: ranks(results)?, usage: usage_of(body) })
}

/// Places and scores.
///
/// # Errors
/// When a result lacks one.
pub(crate) fn ranks(results: &[Value]) -> Result<Vec<Rank>, Refusal> {
    let ranks = results.iter().map(|one| {
        let index = one["index"].as_u64().and_then(|index| usize::try_from(index).ok());
        let rank = index.zip(one["relevance_score"].as_f64()).map(|(index, score)| Rank { index, score });
        rank.ok_or_else(|| Refusal::nonsense("a result lacks `index` or `relevance_score`"))
    });
    ranks.collect()
}
