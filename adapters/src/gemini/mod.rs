//! Google's Gemini API, from the client's side.

mod classify;
mod config;
mod contents;
mod embed;
mod media;
mod models;
mod stream;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::json;

use crate::call::{Error, HttpRequest, Target};
use crate::chat::{Answer, Ask, Feature};
use crate::dialect::{Decoder, Dialect, Refusal};
use crate::media::Media;
use crate::models::Known;
use crate::openai::EVENT_STREAM;
use crate::openai::compatible::key_value;
use crate::usage::Usage;

/// What configuration calls it.
const NAME: &str = "gemini";
/// Carries the key.
const KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// Google's Gemini API.
pub struct Gemini;

/// Google's Gemini API. Its base URL is `https://generativelanguage.googleapis.com`; one that ends in `/v1beta` will do.
pub const GEMINI: Gemini = Gemini;

impl Gemini {
    fn post(
        &self,
        path: &str,
        body: Bytes,
        accept: &'static str,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        let mut request = http::Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri(path, target)?;
        let headers = request.headers_mut();
        headers.reserve(3);
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        authorize(headers, target)?;
        Ok(request)
    }
}

fn authorize(headers: &mut HeaderMap, target: &Target<'_>) -> Result<(), Error> {
    if let Some(secret) = target.secret {
        headers.insert(KEY, key_value(secret)?);
    }
    Ok(())
}

/// The base URL without what comes below it in any case.
fn base<'a>(target: &Target<'a>) -> &'a str {
    let base = target.base_url.trim_end_matches('/');
    base.strip_suffix("/v1beta").unwrap_or(base)
}

fn uri(path: &str, target: &Target<'_>) -> Result<http::Uri, Error> {
    Target { base_url: base(target), ..*target }.uri(path)
}

/// The path of something that a model does. Names come from clients too: what could lead elsewhere is escaped.
fn path_of(model: &str, does: &str) -> String {
    let mut path = String::from("/v1beta/");
    let (kind, name) = match model.split_once('/') {
        Some((kind @ ("models" | "tunedModels"), name)) => (kind, name),
        _ => ("models", model),
    };
    path.push_str(kind);
    path.push('/');
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'~' => path.push(char::from(byte)),
            // Two of them alone would lead upwards.
            b'.' if name.len() > 2 => path.push('.'),
            _ => path.push_str(&format!("%{byte:02X}")),
        }
    }
    path.push(':');
    path.push_str(does);
    path
}

impl Dialect for Gemini {
    fn name(&self) -> &str {
        NAME
    }

    fn home(&self) -> Option<&str> {
        Some("https://generativelanguage.googleapis.com")
    }

    fn usage(&self, body: &[u8]) -> Option<Usage> {
        stream::usage(&serde_json::from_slice(body).ok()?)
    }

    fn says(&self) -> &[Feature] {
        &[
            Feature::Tools,
            Feature::ToolChoice,
            Feature::StrictTools,
            Feature::Json,
            Feature::JsonSchema,
            Feature::Image,
            Feature::ImageUrl,
            Feature::Audio,
            Feature::File,
            Feature::FileUrl,
            Feature::UploadedFile,
            Feature::Choices,
            Feature::Logprobs,
            Feature::Reasoning,
            Feature::Temperature,
            Feature::TopP,
            Feature::TopK,
            Feature::PresencePenalty,
            Feature::FrequencyPenalty,
            Feature::Seed,
            Feature::Stop,
        ]
    }

    fn encode(&self, ask: &Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        let mut body = contents::body(ask, model, base(target))?;
        let config = config::generation(ask, model)?;
        if !config.is_empty() {
            body.insert("generationConfig".to_owned(), config.into());
        }
        if !ask.tools.is_empty() {
            body.insert("tools".to_owned(), config::tools(ask));
            if let Some(choice) = config::tool_choice(ask) {
                body.insert("toolConfig".to_owned(), json!({ "functionCallingConfig": choice }));
            }
        }
        let body = Bytes::from(serde_json::Value::Object(body).to_string());
        if ask.stream {
            self.post(&path_of(model, "streamGenerateContent?alt=sse"), body, EVENT_STREAM, target)
        } else {
            self.post(&path_of(model, "generateContent"), body, "application/json", target)
        }
    }

    fn decode(&self, body: &[u8]) -> Result<Answer, Refusal> {
        stream::decode(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<stream::EventDecoder>::default()
    }

    fn embed(&self, ask: &crate::embed::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model_of(&ask.model);
        let body = embed::body(ask, model).to_string().into();
        self.post(&path_of(model, "batchEmbedContents"), body, "application/json", target)
    }

    fn embedded(&self, body: &[u8]) -> Result<crate::embed::Answer, Refusal> {
        embed::read(body)
    }

    fn media(&self) -> Option<&dyn Media> {
        Some(self)
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        classify::classify(status, headers, body)
    }

    fn probe(&self, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let mut request = http::Request::new(Bytes::new());
        *request.uri_mut() = uri("/v1beta/models", target)?;
        authorize(request.headers_mut(), target)?;
        Ok(request)
    }

    fn models(&self) -> Cow<'_, [Known<'_>]> {
        Cow::Borrowed(models::GEMINI)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_name_does_not_lead_elsewhere() {
        assert_eq!(path_of("gemini-2.5-pro", "x"), "/v1beta/models/gemini-2.5-pro:x");
        assert_eq!(path_of("models/gemini-2.5-pro", "x"), "/v1beta/models/gemini-2.5-pro:x");
        assert_eq!(path_of("tunedModels/mine", "x"), "/v1beta/tunedModels/mine:x");
        assert_eq!(path_of("../files/a?b#c", "x"), "/v1beta/models/..%2Ffiles%2Fa%3Fb%23c:x");
        assert_eq!(path_of("models/..", "x"), "/v1beta/models/%2E%2E:x");
    }

    #[test]
    fn the_address_may_name_the_version() {
        for base_url in ["https://g.example", "https://g.example/", "https://g.example/v1beta/"] {
            let target = Target { secret: Some("k"), ..Target::at(base_url) };
            let probe = GEMINI.probe(&target).unwrap();
            assert_eq!(probe.uri(), "https://g.example/v1beta/models");
            assert_eq!(probe.headers()[KEY], "k");
            assert!(probe.headers()[KEY].is_sensitive());
        }
    }
}
