//! What a provider's errors mean, by its own codes.

use std::collections::BTreeMap;

use http::HeaderMap;
use serde_json::Value;

use super::Wrong;
use super::declaration::{Errors, Sign};
use super::path::{First, Path};
use crate::dialect::Refusal;
use crate::failure::{Failure, FailureKind};
use crate::frames::Sse;
use crate::openai::{self, ErrorBody, read_error, retry_after};

/// Codes, statuses and signs at most, each.
const ENTRIES_MAX: usize = 256;
/// What kinds of failures are called.
const KINDS: &[FailureKind] = &[
    FailureKind::BadRequest,
    FailureKind::Authentication,
    FailureKind::NotFound,
    FailureKind::RateLimited,
    FailureKind::QuotaExceeded,
    FailureKind::Unavailable,
    FailureKind::Timeout,
    FailureKind::Server,
];

/// How errors are told.
#[derive(Debug)]
pub(super) struct Faults {
    message: First,
    code: First,
    signs: Vec<(Path, Vec<Value>)>,
    codes: Vec<(String, FailureKind)>,
    statuses: BTreeMap<u16, FailureKind>,
}

impl Faults {
    pub(super) fn new(said: &Errors) -> Result<Self, Wrong> {
        for (name, len) in
            [("signs", said.signs.len()), ("codes", said.codes.len()), ("statuses", said.statuses.len())]
        {
            if len > ENTRIES_MAX {
                return Err(Wrong::new(format!("errors.{name}"), "has too many entries: 256 at most"));
            }
        }
        let signs = said.signs.iter().enumerate().map(|(n, Sign { at, except })| {
            Ok((Path::parse(at, &format!("errors.signs[{n}].at"))?, except.clone()))
        });
        let codes = said
            .codes
            .iter()
            .map(|(code, word)| Ok((code.clone(), kind(word, &format!("errors.codes.{code}"))?)));
        let statuses = said.statuses.iter().map(|(status, word)| {
            let at = format!("errors.statuses.{status}");
            let number = status.parse().ok().filter(|number| (100..=999).contains(number));
            Ok((number.ok_or_else(|| Wrong::new(&at, "is no status"))?, kind(word, &at)?))
        });
        Ok(Self {
            message: First::parse(&said.message, "errors.message")?,
            code: First::parse(&said.code, "errors.code")?,
            signs: signs.collect::<Result<_, Wrong>>()?,
            codes: codes.collect::<Result<_, Wrong>>()?,
            statuses: statuses.collect::<Result<_, Wrong>>()?,
        })
    }

    /// The error in what came as a success, if a sign says that it is one.
    pub(super) fn found(&self, value: &Value) -> Option<Refusal> {
        let signed = self.signs.iter().any(|(path, except)| {
            path.first(value, value).is_some_and(|sign| is_sign(sign) && !except.contains(sign))
        });
        signed.then(|| {
            self.told(value, None).unwrap_or_else(|| Refusal::nonsense("it is an error without words"))
        })
    }

    /// The error that a value tells. A code that is not known is judged by what is told otherwise.
    pub(super) fn told(&self, value: &Value, otherwise: Option<FailureKind>) -> Option<Refusal> {
        if self.message.is_empty() && self.code.is_empty() {
            let error = read_error(value.to_string().as_bytes())?;
            let known = error.code.as_deref().and_then(|code| self.kind_of(code));
            let known = known.or_else(|| self.kind_of(error.kind.as_deref()?));
            return Some(Refusal::new(known.or(otherwise).unwrap_or(FailureKind::Server), error));
        }
        let (code, message) = (self.code.word(value, value), self.message.word(value, value));
        let known = code.as_deref().and_then(|code| self.kind_of(code));
        let kind = known.or(otherwise).unwrap_or(FailureKind::Server);
        let words = message.or_else(|| code.clone())?;
        let mut refusal = Refusal::told(kind, code.clone().unwrap_or_default(), words);
        refusal.error.code = code;
        Some(refusal)
    }

    fn kind_of(&self, told: &str) -> Option<FailureKind> {
        let fits = |(code, _): &&(String, FailureKind)| match code.strip_suffix('*') {
            Some(start) => told.starts_with(start),
            None => told == code,
        };
        let known = self.codes.iter().filter(fits).max_by_key(|(code, _)| (code.len(), !code.ends_with('*')));
        known.map(|(_, kind)| *kind)
    }

    /// What an answer that is no success means.
    pub(super) fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        let usual = openai::classify(status, headers, body);
        let by_status = self.statuses.get(&status).copied().unwrap_or(usual.kind);
        let value = serde_json::from_slice::<Value>(body).unwrap_or_else(|_| event(body));
        match self.told(&value, Some(by_status)) {
            Some(refusal) => {
                let failure = Failure::of(refusal.failure.kind, retry_after(headers));
                Refusal { failure, error: refusal.error }
            }
            None => Refusal {
                failure: Failure::of(by_status, usual.retry_after),
                error: ErrorBody::untold(status),
            },
        }
    }
}

/// Whether a value means that something is wrong.
fn is_sign(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty() && text != "0",
        Value::Bool(true) | Value::Array(_) | Value::Object(_) => true,
    }
}

/// Some providers tell an error by an event, with the status of an error too.
fn event(body: &[u8]) -> Value {
    let mut value = Value::Null;
    let mut take = |data: &[u8]| value = serde_json::from_slice(data).unwrap_or_default();
    let mut sse = Sse::default();
    sse.push(body, |_, data| take(data));
    sse.push(b"\n\n", |_, data| take(data));
    value
}

fn kind(word: &str, at: &str) -> Result<FailureKind, Wrong> {
    let found = KINDS.iter().find(|kind| kind.as_str() == word);
    found.copied().ok_or_else(|| {
        let words: Vec<&str> = KINDS.iter().map(|kind| kind.as_str()).collect();
        Wrong::new(at, format!("`{word}` is no kind of failure: there are {}", words.join(", ")))
    })
}
