//! The envelope of `/api/v1/chat/completions` for clients: a question with `parameters` and `user_info`, as JSON or as a
//! form, and answers as `{code, message, data, request_id, timestamp}`.

mod ask;
mod form;
mod write;

use bytes::Bytes;

use crate::call::{Call, Error};
use crate::chat::{Answer, Ask};
use crate::client::{About, Client, Encoder};
use crate::openai::ErrorBody;

pub use form::form_to_json;
pub(crate) use write::error;

/// Clients of `/api/v1/chat/completions`.
pub struct Envelope;

impl Client for Envelope {
    fn ask(&self, call: &Call) -> Result<Ask, Error> {
        ask::ask(&call.body)
    }

    fn answer(&self, ask: &Ask, answer: &Answer, about: &About) -> Bytes {
        Bytes::from(write::answer(ask, answer, about).to_string())
    }

    fn encoder(&self, ask: &Ask, about: &About) -> Box<dyn Encoder> {
        Box::new(write::EnvelopeEncoder::new(ask, about))
    }

    fn error_event(&self, error: &ErrorBody) -> Bytes {
        write::error_event(error, None)
    }
}
