//! OpenAI's chat completions, from both sides.

mod answer;
mod ask;
mod read;
mod request;
mod stream;
mod write;

use bytes::Bytes;

use crate::call::{Call, Error};
use crate::chat::{Answer, Ask};
use crate::client::{About, Client, Encoder};
use crate::openai::{ErrorBody, error_event};
use crate::read::Fields;

pub(crate) use answer::{answer, usage};
pub(crate) use ask::{ask, sampling, stream_usage};
pub(crate) use read::{decode, logprobs};
pub(crate) use request::body;
pub(crate) use stream::ChunkDecoder;

/// Clients of `/v1/chat/completions`.
pub struct Chat;

impl Client for Chat {
    fn ask(&self, call: &Call) -> Result<Ask, Error> {
        ask(Fields::body(&call.body)?)
    }

    fn answer(&self, ask: &Ask, answer: &Answer, about: &About) -> Bytes {
        Bytes::from(self::answer(ask, answer, about).to_string())
    }

    fn encoder(&self, ask: &Ask, about: &About) -> Box<dyn Encoder> {
        Box::new(write::ChunkEncoder::new(ask, about))
    }

    fn error_event(&self, error: &ErrorBody) -> Bytes {
        error_event(
            &error.message,
            error.kind.as_deref().unwrap_or("server_error"),
            error.code.as_deref().unwrap_or("upstream_error"),
        )
    }
}
