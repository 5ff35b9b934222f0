//! iFlytek's Spark by WebSocket: one text message asks, the answer comes in text messages, each a JSON object.
//!
//! [`SPARK`] makes of a question a request whose address begins with `wss` and whose body is the one message to be sent once
//! the socket is open. The transport gives back the messages as a body, each followed by a new line; a whole answer is all
//! of them.
//!
//! The base URL is `wss://spark-api.xf-yun.com`; with a path it is that of one model, else the model's name tells it. The key
//! is `APIKey:APISecret`; the option `app_id` names the application, `domain` the model where neither name nor path do.
//! Addresses are signed with the key and the time, so they must not be written down and are good for five minutes.

mod answer;
mod errors;
mod models;
mod request;
mod sign;

use std::borrow::Cow;

use bytes::Bytes;
use http::HeaderMap;

use crate::call::{Error, HttpRequest, Target};
use crate::chat::{Answer, Ask, Feature};
use crate::dialect::{Decoder, Dialect, Refusal};
use crate::models::Known;

/// What configuration calls it.
const NAME: &str = "spark-ws";

/// The dialect.
pub struct Spark;

/// iFlytek Spark by WebSocket.
pub const SPARK: Spark = Spark;

impl Dialect for Spark {
    fn name(&self) -> &str {
        NAME
    }

    fn home(&self) -> Option<&str> {
        Some("wss://spark-api.xf-yun.com")
    }

    fn says(&self) -> &[Feature] {
        &[
            Feature::Tools,
            Feature::ToolChoice,
            // It never calls more than one.
            Feature::SingleTool,
            Feature::Temperature,
            Feature::TopP,
            Feature::TopK,
            Feature::PresencePenalty,
            Feature::FrequencyPenalty,
        ]
    }

    fn encode(&self, ask: &Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let place = models::place(target, target.model_of(&ask.model));
        let body = request::body(ask, target, &place, NAME)?;
        let mut request = http::Request::new(Bytes::from(body.to_string()));
        *request.uri_mut() = sign::address(target, place.path, sign::Scheme::Socket)?;
        Ok(request)
    }

    fn decode(&self, body: &[u8]) -> Result<Answer, Refusal> {
        answer::decode(body)
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        Box::<answer::MessageDecoder>::default()
    }

    /// All messages of an exchange; the last one tells.
    fn usage(&self, body: &[u8]) -> Option<crate::usage::Usage> {
        answer::decode(body).ok()?.usage
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        errors::classify(status, headers, body)
    }

    /// A plain `GET` of the signed address, which opens no socket and so asks no model. The gate before the models checks the
    /// signature first: 401 and 403 mean the key or the clock, any other answer below 500 that all is well, for without a
    /// socket none is a success.
    fn probe(&self, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let place = models::place(target, target.model.unwrap_or_default());
        let mut request = http::Request::new(Bytes::new());
        *request.uri_mut() = sign::address(target, place.path, sign::Scheme::Plain)?;
        Ok(request)
    }

    fn models(&self) -> Cow<'_, [Known<'_>]> {
        Cow::Borrowed(models::KNOWN)
    }
}
