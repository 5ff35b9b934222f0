//! A client's call as every dialect sees it: the body once, untouched, and the few fields of it that routing needs. The
//! gateway makes one per request; a dialect turns it into a request for a target.

mod error;
pub(crate) mod form;
mod uses;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use memchr::memmem;
use serde::Deserialize;
use serde_json::value::RawValue;

pub use crate::operation::Operation;
use crate::protocol::Protocol;
pub use error::{Error, Unsaid};
pub use uses::Uses;

/// A request ready to be sent, with an absolute URI.
pub type HttpRequest = http::Request<Bytes>;

/// The longest model name that is looked at, in bytes.
pub const MODEL_LEN_MAX: usize = 512;
/// Bytes of a question that count as a token in an estimate.
const BYTES_PER_TOKEN: u64 = 4;
/// Tokens that an image or another file in a question counts as in an estimate.
const IMAGE_TOKENS: u64 = 1_000;

/// A call that was understood as far as routing needs it.
#[derive(Debug, Clone)]
pub struct Call {
    /// What it asks for.
    pub operation: Operation,
    /// The model it names.
    pub model: String,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// The most tokens that the answer may have, over all its choices; `None` if the client did not say.
    pub output_max: Option<u64>,
    /// The body, byte for byte as the client sent it.
    pub body: Bytes,
    model_at: Range<usize>,
    question_at: Range<usize>,
    /// What else is read to answer it: a search's query, a hint to a transcription.
    aside_at: Range<usize>,
    /// What the body is, where that is no JSON.
    kind: Option<http::HeaderValue>,
}

/// Where a call goes.
#[derive(Debug, Clone, Copy)]
pub struct Target<'a> {
    /// Base URL; usually ends in `/v1`.
    pub base_url: &'a str,
    /// Its key, token or password, where one is needed. What consists of several has `:` between them.
    pub secret: Option<&'a str>,
    /// The target's own name of the model, where it differs from the client's.
    pub model: Option<&'a str>,
    /// What else its dialect needs to know, by name: an API version, an application's id.
    pub options: &'a BTreeMap<String, String>,
    /// Seconds since 1970, for signatures.
    pub now_s: u64,
}

const NO_OPTIONS: &BTreeMap<String, String> = &BTreeMap::new();

impl<'a> Target<'a> {
    /// A target that needs nothing but its address.
    pub fn at(base_url: &'a str) -> Self {
        Self { base_url, secret: None, model: None, options: NO_OPTIONS, now_s: 0 }
    }

    /// What it calls the model that clients call so.
    pub fn model_of(&self, asked: &'a str) -> &'a str {
        self.model.unwrap_or(asked)
    }

    /// An option, where it was given.
    pub fn option(&self, name: &str) -> Option<&'a str> {
        self.options.get(name).map(String::as_str)
    }

    /// The secret.
    ///
    /// # Errors
    /// When there is none.
    pub fn need_secret(&self) -> Result<&'a str, Error> {
        self.secret
            .ok_or_else(|| Error::Target("it has no API key: give it one with PUT /api/providers".to_owned()))
    }

    /// An absolute address below its base URL.
    ///
    /// # Errors
    /// When that is no URL.
    pub fn uri(&self, path: &str) -> Result<http::Uri, Error> {
        let base = self.base_url.trim_end_matches('/');
        let mut text = String::with_capacity(base.len() + path.len());
        text.push_str(base);
        text.push_str(path);
        http::Uri::try_from(text).map_err(|e| Error::Target(format!("`{base}` is not a URL: {e}")))
    }
}

/// Fields are looked at as raw JSON, so that a wrong type is told by the field's name; everything else is only
/// checked to be JSON. A repeated field is an error: two readers could take different ones.
#[derive(Deserialize)]
struct Fields<'a> {
    #[serde(borrow)]
    model: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    messages: Option<&'a RawValue>,
    #[serde(borrow)]
    prompt: Option<&'a RawValue>,
    #[serde(borrow)]
    input: Option<&'a RawValue>,
    #[serde(borrow)]
    max_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_completion_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    max_output_tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    documents: Option<&'a RawValue>,
    #[serde(borrow)]
    query: Option<&'a RawValue>,
    #[serde(borrow)]
    options: Option<&'a RawValue>,
    #[serde(borrow)]
    n: Option<&'a RawValue>,
    #[serde(borrow)]
    parameters: Option<&'a RawValue>,
}

impl<'a> Fields<'a> {
    /// An envelope has all but the model's name one level deeper.
    fn opened(mut self, operation: Operation) -> Result<Self, Error> {
        if operation.protocol() != Protocol::Envelope {
            return Ok(self);
        }
        let raw = self.parameters.map(RawValue::get).filter(|raw| is_object(raw.as_bytes()));
        let hint = "is missing: it must be an object with a `prompt`";
        let raw = raw.ok_or(Error::field("parameters", hint))?;
        let inner: Self = serde_json::from_str(raw)
            .map_err(|_| Error::field("parameters", "has a field twice: send each once"))?;
        let stream = self.stream.take().filter(|raw| raw.get() != "null");
        Ok(Self { model: self.model, stream: stream.or(inner.stream), ..inner })
    }
}

impl Call {
    /// The question which models there are.
    pub fn models() -> Self {
        Call {
            operation: Operation::Models,
            model: String::new(),
            stream: false,
            output_max: None,
            body: Bytes::new(),
            model_at: 0..0,
            question_at: 0..0,
            aside_at: 0..0,
            kind: None,
        }
    }

    /// Reads a client's body once.
    pub fn parse(operation: Operation, body: Bytes) -> Result<Self, Error> {
        if !body.is_empty() && !is_object(&body) {
            let reason = "an object is expected".to_owned();
            return Err(Error::Json { reason, line: 1, column: 1 });
        }
        let fields: Fields<'_> = serde_json::from_slice(&body).map_err(|e| json_error(&body, &e))?;
        let fields = fields.opened(operation)?;
        let raw = fields.model.filter(|raw| raw.get() != "null");
        let Some(raw) = raw else {
            return Err(Error::field("model", "is missing: name one that GET /v1/models lists"));
        };
        let text: Cow<'_, str> = string(raw.get())
            .ok_or(Error::field("model", "must be a string: name one that GET /v1/models lists"))?;
        if text.is_empty() || text.len() > MODEL_LEN_MAX {
            return Err(Error::field("model", "must have 1 to 512 bytes"));
        }
        let model = text.into_owned();
        let model_at = place(&body, raw);
        let stream = match fields.stream.map(RawValue::get) {
            None | Some("null") => operation.streams_unasked(),
            Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(Error::field("stream", "must be true or false")),
        };
        check_question(operation, &fields)?;
        let question_at = question(operation, &fields).map_or(0..0, |raw| place(&body, raw));
        let aside_at =
            fields.query.filter(|_| operation == Operation::Rerank).map_or(0..0, |raw| place(&body, raw));
        let output_max = output_max(operation, &fields);
        Ok(Call { operation, model, stream, output_max, body, model_at, question_at, aside_at, kind: None })
    }

    /// What its body is.
    pub fn content_type(&self) -> http::HeaderValue {
        self.kind.clone().unwrap_or(http::HeaderValue::from_static("application/json"))
    }

    /// What it asks about: the question's bytes.
    pub fn question(&self) -> &[u8] {
        &self.body[self.question_at.clone()]
    }

    /// About how many tokens the question has: one for four bytes, which is what tokenizers make of English text and JSON,
    /// and [`IMAGE_TOKENS`] for a file that is part of it. What is to be spoken counts by characters, as it is priced; sound
    /// by its bytes, and a search's documents together with its query.
    pub fn prompt_estimate(&self) -> u64 {
        match self.operation {
            Operation::Speech => self.characters(),
            Operation::Transcriptions => self.sound_tokens(),
            _ => self.question_tokens(),
        }
    }

    fn question_tokens(&self) -> u64 {
        const FILE: &[u8] = b";base64,";
        let mut rest = &self.body[self.question_at.clone()];
        let (mut bytes, mut files) = (0, 0);
        while let Some(at) = memmem::find(rest, FILE) {
            bytes += at;
            files += 1;
            rest = &rest[at..];
            rest = &rest[memchr::memchr(b'"', rest).unwrap_or(rest.len())..];
        }
        ((bytes + rest.len() + self.aside_at.len()) as u64).div_ceil(BYTES_PER_TOKEN) + files * IMAGE_TOKENS
    }

    /// The body for a target that calls the model by `name`: the same bytes, but for the model's name.
    pub fn body_for(&self, name: Option<&str>) -> Bytes {
        let Some(name) = name.filter(|name| *name != self.model) else { return self.body.clone() };
        // In a form, a name stands without quotes.
        let name =
            if self.kind.is_some() { name.to_owned() } else { serde_json::Value::from(name).to_string() };
        let mut body = Vec::with_capacity(self.body.len() + name.len());
        body.extend_from_slice(&self.body[..self.model_at.start]);
        body.extend_from_slice(name.as_bytes());
        body.extend_from_slice(&self.body[self.model_at.end..]);
        body.into()
    }
}

/// Where in a body a part of it is.
fn place(body: &Bytes, raw: &RawValue) -> Range<usize> {
    let start = raw.get().as_ptr() as usize - body.as_ptr() as usize;
    start..start + raw.get().len()
}

/// What the client lets the answer have. What is no number is the target's to refuse.
fn output_max(operation: Operation, fields: &Fields<'_>) -> Option<u64> {
    let number = |raw: Option<&RawValue>| raw.and_then(|raw| raw.get().parse::<u64>().ok());
    if !operation.writes() {
        return Some(0);
    }
    let each = match operation.protocol() {
        Protocol::Ollama => {
            #[derive(Deserialize)]
            struct Options {
                num_predict: Option<u64>,
            }
            let options = serde_json::from_str::<Options>(fields.options?.get());
            options.ok()?.num_predict
        }
        Protocol::Responses => number(fields.max_output_tokens),
        _ => number(fields.max_completion_tokens).or_else(|| number(fields.max_tokens)),
    };
    Some(each?.saturating_mul(number(fields.n).unwrap_or(1).max(1)))
}

fn string(raw: &str) -> Option<Cow<'_, str>> {
    if !raw.starts_with('"') {
        return None;
    }
    let inner = raw.get(1..raw.len() - 1)?;
    if !inner.contains('\\') {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

fn question<'a>(operation: Operation, fields: &Fields<'a>) -> Option<&'a RawValue> {
    match operation.question() {
        "messages" => fields.messages,
        "prompt" => fields.prompt,
        // One text, or a conversation.
        "parameters.prompt" => fields.prompt.filter(|raw| raw.get() != "null").or(fields.messages),
        "documents" => fields.documents,
        "file" => None,
        _ => fields.input,
    }
}

fn check_question(operation: Operation, fields: &Fields<'_>) -> Result<(), Error> {
    let param = operation.question();
    let first = question(operation, fields).and_then(|raw| raw.get().bytes().next());
    match (param, first) {
        ("file", _) => Err(Error::field("Content-Type", form::NO_FORM)),
        // An empty question loads the model.
        (_, None) if operation == Operation::OllamaGenerate => Ok(()),
        (_, None | Some(b'n')) => Err(Error::field(param, "is missing: it is what the model answers to")),
        (_, Some(b'[')) => Ok(()),
        ("messages", _) => Err(Error::field(param, "must be a list of messages")),
        ("documents", _) => Err(Error::field(param, "must be a list")),
        (_, Some(b'"')) => Ok(()),
        _ => Err(Error::field(param, "must be a string or a list")),
    }
}

/// Whether JSON begins like an object. Decoding alone does not tell: a list of values passes for a struct.
pub(crate) fn is_object(json: &[u8]) -> bool {
    json.trim_ascii_start().first() == Some(&b'{')
}

pub(crate) fn json_error(body: &[u8], error: &serde_json::Error) -> Error {
    let text = error.to_string();
    // serde_json ends its messages with the position, which is told apart here.
    let reason = text.split(" at line ").next().unwrap_or(&text);
    let reason = if body.is_empty() { "it is empty".to_owned() } else { reason.to_owned() };
    Error::Json { reason, line: error.line(), column: error.column() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(body: &str) -> Result<Call, Error> {
        Call::parse(Operation::Chat, Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn a_call_keeps_its_bytes_and_knows_its_model() {
        let text =
            r#"{ "messages":[{"content":"ü"}], "model" : "a\u002fb" ,"x":{"model":"no"},"stream":true}"#;
        let call = parse(text).unwrap();
        assert_eq!((call.model.as_str(), call.stream), ("a/b", true));
        assert_eq!(call.body_for(None), text);
        assert_eq!(call.body_for(Some("a/b")), text);
        let renamed =
            r#"{ "messages":[{"content":"ü"}], "model" : "c\"d" ,"x":{"model":"no"},"stream":true}"#;
        assert_eq!(call.body_for(Some("c\"d")), renamed);
    }

    #[test]
    fn what_is_wrong_is_told_by_field_and_position() {
        let field = |body: &str| match parse(body).unwrap_err() {
            Error::Field { param, .. } => param.into_owned(),
            other => panic!("{other}"),
        };
        assert_eq!(field(r#"{"messages":[]}"#), "model");
        assert_eq!(field(r#"{"model":null,"messages":[]}"#), "model");
        assert_eq!(field(r#"{"model":7,"messages":[]}"#), "model");
        assert_eq!(field(r#"{"model":"","messages":[]}"#), "model");
        assert_eq!(field(r#"{"model":"m","stream":"yes","messages":[]}"#), "stream");
        assert_eq!(field(r#"{"model":"m"}"#), "messages");
        assert_eq!(field(r#"{"model":"m","messages":"hi"}"#), "messages");
        let at = |body: &str| match parse(body).unwrap_err() {
            Error::Json { line, column, reason } => (line, column, reason),
            other => panic!("{other}"),
        };
        assert_eq!(at("{\"model\":\n 'm'}"), (2, 2, "expected value".to_owned()));
        assert_eq!(at("").2, "it is empty");
        assert_eq!(at("[1]").2, "an object is expected");
        assert!(at(r#"{"model":"a","model":"b","messages":[]}"#).2.contains("duplicate"));
    }

    #[test]
    fn the_tokens_of_a_call_are_estimated_from_what_it_says() {
        let call = parse(r#"{"model":"m","messages":["12345678"],"max_tokens":7,"n":2}"#).unwrap();
        assert_eq!((call.prompt_estimate(), call.output_max), (3, Some(14)));
        let call = parse(r#"{"model":"m","messages":[],"max_tokens":7,"max_completion_tokens":9}"#).unwrap();
        assert_eq!(call.output_max, Some(9));
        assert_eq!(parse(r#"{"model":"m","messages":[],"max_tokens":"x"}"#).unwrap().output_max, None);
        let image = "A".repeat(100_000);
        let call = parse(&format!(r#"{{"model":"m","messages":["data:x;base64,{image}","1234"]}}"#)).unwrap();
        assert!((1_000..1_020).contains(&call.prompt_estimate()), "{}", call.prompt_estimate());
    }

    #[test]
    fn each_operation_has_its_own_question() {
        let ok = |operation, body: &'static str| {
            Call::parse(operation, Bytes::from_static(body.as_bytes())).is_ok()
        };
        assert!(ok(Operation::Completions, r#"{"model":"m","prompt":"a"}"#));
        assert!(ok(Operation::Embeddings, r#"{"model":"m","input":["a"]}"#));
        assert!(!ok(Operation::Embeddings, r#"{"model":"m","input":3}"#));
        assert!(!ok(Operation::Completions, r#"{"model":"m","messages":[]}"#));
        for operation in Operation::ALL {
            assert_eq!(Operation::of_path(operation.path()), Some(*operation));
        }
    }
}
