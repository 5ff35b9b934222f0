//! Alibaba's own interface to its models, DashScope: one path for texts, another for questions with pictures or sound. Its
//! answers hold messages as OpenAI's do, inside a frame of their own, and its streams end with the last reason to end.
//!
//! The base URL is `https://dashscope.aliyuncs.com`. The option `interface` (`text` or `multimodal`) says on which path a
//! model is, where neither the question nor the model's name tells.

mod answer;
mod embeddings;
mod errors;
mod media;
mod models;
mod request;
mod sounds;
mod stream;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use crate::call::{Error, HttpRequest, Target};
use crate::chat::{Answer, Ask, Feature};
use crate::dialect::{Decoder, Dialect, Refusal};
use crate::embed;
use crate::media::Media;
use crate::models::Known;
use crate::openai::compatible::JSON;
use crate::openai::{EVENT_STREAM, bearer_value};

/// The path for texts.
const TEXT: &str = "/services/aigc/text-generation/generation";
/// The path for questions with pictures or sound, and for models that look or listen.
const MULTIMODAL: &str = "/services/aigc/multimodal-generation/generation";
/// The path for embeddings.
const EMBEDDINGS: &str = "/services/embeddings/text-embedding/text-embedding";
/// What all paths begin with; base URLs with and without it are in use.
const VERSION: &str = "/api/v1";
/// Asks for a stream.
const SSE: HeaderName = HeaderName::from_static("x-dashscope-sse");

/// What configuration calls it.
const NAME: &str = "dashscope";

/// The dialect.
pub struct DashScope;

/// Alibaba DashScope.
pub const DASHSCOPE: DashScope = DashScope;

impl DashScope {
    fn post(
        &self,
        path: &str,
        body: &Value,
        stream: bool,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        let mut request = http::Request::new(Bytes::from(body.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(target, path)?;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        headers.insert(AUTHORIZATION, bearer_value(target.need_secret()?)?);
        if stream {
            headers.insert(ACCEPT, HeaderValue::from_static(EVENT_STREAM));
            headers.insert(SSE, HeaderValue::from_static("enable"));
        } else {
            headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        }
        Ok(request)
    }
}

fn uri(target: &Target<'_>, path: &str) -> Result<http::Uri, Error> {
    let version = if target.base_url.trim_end_matches('/').ends_with(VERSION) { "" } else { VERSION };
    target.uri(&format!("{version}{path}"))
}

impl Dialect for DashScope {
    fn name(&self) -> &str {
        NAME
    }

    fn home(&self) -> Option<&str> {
        Some("https://dashscope.aliyuncs.com")
    }

    fn says(&self) -> &[Feature] {
        &[
            Feature::Tools,
            Feature::ToolChoice,
            Feature::SingleTool,
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
            Feature::PresencePenalty,
            Feature::RepetitionPenalty,
            Feature::Seed,
            Feature::Stop,
            Feature::Prefill,
        ]
    }

    fn encode(&self, ask: &Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        let multimodal = request::is_multimodal(ask, model, target.option("interface"))?;
        let body = request::body(ask, model, multimodal, NAME)?;
        let path = if multimodal { MULTIMODAL } else { TEXT };
        self.post(path, &body, ask.stream, target)
    }

    fn decode(&self, body: &[u8]) -> Result<Answer, Refusal> {
        answer::decode(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<stream::EventDecoder>::default()
    }

    fn embed(&self, ask: &embed::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let body = embeddings::body(ask, target.model_of(&ask.model));
        self.post(EMBEDDINGS, &body, false, target)
    }

    fn embedded(&self, body: &[u8]) -> Result<embed::Answer, Refusal> {
        embeddings::read(body)
    }

    fn media(&self) -> Option<&dyn Media> {
        Some(self)
    }

    fn usage(&self, body: &[u8]) -> Option<crate::usage::Usage> {
        answer::usage(&serde_json::from_slice::<Value>(body).ok()?["usage"])
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        errors::classify(status, headers, body)
    }

    /// The list of models, one of them: Alibaba's own libraries ask for it, and it costs nothing.
    fn probe(&self, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let mut request = http::Request::new(Bytes::new());
        *request.uri_mut() = uri(target, "/models?page_no=1&page_size=1")?;
        request.headers_mut().insert(AUTHORIZATION, bearer_value(target.need_secret()?)?);
        Ok(request)
    }

    fn models(&self) -> Cow<'_, [Known<'_>]> {
        Cow::Borrowed(models::KNOWN)
    }
}
