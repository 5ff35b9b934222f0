//! Servers that speak OpenAI's dialect, and what each of them does in its own way: a profile is data, the code is one.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value};

use super::chat::{ChunkDecoder, body, decode};
use super::rule::Rule;
use super::thinking::Thinking;
use super::{EVENT_STREAM, bearer_value, classify, read_error, usage_of};
use crate::call::{Call, Error, HttpRequest, Operation, Target};
use crate::chat::{Answer, Ask, Feature, ToolChoice};
use crate::dialect::{Decoder, Dialect, Refusal};
use crate::embed;
use crate::failure::{Failure, FailureKind};
use crate::media::Media;
use crate::models::Known;
use crate::openai::ErrorBody;
use crate::profiles::{azure, zhipu};

/// What a server that speaks OpenAI's dialect does in its own way.
pub struct Profile {
    /// What configuration calls it.
    pub name: &'static str,
    /// Where it is reached, where there is one place for everybody.
    pub home: Option<&'static str>,
    /// How it is given its key.
    pub auth: Auth,
    /// What it offers of OpenAI's interface; clients' bytes pass to it as they are.
    pub operations: &'static [Operation],
    /// The field for the most tokens of an answer.
    pub output_max: &'static str,
    /// What becomes of fields, in clients' bytes too.
    pub rules: &'static [Rule],
    /// What it can say of that which not every provider can.
    pub says: &'static [Feature],
    /// Its models as far as they are known.
    pub models: &'static [Known<'static>],
    /// Where its operations are.
    pub place: Place,
    /// How models are told to think, by the beginning of their names; the first that fits counts.
    pub thinking: &'static [(&'static str, Thinking)],
    /// How it is told to go on from the model's own last words, where it [says](Profile::says) that.
    pub prefill: Prefill,
    /// What of `none`, `required` and `function` (a certain one) it understands as choice of a tool, where it says that.
    pub tool_choices: &'static [&'static str],
    /// The most texts to stop at.
    pub stop_max: usize,
    /// What its codes and types of errors mean where the status tells something else. A `*` ends what is only a beginning.
    pub codes: &'static [(&'static str, FailureKind)],
    /// Finds an error in what came as a success, where it tells one in a way of its own.
    pub fault: Option<fn(&Value) -> Option<ErrorBody>>,
}

/// Where the operations of a server are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Below the base URL, by OpenAI's paths.
    Base,
    /// Below each model's deployment, after Azure.
    Deployments,
}

/// How a server is told to go on from the model's own last words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prefill {
    /// By nothing but such a message being the last.
    Unmarked,
    /// By this field of the message being true.
    Marked(&'static str),
    /// By this field, at base URLs that end so.
    MarkedAt {
        /// The field.
        mark: &'static str,
        /// How the base URL ends.
        base: &'static str,
    },
}

/// How a server is given its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer …`
    Bearer,
    /// In a header of this name.
    Header(&'static str),
    /// The same, but as a bearer where the target's option `auth` is `bearer`.
    HeaderOrBearer(&'static str),
    /// As a bearer; as a token signed with it, after Zhipu, where the target's option `auth` is `token`.
    BearerOrToken,
}

/// What servers of OpenAI's dialect commonly can say.
pub const COMMON: &[Feature] = &[
    Feature::Tools,
    Feature::ToolChoice,
    Feature::SingleTool,
    Feature::StrictTools,
    Feature::Json,
    Feature::JsonSchema,
    Feature::Image,
    Feature::ImageUrl,
    Feature::Audio,
    Feature::File,
    Feature::UploadedFile,
    Feature::Choices,
    Feature::Logprobs,
    Feature::Reasoning,
    Feature::Temperature,
    Feature::TopP,
    Feature::PresencePenalty,
    Feature::FrequencyPenalty,
    Feature::Seed,
    Feature::Stop,
    Feature::LogitBias,
];

/// The paths of OpenAI's interface.
pub const ALL: &[Operation] = &[
    Operation::Chat,
    Operation::Completions,
    Operation::Embeddings,
    Operation::Models,
    Operation::Moderations,
    Operation::Rerank,
    Operation::Images,
    Operation::Speech,
    Operation::Transcriptions,
];

/// OpenAI itself.
pub const OPENAI: Profile = Profile {
    name: "openai",
    home: Some("https://api.openai.com/v1"),
    auth: Auth::Bearer,
    operations: ALL,
    output_max: "max_completion_tokens",
    rules: &[],
    says: COMMON,
    models: super::models::OPENAI,
    ..Profile::PLAIN
};

/// Any other server of its dialect: engines on the nodes, vLLM, SGLang and many providers. They take more fields for drawing
/// tokens than OpenAI does, and go on from the model's own words.
pub const COMPATIBLE: Profile = Profile {
    name: "compatible",
    auth: Auth::Bearer,
    operations: ALL,
    output_max: "max_tokens",
    rules: &[],
    says: &[
        Feature::Tools,
        Feature::ToolChoice,
        Feature::SingleTool,
        Feature::StrictTools,
        Feature::Json,
        Feature::JsonSchema,
        Feature::Image,
        Feature::ImageUrl,
        Feature::Audio,
        Feature::Choices,
        Feature::Logprobs,
        Feature::Reasoning,
        Feature::Temperature,
        Feature::TopP,
        Feature::TopK,
        Feature::MinP,
        Feature::PresencePenalty,
        Feature::FrequencyPenalty,
        Feature::RepetitionPenalty,
        Feature::Seed,
        Feature::Stop,
        Feature::LogitBias,
        Feature::Prefill,
    ],
    ..Profile::PLAIN
};

impl Profile {
    /// A server without ways of its own, of which nothing is known.
    pub const PLAIN: Profile = Profile {
        name: "",
        home: None,
        auth: Auth::Bearer,
        operations: &[],
        output_max: "max_tokens",
        rules: &[],
        says: &[],
        models: &[],
        place: Place::Base,
        thinking: &[("", Thinking::Words)],
        prefill: Prefill::Unmarked,
        tool_choices: &["none", "required", "function"],
        stop_max: usize::MAX,
        codes: &[],
        fault: None,
    };

    /// The request for a body that was understood before, on another node; it is sent as it is.
    ///
    /// # Errors
    /// When the target's address or key cannot be put into a request.
    pub fn pass_body(
        &self,
        operation: Operation,
        body: Bytes,
        kind: HeaderValue,
        stream: bool,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        self.request(super::below_v1(operation), body, kind, stream, target)
    }

    /// The request with this body.
    fn request(
        &self,
        path: &str,
        body: Bytes,
        kind: HeaderValue,
        stream: bool,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        let mut request = http::Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri(path)?;
        let accept = if stream { EVENT_STREAM } else { "*/*" };
        let headers = request.headers_mut();
        headers.reserve(4);
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(CONTENT_TYPE, kind);
        self.authorize(headers, target)?;
        Ok(request)
    }

    fn authorize(&self, headers: &mut HeaderMap, target: &Target<'_>) -> Result<(), Error> {
        let Some(secret) = target.secret else { return Ok(()) };
        let option = target.options.get("auth").map(String::as_str);
        match (self.auth, option) {
            (Auth::BearerOrToken, Some("token")) => {
                headers.insert(AUTHORIZATION, bearer_value(&zhipu::token(secret, target.now_s)?)?)
            }
            (Auth::Bearer | Auth::BearerOrToken, _) | (Auth::HeaderOrBearer(_), Some("bearer")) => {
                headers.insert(AUTHORIZATION, bearer_value(secret)?)
            }
            (Auth::Header(name) | Auth::HeaderOrBearer(name), _) => {
                headers.insert(HeaderName::from_static(name), key_value(secret)?)
            }
        };
        Ok(())
    }

    /// Where an operation is, below the base URL.
    fn path(&self, model: &str, operation: &'static str, target: &Target<'_>) -> Cow<'static, str> {
        match self.place {
            Place::Base => operation.into(),
            Place::Deployments => azure::path(model, operation, target).into(),
        }
    }

    fn thinking_of(&self, model: &str) -> Thinking {
        let fits = self.thinking.iter().find(|(start, _)| model.starts_with(start));
        fits.map_or(Thinking::Words, |(_, thinking)| *thinking)
    }

    /// Refuses what is finer than [features](Profile::says).
    fn refuse(&self, ask: &Ask, target: &Target<'_>) -> Result<(), Error> {
        let unsaid = |feature: Feature| Error::Unsaid { what: feature.into(), dialect: self.name.into() };
        let choice = match ask.tool_choice.as_ref().filter(|_| !ask.tools.is_empty()) {
            None | Some(ToolChoice::Auto) => None,
            Some(ToolChoice::Never) => Some("none"),
            Some(ToolChoice::Required) => Some("required"),
            Some(ToolChoice::Named(_)) => Some("function"),
        };
        if choice.is_some_and(|choice| !self.tool_choices.contains(&choice)) {
            return Err(unsaid(Feature::ToolChoice));
        }
        if ask.sampling.stop.len() > self.stop_max {
            return Err(Error::unsaid(format!("stop[{}]", self.stop_max), self.name));
        }
        let here = match self.prefill {
            Prefill::MarkedAt { base, .. } => target.base_url.trim_end_matches('/').ends_with(base),
            Prefill::Unmarked | Prefill::Marked(_) => true,
        };
        if ask.uses(Feature::Prefill) && !here { Err(unsaid(Feature::Prefill)) } else { Ok(()) }
    }

    /// Marks the last message as one to go on from.
    fn mark(&self, body: &mut Map<String, Value>) {
        let (Prefill::Marked(mark) | Prefill::MarkedAt { mark, .. }) = self.prefill else { return };
        let messages = body.get_mut("messages").and_then(Value::as_array_mut);
        if let Some(Value::Object(last)) = messages.and_then(|messages| messages.last_mut()) {
            last.insert(mark.to_owned(), true.into());
        }
    }

    /// What a refusal means by the server's own codes.
    pub(super) fn judged(&self, refusal: Refusal) -> Refusal {
        match self.kind_of(&refusal.error) {
            Some(kind) => Refusal { failure: Failure::of(kind, refusal.failure.retry_after), ..refusal },
            None => refusal,
        }
    }

    fn kind_of(&self, error: &ErrorBody) -> Option<FailureKind> {
        let means = |told: &str| {
            let fits = |(code, _): &&(&str, FailureKind)| match code.strip_suffix('*') {
                Some(start) => told.starts_with(start),
                None => told == *code,
            };
            self.codes.iter().find(fits).map(|(_, kind)| *kind)
        };
        let code = error.code.as_deref().and_then(means);
        code.or_else(|| error.kind.as_deref().and_then(means))
    }

    /// The error in what came as a success.
    fn faulty(&self, body: &[u8]) -> Option<Refusal> {
        let error = self.fault?(&serde_json::from_slice(body).ok()?)?;
        Some(Refusal::new(FailureKind::Server, error))
    }

    /// The request for an operation with a body of our own.
    pub(super) fn post(
        &self,
        operation: Operation,
        model: &str,
        body: Bytes,
        kind: HeaderValue,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        let path = self.path(model, super::below_v1(operation), target);
        self.request(&path, body, kind, false, target)
    }

    pub(super) fn rule(&self, body: &mut Map<String, Value>) {
        for rule in self.rules {
            rule.apply(body);
        }
    }
}

/// A key as a header's value, marked as a secret.
pub(crate) fn key_value(secret: &str) -> Result<HeaderValue, Error> {
    let mut value = HeaderValue::try_from(secret)
        .map_err(|_| Error::Target("its API key has characters that a header cannot carry".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

impl Dialect for Profile {
    fn name(&self) -> &str {
        self.name
    }

    fn home(&self) -> Option<&str> {
        self.home
    }

    fn relays(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
    }

    fn pass(&self, call: &Call, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&call.model);
        let thinking = self.thinking_of(model);
        let mut body = call.body_for(target.model);
        if (!self.rules.is_empty() || thinking != Thinking::Words)
            && let Ok(Value::Object(mut fields)) = serde_json::from_slice(&body)
        {
            thinking.translate(&mut fields, self.name);
            self.rule(&mut fields);
            body = Value::Object(fields).to_string().into();
        }
        let path = self.path(model, super::below_v1(call.operation), target);
        self.request(&path, body, call.content_type(), call.stream, target)
    }

    fn says(&self) -> &[Feature] {
        self.says
    }

    fn encode(&self, ask: &Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        self.refuse(ask, target)?;
        let model = target.model_of(&ask.model);
        let mut body = body(ask, model, self.output_max);
        self.thinking_of(model).say(ask.reasoning.as_ref(), &mut body, self.name)?;
        if ask.uses(Feature::Prefill) {
            self.mark(&mut body);
        }
        self.rule(&mut body);
        let body = Value::Object(body).to_string().into();
        self.request(&self.path(model, "/chat/completions", target), body, JSON, ask.stream, target)
    }

    fn decode(&self, body: &[u8]) -> Result<Answer, Refusal> {
        let answer = self.faulty(body).map_or_else(|| decode(body), Err);
        answer.map_err(|refusal| self.judged(refusal))
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::new(ChunkDecoder::finding(self.fault))
    }

    fn embed(&self, ask: &embed::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        if !self.relays(Operation::Embeddings) {
            return Err(Error::cannot("embeddings", self.name));
        }
        let model = target.model_of(&ask.model);
        let body = super::embed_body(ask, model);
        let path = self.path(model, "/embeddings", target);
        self.request(&path, body.to_string().into(), JSON, false, target)
    }

    fn embedded(&self, body: &[u8]) -> Result<embed::Answer, Refusal> {
        let answer = self.faulty(body).map_or_else(|| super::embeddings::read(body), Err);
        answer.map_err(|refusal| self.judged(refusal))
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        let failure = classify(status, headers, body);
        let error = read_error(body).unwrap_or_else(|| ErrorBody::untold(status));
        self.judged(Refusal { failure, error })
    }

    fn probe(&self, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let mut request = http::Request::new(Bytes::new());
        *request.uri_mut() = match self.place {
            Place::Base => target.uri("/models")?,
            Place::Deployments => target.uri(&azure::models_path(target))?,
        };
        self.authorize(request.headers_mut(), target)?;
        Ok(request)
    }

    fn models(&self) -> Cow<'_, [Known<'_>]> {
        Cow::Borrowed(self.models)
    }

    fn usage(&self, body: &[u8]) -> Option<crate::usage::Usage> {
        usage_of(body)
    }

    fn media(&self) -> Option<&dyn Media> {
        Some(self)
    }
}

/// The content type of most bodies.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
