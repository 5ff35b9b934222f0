//! How Anthropic and servers like it are asked.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

use super::models::MODELS;
use super::stream::MessageDecoder;
use super::{NAME, errors, read, request};
use crate::call::{Call, Error, HttpRequest, Operation, Target};
use crate::chat::{Answer, Ask, Feature};
use crate::dialect::{Decoder, Dialect, Refusal};
use crate::models::Known;
use crate::openai::EVENT_STREAM;
use crate::openai::compatible::{JSON, key_value};
use crate::usage::Usage;

/// The version of the interface where the target's option `version` does not name another.
const VERSION: &str = "2023-06-01";
/// The beta that knows files uploaded before.
const FILES_BETA: &str = "files-api-2025-04-14";

const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const API_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
const API_BETA: HeaderName = HeaderName::from_static("anthropic-beta");

/// Anthropic's own interface. A target's options are `version` and `beta`, the latter a list with commas.
pub struct Anthropic;

/// The one there is.
pub const ANTHROPIC: Anthropic = Anthropic;

/// A request, its address below a base URL that may or may not end in `/v1`.
fn request(path: &str, body: Bytes, target: &Target<'_>, files: bool) -> Result<HttpRequest, Error> {
    let base = target.base_url.trim_end_matches('/');
    let path = if base.ends_with("/v1") { path.strip_prefix("/v1").unwrap_or(path) } else { path };
    let mut request = http::Request::new(body);
    *request.uri_mut() = target.uri(path)?;
    let headers = request.headers_mut();
    headers.reserve(5);
    if let Some(secret) = target.secret {
        headers.insert(API_KEY, key_value(secret)?);
    }
    let option = |name: &str, value: String| {
        let wrong =
            |_| Error::Target(format!("its option `{name}` has characters that a header cannot carry"));
        HeaderValue::try_from(value).map_err(wrong)
    };
    headers.insert(API_VERSION, option("version", target.option("version").unwrap_or(VERSION).to_owned())?);
    let given = target.option("beta").filter(|beta| !beta.is_empty());
    let files = (files && !given.is_some_and(|beta| beta.contains(FILES_BETA))).then_some(FILES_BETA);
    let betas: Vec<&str> = given.into_iter().chain(files).collect();
    if !betas.is_empty() {
        headers.insert(API_BETA, option("beta", betas.join(","))?);
    }
    Ok(request)
}

/// The same with a body of JSON.
fn post(
    path: &str,
    body: Bytes,
    stream: bool,
    target: &Target<'_>,
    files: bool,
) -> Result<HttpRequest, Error> {
    let mut request = request(path, body, target, files)?;
    *request.method_mut() = Method::POST;
    let accept = if stream { EVENT_STREAM } else { "application/json" };
    request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
    request.headers_mut().insert(CONTENT_TYPE, JSON);
    Ok(request)
}

impl Dialect for Anthropic {
    fn name(&self) -> &str {
        NAME
    }

    fn home(&self) -> Option<&str> {
        Some("https://api.anthropic.com")
    }

    fn relays(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Messages | Operation::CountTokens | Operation::Models)
    }

    fn pass(&self, call: &Call, target: &Target<'_>) -> Result<HttpRequest, Error> {
        match call.operation {
            Operation::Models => self.probe(target),
            Operation::Messages | Operation::CountTokens => {
                post(call.operation.path(), call.body_for(target.model), call.stream, target, false)
            }
            other => Err(Error::cannot(other.as_str(), NAME)),
        }
    }

    fn usage(&self, body: &[u8]) -> Option<Usage> {
        read::usage_of(body)
    }

    fn says(&self) -> &[Feature] {
        &[
            Feature::Tools,
            Feature::ToolChoice,
            Feature::SingleTool,
            Feature::StrictTools,
            Feature::JsonSchema,
            Feature::Image,
            Feature::ImageUrl,
            Feature::File,
            Feature::FileUrl,
            Feature::UploadedFile,
            Feature::RichResult,
            Feature::Reasoning,
            Feature::Temperature,
            Feature::TopP,
            Feature::TopK,
            Feature::Stop,
            Feature::Prefill,
        ]
    }

    fn encode(&self, ask: &Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let body = request::body(ask, target.model_of(&ask.model))?;
        let body = serde_json::Value::Object(body).to_string().into();
        post(Operation::Messages.path(), body, ask.stream, target, ask.uses(Feature::UploadedFile))
    }

    fn decode(&self, body: &[u8]) -> Result<Answer, Refusal> {
        read::decode(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<MessageDecoder>::default()
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        errors::classify(status, headers, body)
    }

    fn probe(&self, target: &Target<'_>) -> Result<HttpRequest, Error> {
        request(Operation::Models.path(), Bytes::new(), target, false)
    }

    fn models(&self) -> Cow<'_, [Known<'_>]> {
        Cow::Borrowed(MODELS)
    }
}
