//! What models do beside chats and embeddings, as every protocol means it: pictures, speech, transcripts, judgements of what
//! may not be said, and documents in order of what they have to do with a question.

pub mod images;
pub mod moderate;
pub mod rerank;
pub mod speech;
mod task;
pub mod transcribe;
mod wav;

pub use task::{Sounding, Task, Whole};

use crate::call::{Error, HttpRequest, Target};
use crate::dialect::{Dialect, Refusal};

/// What a provider's interface offers of these tasks. What it does not offer it refuses by name.
pub trait Media: Dialect {
    /// The request for pictures.
    ///
    /// # Errors
    /// As [`Dialect::encode`].
    fn draw(&self, ask: &images::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let (_, _) = (ask, target);
        Err(Error::cannot("images", self.name()))
    }

    /// The pictures in a body that came with a success.
    ///
    /// # Errors
    /// As [`Dialect::decode`].
    fn drawn(&self, body: &[u8]) -> Result<images::Answer, Refusal> {
        let _ = body;
        Err(Refusal::nonsense("images were not asked for"))
    }

    /// The request for speech.
    ///
    /// # Errors
    /// As [`Dialect::encode`].
    fn speak(&self, ask: &speech::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let (_, _) = (ask, target);
        Err(Error::cannot("speech", self.name()))
    }

    /// Reads the sound out of an answer to [`Media::speak`].
    fn sounds(&self, ask: &speech::Ask) -> Box<dyn speech::Sounds> {
        let _ = ask;
        Box::new(speech::AsItIs)
    }

    /// The format of the sound, where the client leaves that to the provider, or the provider's is one of its own.
    fn sound_format(&self, ask: &speech::Ask) -> speech::Format {
        ask.format.unwrap_or(speech::Format::Mp3)
    }

    /// The request for a transcript.
    ///
    /// # Errors
    /// As [`Dialect::encode`].
    fn transcribe(&self, ask: &transcribe::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let (_, _) = (ask, target);
        Err(Error::cannot("transcriptions", self.name()))
    }

    /// The transcript in a body that came with a success.
    ///
    /// # Errors
    /// As [`Dialect::decode`].
    fn transcribed(&self, body: &[u8]) -> Result<transcribe::Answer, Refusal> {
        let _ = body;
        Err(Refusal::nonsense("a transcript was not asked for"))
    }

    /// The request for judgements.
    ///
    /// # Errors
    /// As [`Dialect::encode`].
    fn moderate(&self, ask: &moderate::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let (_, _) = (ask, target);
        Err(Error::cannot("moderations", self.name()))
    }

    /// The judgements in a body that came with a success.
    ///
    /// # Errors
    /// As [`Dialect::decode`].
    fn moderated(&self, body: &[u8]) -> Result<moderate::Answer, Refusal> {
        let _ = body;
        Err(Refusal::nonsense("moderation was not asked for"))
    }

    /// The request for documents in order.
    ///
    /// # Errors
    /// As [`Dialect::encode`].
    fn rerank(&self, ask: &rerank::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let (_, _) = (ask, target);
        Err(Error::cannot("rerank", self.name()))
    }

    /// The order in a body that came with a success.
    ///
    /// # Errors
    /// As [`Dialect::decode`].
    fn reranked(&self, body: &[u8]) -> Result<rerank::Answer, Refusal> {
        let _ = body;
        Err(Refusal::nonsense("an order of documents was not asked for"))
    }
}

/// The JSON of an answer.
pub(crate) fn json(body: &[u8]) -> Result<serde_json::Value, Refusal> {
    serde_json::from_slice(body).map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))
}
