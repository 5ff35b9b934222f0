//! What providers and engines speak, from the client's side. A dialect turns a question into a request and what comes back
//! into an answer; sending it is others' work.

use std::borrow::Cow;
use std::ops::Deref;
use std::sync::Arc;

use http::HeaderMap;
use memchr::memmem;

use crate::call::{Call, Error, HttpRequest, Operation, Target};
use crate::chat::{Answer, Ask, Event, Feature};
use crate::embed;
use crate::failure::{Failure, FailureKind};
use crate::media::Media;
use crate::models::Known;
use crate::openai::ErrorBody;
use crate::usage::Usage;

/// A provider's interface.
pub trait Dialect: Send + Sync {
    /// What configuration, metrics and messages call it.
    fn name(&self) -> &str;

    /// Whether it takes the bytes that clients of an operation send as they are, and answers as they understand.
    fn relays(&self, operation: Operation) -> bool {
        let _ = operation;
        false
    }

    /// The request that passes a client's bytes on, for operations that it [relays](Dialect::relays).
    ///
    /// # Errors
    /// When the target's address or key cannot be put into a request.
    fn pass(&self, call: &Call, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let _ = target;
        Err(Error::cannot(call.operation.as_str(), self.name()))
    }

    /// Whether a whole answer that passes as it is looks like one. It is not read: what must be in it is looked for.
    ///
    /// # Errors
    /// When it does not, or holds an error all the same.
    fn judge(&self, operation: Operation, body: &[u8]) -> Result<(), Refusal> {
        let field = match operation {
            // Sound, and what may be asked for as plain text.
            Operation::Speech | Operation::Transcriptions => return Ok(()),
            operation => operation.told_by(),
        };
        let json = body.trim_ascii();
        let (object, told) =
            (json.starts_with(b"{") && json.ends_with(b"}"), memmem::find(json, field.as_bytes()).is_some());
        if object && told {
            return Ok(());
        }
        Err(match crate::openai::read_error(body).filter(|_| object) {
            Some(error) => Refusal::new(FailureKind::Server, error),
            None if object => Refusal::nonsense(&format!("it has no {field}")),
            None => Refusal::nonsense("it is no JSON object"),
        })
    }

    /// What a whole answer that passes as it is tells of its usage.
    fn usage(&self, body: &[u8]) -> Option<Usage> {
        crate::openai::usage_of(body)
    }

    /// What it can say of that which not every provider can.
    fn says(&self) -> &[Feature];

    /// The request for a chat.
    ///
    /// # Errors
    /// When the question holds what this dialect, or this model of it, cannot say; when the target's address or key cannot be
    /// put into a request.
    fn encode(&self, ask: &Ask, target: &Target<'_>) -> Result<HttpRequest, Error>;

    /// The answer in a body that came with a success.
    ///
    /// # Errors
    /// When it holds an error all the same, or is not what the provider's documents say.
    fn decode(&self, body: &[u8]) -> Result<Answer, Refusal>;

    /// Reads an answer in pieces.
    fn decoder(&self) -> Box<dyn Decoder>;

    /// The request for embeddings.
    ///
    /// # Errors
    /// As [`Dialect::encode`].
    fn embed(&self, ask: &embed::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let (_, _) = (ask, target);
        Err(Error::cannot("embeddings", self.name()))
    }

    /// The embeddings in a body that came with a success.
    ///
    /// # Errors
    /// As [`Dialect::decode`].
    fn embedded(&self, body: &[u8]) -> Result<embed::Answer, Refusal> {
        let _ = body;
        Err(Refusal::nonsense("embeddings were not asked for"))
    }

    /// What it offers beside chats and embeddings.
    fn media(&self) -> Option<&dyn Media> {
        None
    }

    /// What an answer that is no success means.
    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal;

    /// A request that costs nothing and shows whether the provider is there and takes the key.
    ///
    /// # Errors
    /// When the target's address or key cannot be put into a request.
    fn probe(&self, target: &Target<'_>) -> Result<HttpRequest, Error>;

    /// The base URL where the provider itself is reached, where there is one for everybody.
    fn home(&self) -> Option<&str> {
        None
    }

    /// Whether its keys are [exchanged](Dialect::exchange) for tokens.
    fn exchanges(&self) -> bool {
        false
    }

    /// The request that turns the target's key into a token that lives for a while; `None` where calls carry the key itself.
    /// The provider's actor sends it, keeps what it grants and asks again before that dies; in every other call
    /// `target.secret` is the token then.
    fn exchange(&self, target: &Target<'_>) -> Option<Result<HttpRequest, Error>> {
        let _ = target;
        None
    }

    /// What the answer to [`Dialect::exchange`] grants; the provider's actor calls this as well.
    ///
    /// # Errors
    /// When the key is refused, or the answer is not what the provider's documents say.
    fn exchanged(&self, body: &[u8]) -> Result<Granted, Refusal> {
        let _ = body;
        Err(Refusal::nonsense("no token was asked for"))
    }

    /// Its models as far as they are known.
    fn models(&self) -> Cow<'_, [Known<'_>]> {
        Cow::Borrowed(&[])
    }
}

/// A dialect that a target speaks.
#[derive(Clone)]
pub enum Spoken {
    /// One that the program knows.
    Known(&'static dyn Dialect),
    /// One that was declared to the cluster.
    Declared(Arc<dyn Dialect>),
}

impl Deref for Spoken {
    type Target = dyn Dialect;
    fn deref(&self) -> &Self::Target {
        match self {
            Spoken::Known(dialect) => *dialect,
            Spoken::Declared(dialect) => &**dialect,
        }
    }
}

impl std::fmt::Debug for Spoken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// Every dialect, by name.
pub const ALL: &[&dyn Dialect] = &[
    &crate::openai::OPENAI,
    &crate::openai::COMPATIBLE,
    &crate::anthropic::ANTHROPIC,
    &crate::profiles::AZURE,
    &crate::dashscope::DASHSCOPE,
    &crate::profiles::DASHSCOPE,
    &crate::profiles::DEEPSEEK,
    &crate::gemini::GEMINI,
    &crate::profiles::MOONSHOT,
    &crate::ollama::OLLAMA,
    &crate::profiles::QIANFAN,
    &crate::qianfan::QIANFAN_V1,
    &crate::profiles::SPARK,
    &crate::spark::SPARK,
    &crate::profiles::ZHIPU,
];

/// The dialect of this name.
pub fn named(name: &str) -> Option<&'static dyn Dialect> {
    ALL.iter().copied().find(|dialect| dialect.name() == name)
}

/// Reads a stream. Gives what its bytes say, however they are cut.
pub trait Decoder: Send {
    /// Takes the next bytes; appends the events that are complete now.
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>);

    /// The stream ended in order. Appends what is still to be told; a stream that did not say that it is complete gets no
    /// [`Event::Done`].
    fn finish(&mut self, out: &mut Vec<Event>) {
        let _ = out;
    }
}

/// A token that a key was exchanged for.
#[derive(Clone, PartialEq, Eq)]
pub struct Granted {
    /// What calls carry instead of the key.
    pub token: String,
    /// For how many seconds it is good.
    pub lives_s: u64,
}

impl std::fmt::Debug for Granted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Granted").field("lives_s", &self.lives_s).finish_non_exhaustive()
    }
}

/// An answer that is no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What it means for the call and for the target.
    pub failure: Failure,
    /// What the provider said, for the client.
    pub error: ErrorBody,
}

impl Refusal {
    /// A failure of this kind, judged as such kinds usually are.
    pub fn new(kind: FailureKind, error: ErrorBody) -> Self {
        Self { failure: Failure::of(kind, None), error }
    }

    /// What a provider told by a code of its own, as a failure of this kind.
    pub fn told(kind: FailureKind, code: impl Into<String>, message: impl Into<String>) -> Self {
        let word = match kind {
            FailureKind::BadRequest | FailureKind::NotFound => "invalid_request_error",
            FailureKind::Authentication => "authentication_error",
            FailureKind::RateLimited => "rate_limit_error",
            FailureKind::QuotaExceeded => "insufficient_quota",
            FailureKind::Unavailable | FailureKind::Timeout | FailureKind::Server => "server_error",
        };
        let (kind_word, code) = (Some(word.to_owned()), Some(code.into()));
        Self::new(kind, ErrorBody { message: message.into(), kind: kind_word, param: None, code })
    }

    /// A success that is not what the provider's documents say.
    pub fn nonsense(what: &str) -> Self {
        let message = format!("the provider's answer cannot be understood: {what}");
        let error = ErrorBody {
            message,
            kind: Some("server_error".to_owned()),
            param: None,
            code: Some("upstream_nonsense".to_owned()),
        };
        Self::new(FailureKind::Server, error)
    }
}

/// Tells by name the first thing that a question uses and a dialect cannot say.
///
/// # Errors
/// When there is one.
pub fn check(ask: &Ask, dialect: &dyn Dialect) -> Result<(), Error> {
    if let Some((param, _)) = ask.rest.first() {
        return Err(Error::unsaid(param.clone(), dialect.name()));
    }
    let says = dialect.says();
    match Feature::ALL.iter().find(|feature| !says.contains(feature) && ask.uses(**feature)) {
        Some(feature) => {
            Err(Error::Unsaid { what: (*feature).into(), dialect: dialect.name().to_owned().into() })
        }
        None => Ok(()),
    }
}
