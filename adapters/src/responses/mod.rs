//! OpenAI's responses for clients. What they ask becomes a chat: nothing is stored here, so each question must bring its
//! whole conversation.

mod ask;
mod input;
mod item;
mod output;
mod response;
mod write;

use bytes::{Bytes, BytesMut};

use crate::call::{Call, Error};
use crate::chat::{Answer, Ask};
use crate::client::{About, Client, Encoder};
use crate::openai::ErrorBody;

/// Clients of `/v1/responses`.
pub struct Responses;

impl Client for Responses {
    fn ask(&self, call: &Call) -> Result<Ask, Error> {
        ask::ask(&call.body)
    }

    fn answer(&self, ask: &Ask, answer: &Answer, about: &About) -> Bytes {
        Bytes::from(response::answer(ask, answer, about).to_string())
    }

    fn encoder(&self, ask: &Ask, about: &About) -> Box<dyn Encoder> {
        Box::new(write::EventEncoder::new(ask, about))
    }

    fn error_event(&self, error: &ErrorBody) -> Bytes {
        let mut out = BytesMut::new();
        write::error(error, 0, &mut out);
        out.freeze()
    }
}
