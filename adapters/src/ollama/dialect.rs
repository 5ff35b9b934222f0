//! Servers that speak as Ollama does, on one's own machines or at ollama.com.

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};

use super::{NDJSON, embed, request, stream};
use crate::call::{Call, Error, HttpRequest, Operation, Target};
use crate::chat::{Answer, Ask, Feature};
use crate::dialect::{Decoder, Dialect, Refusal};
use crate::openai::{ErrorBody, bearer_value, classify, read_error};
use crate::usage::Usage;

/// What configuration calls it.
pub(super) const NAME: &str = "ollama";

/// Ollama's interface.
pub struct Ollama;

/// Ollama's interface. Its base URL is a server's address, such as `http://127.0.0.1:11434`; one that ends in `/api` will do.
pub const OLLAMA: Ollama = Ollama;

impl Ollama {
    fn request(
        &self,
        path: &str,
        body: Bytes,
        stream: bool,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        let mut request = http::Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri(path, target)?;
        let accept = if stream { NDJSON } else { "application/json" };
        let headers = request.headers_mut();
        headers.reserve(3);
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        authorize(headers, target)?;
        Ok(request)
    }

    fn uri(&self, path: &str, target: &Target<'_>) -> Result<http::Uri, Error> {
        let base = target.base_url.trim_end_matches('/');
        Target { base_url: base.strip_suffix("/api").unwrap_or(base), ..*target }.uri(path)
    }
}

/// Servers on one's own machines want no key; ollama.com and proxies do.
fn authorize(headers: &mut HeaderMap, target: &Target<'_>) -> Result<(), Error> {
    if let Some(secret) = target.secret {
        headers.insert(AUTHORIZATION, bearer_value(secret)?);
    }
    Ok(())
}

impl Dialect for Ollama {
    fn name(&self) -> &str {
        NAME
    }

    fn relays(&self, operation: Operation) -> bool {
        matches!(operation, Operation::OllamaChat | Operation::OllamaGenerate | Operation::OllamaEmbed)
    }

    fn pass(&self, call: &Call, target: &Target<'_>) -> Result<HttpRequest, Error> {
        self.request(call.operation.path(), call.body_for(target.model), call.stream, target)
    }

    fn usage(&self, body: &[u8]) -> Option<Usage> {
        stream::usage(&serde_json::from_slice(body).ok()?)
    }

    fn says(&self) -> &[Feature] {
        &[
            Feature::Tools,
            Feature::Json,
            Feature::JsonSchema,
            Feature::Image,
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
        ]
    }

    fn encode(&self, ask: &Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let body = request::body(ask, target.model_of(&ask.model))?;
        self.request("/api/chat", body.to_string().into(), ask.stream, target)
    }

    fn decode(&self, body: &[u8]) -> Result<Answer, Refusal> {
        stream::decode(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<stream::LineDecoder>::default()
    }

    fn embed(&self, ask: &crate::embed::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let body = embed::body(ask, target.model_of(&ask.model));
        self.request("/api/embed", body.to_string().into(), false, target)
    }

    fn embedded(&self, body: &[u8]) -> Result<crate::embed::Answer, Refusal> {
        embed::read(body)
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        // Statuses mean what they mean at OpenAI; the body is only `{"error":"…"}`.
        let failure = classify(status, headers, body);
        let untold = ErrorBody::untold(status);
        let error = match read_error(body) {
            Some(error) => ErrorBody { kind: error.kind.or(untold.kind), ..error },
            None => untold,
        };
        Refusal { failure, error }
    }

    fn probe(&self, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let mut request = http::Request::new(Bytes::new());
        *request.uri_mut() = self.uri("/api/tags", target)?;
        authorize(request.headers_mut(), target)?;
        Ok(request)
    }
}
