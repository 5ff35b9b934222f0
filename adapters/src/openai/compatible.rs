//! Servers that speak OpenAI's dialect, and what each of them does in its own way: a profile is data, the code is one.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::{Map, Value, json};

use super::chat::{ChunkDecoder, body, decode};
use super::{EVENT_STREAM, bearer_value, classify, read_error, usage_of};
use crate::call::{Call, Error, HttpRequest, Operation, Target};
use crate::chat::{Answer, Ask, Feature};
use crate::dialect::{Decoder, Dialect, Refusal};
use crate::embed;
use crate::models::Known;
use crate::openai::ErrorBody;

/// What a server that speaks OpenAI's dialect does in its own way.
pub struct Profile {
    /// What configuration calls it.
    pub name: &'static str,
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
    pub models: &'static [Known],
}

/// How a server is given its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Auth {
    /// `Authorization: Bearer …`
    Bearer,
    /// In a header of this name.
    Header(&'static str),
}

/// What becomes of a field at the top of a body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// A number outside is set to the nearest inside.
    Clamp {
        /// The field.
        field: &'static str,
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// The field has another name there; where both are given, its own wins.
    Rename {
        /// What OpenAI calls it.
        from: &'static str,
        /// What it is called there.
        to: &'static str,
    },
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
pub static OPENAI: Profile = Profile {
    name: "openai",
    auth: Auth::Bearer,
    operations: ALL,
    output_max: "max_completion_tokens",
    rules: &[],
    says: COMMON,
    models: super::models::OPENAI,
};

/// Any other server of its dialect: engines on the nodes, vLLM, SGLang and many providers. They take more fields for drawing
/// tokens than OpenAI does, and go on from the model's own words.
pub static COMPATIBLE: Profile = Profile {
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
    models: &[],
};

impl Profile {
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
        match self.auth {
            Auth::Bearer => headers.insert(AUTHORIZATION, bearer_value(secret)?),
            Auth::Header(name) => headers.insert(HeaderName::from_static(name), key_value(secret)?),
        };
        Ok(())
    }

    fn rule(&self, body: &mut Map<String, Value>) {
        for rule in self.rules {
            rule.apply(body);
        }
    }
}

impl Rule {
    fn apply(self, body: &mut Map<String, Value>) {
        match self {
            Rule::Clamp { field, min, max } => {
                if let Some(value) = body.get_mut(field)
                    && let Some(number) = value.as_f64()
                    && !(min..=max).contains(&number)
                {
                    *value = number.clamp(min, max).into();
                }
            }
            Rule::Rename { from, to } => {
                if let Some(value) = body.remove(from)
                    && !body.contains_key(to)
                {
                    body.insert(to.to_owned(), value);
                }
            }
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
    fn name(&self) -> &'static str {
        self.name
    }

    fn relays(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
    }

    fn pass(&self, call: &Call, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let mut body = call.body_for(target.model);
        if !self.rules.is_empty()
            && let Ok(Value::Object(mut fields)) = serde_json::from_slice(&body)
        {
            self.rule(&mut fields);
            body = Value::Object(fields).to_string().into();
        }
        self.request(super::below_v1(call.operation), body, call.content_type(), call.stream, target)
    }

    fn says(&self) -> &'static [Feature] {
        self.says
    }

    fn encode(&self, ask: &Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let mut body = body(ask, target.model_of(&ask.model), self.output_max);
        self.rule(&mut body);
        let body = Value::Object(body).to_string().into();
        self.request("/chat/completions", body, JSON, ask.stream, target)
    }

    fn decode(&self, body: &[u8]) -> Result<Answer, Refusal> {
        decode(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<ChunkDecoder>::default()
    }

    fn embed(&self, ask: &embed::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let mut body = json!({
            "model": target.model_of(&ask.model),
            "input": ask.inputs,
            "encoding_format": "float",
        });
        if let Some(dimensions) = ask.dimensions {
            body["dimensions"] = dimensions.into();
        }
        if let Some(user) = &ask.user {
            body["user"] = user.as_str().into();
        }
        self.request("/embeddings", body.to_string().into(), JSON, false, target)
    }

    fn embedded(&self, body: &[u8]) -> Result<embed::Answer, Refusal> {
        super::embeddings::read(body)
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        let failure = classify(status, headers, body);
        Refusal { failure, error: read_error(body).unwrap_or_else(|| ErrorBody::untold(status)) }
    }

    fn probe(&self, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let mut request = http::Request::new(Bytes::new());
        *request.uri_mut() = target.uri("/models")?;
        self.authorize(request.headers_mut(), target)?;
        Ok(request)
    }

    fn models(&self) -> &'static [Known] {
        self.models
    }

    fn usage(&self, body: &[u8]) -> Option<crate::usage::Usage> {
        usage_of(body)
    }
}

/// The content type of most bodies.
pub(crate) const JSON: HeaderValue = HeaderValue::from_static("application/json");
