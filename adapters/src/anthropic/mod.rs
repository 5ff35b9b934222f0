//! Anthropic's Messages API, from both sides: what clients of `/v1/messages` speak, and how Anthropic and servers like it
//! are asked.

mod answer;
mod ask;
mod blocks;
mod dialect;
mod errors;
mod generation;
mod models;
mod read;
mod request;
mod stream;
mod turns;
mod write;

use bytes::Bytes;

use crate::call::{Call, Error};
use crate::chat::{Answer, Ask};
use crate::client::{About, Client, Encoder};
use crate::openai::ErrorBody;

pub use dialect::{ANTHROPIC, Anthropic};
pub use errors::error_body;

/// What configuration calls the dialect.
const NAME: &str = "anthropic";

/// Marks a signature as the data of a `redacted_thinking` block. No signature of a `thinking` block begins so: they are in
/// base64, which has no colon.
const REDACTED: &str = "redacted_thinking:";

/// Clients of `/v1/messages`.
pub struct Messages;

impl Client for Messages {
    fn ask(&self, call: &Call) -> Result<Ask, Error> {
        ask::ask(call)
    }

    fn answer(&self, ask: &Ask, answer: &Answer, about: &About) -> Bytes {
        Bytes::from(answer::answer(ask, answer, about).to_string())
    }

    fn encoder(&self, ask: &Ask, about: &About) -> Box<dyn Encoder> {
        Box::new(write::MessageEncoder::new(ask, about))
    }

    fn error_event(&self, error: &ErrorBody) -> Bytes {
        errors::error_event(error)
    }
}
