//! Baidu Qianfan as it was first (`wenxinworkshop`): one path for each model, an access token in the address, questions and
//! answers in turn, one function call at a time, and errors inside of successes.
//!
//! The base URL is `https://aip.baidubce.com`. The key is `API_KEY:SECRET_KEY`, which is exchanged for an access token of 30
//! days; a key without `:` is taken for such a token. Addresses carry it, so they must not be written down.

mod answer;
mod endpoints;
mod errors;
mod models;
mod request;
mod token;

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Value, json};

use crate::call::{Error, HttpRequest, Target};
use crate::chat::{Answer, Ask, Feature};
use crate::dialect::{Decoder, Dialect, Granted, Refusal};
use crate::embed;
use crate::models::Known;
use crate::openai::compatible::JSON;
use crate::openai::{EVENT_STREAM, usage_of};
use crate::query::encoded;

/// What the paths of all models begin with.
const WORKSHOP: &str = "/rpc/2.0/ai_custom/v1/wenxinworkshop";

/// What configuration calls it.
const NAME: &str = "qianfan-v1";

/// The dialect.
pub struct Qianfan;

/// Baidu Qianfan's first interface.
pub const QIANFAN_V1: Qianfan = Qianfan;

impl Qianfan {
    fn post(
        &self,
        path: &str,
        body: &Value,
        stream: bool,
        target: &Target<'_>,
    ) -> Result<HttpRequest, Error> {
        let token = target.need_secret()?;
        if token.contains(':') {
            return Err(Error::Target("its key was not exchanged for an access token".to_owned()));
        }
        let mut request = http::Request::new(Bytes::from(body.to_string()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = target.uri(&format!("{WORKSHOP}{path}?access_token={}", encoded(token)))?;
        let accept = if stream { EVENT_STREAM } else { "application/json" };
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        request.headers_mut().insert(CONTENT_TYPE, JSON);
        Ok(request)
    }
}

impl Dialect for Qianfan {
    fn name(&self) -> &str {
        NAME
    }

    fn home(&self) -> Option<&str> {
        Some("https://aip.baidubce.com")
    }

    fn says(&self) -> &[Feature] {
        &[
            Feature::Tools,
            Feature::ToolChoice,
            // It never calls more than one.
            Feature::SingleTool,
            Feature::Json,
            Feature::Temperature,
            Feature::TopP,
            Feature::RepetitionPenalty,
            Feature::Stop,
        ]
    }

    fn encode(&self, ask: &Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let endpoint = endpoints::chat(target.model_of(&ask.model));
        let body = request::body(ask, NAME)?;
        self.post(&format!("/chat/{}", encoded(endpoint)), &body, ask.stream, target)
    }

    fn decode(&self, body: &[u8]) -> Result<Answer, Refusal> {
        answer::decode(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<answer::LineDecoder>::default()
    }

    fn embed(&self, ask: &embed::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        if ask.dimensions.is_some() {
            return Err(Error::unsaid("dimensions", NAME));
        }
        let mut body = json!({ "input": ask.inputs });
        if let Some(user) = &ask.user {
            body["user_id"] = user.as_str().into();
        }
        let endpoint = endpoints::embeddings(target.model_of(&ask.model));
        self.post(&format!("/embeddings/{}", encoded(endpoint)), &body, false, target)
    }

    /// Vectors come as OpenAI's do; errors do not.
    fn embedded(&self, body: &[u8]) -> Result<embed::Answer, Refusal> {
        match serde_json::from_slice(body).ok().and_then(|value| errors::told(&value)) {
            Some(refusal) => Err(refusal),
            None => crate::openai::COMPATIBLE.embedded(body),
        }
    }

    fn usage(&self, body: &[u8]) -> Option<crate::usage::Usage> {
        usage_of(body)
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        errors::classify(status, headers, body)
    }

    /// Counts the tokens of one letter, which is free. Whether it is well is in the body: a token that is not accepted comes
    /// with status 200 and an `error_code`.
    fn probe(&self, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let body = json!({ "prompt": "a", "model": "ernie-3.5-8k" });
        self.post("/tokenizer/erniebot", &body, false, target)
    }

    fn exchanges(&self) -> bool {
        true
    }

    fn exchange(&self, target: &Target<'_>) -> Option<Result<HttpRequest, Error>> {
        token::request(target).transpose()
    }

    fn exchanged(&self, body: &[u8]) -> Result<Granted, Refusal> {
        token::read(body)
    }

    fn models(&self) -> Cow<'_, [Known<'_>]> {
        Cow::Borrowed(models::KNOWN)
    }
}
