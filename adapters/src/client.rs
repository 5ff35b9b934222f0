//! What clients speak, from the server's side: a question out of a body, and answers, pieces of answers and errors as bytes.

use bytes::{Bytes, BytesMut};

use crate::call::{Call, Error, Operation};
use crate::chat::{Answer, Ask, Event};
use crate::embed;
use crate::openai::ErrorBody;
use crate::protocol::Protocol;

/// A protocol of clients for chats.
pub trait Client: Send + Sync {
    /// The question of a body.
    ///
    /// # Errors
    /// When a field is missing, of the wrong type, or asks for what this protocol does not offer here; named by its path.
    fn ask(&self, call: &Call) -> Result<Ask, Error>;

    /// The answer, where no target need be asked for it.
    fn local(&self, call: &Call, ask: &Ask, about: &About) -> Option<Bytes> {
        let (_, _, _) = (call, ask, about);
        None
    }

    /// An answer, whole.
    fn answer(&self, ask: &Ask, answer: &Answer, about: &About) -> Bytes;

    /// An answer in pieces.
    fn encoder(&self, ask: &Ask, about: &About) -> Box<dyn Encoder>;

    /// An error in the middle of a stream that passed as it is.
    fn error_event(&self, error: &ErrorBody) -> Bytes;

    /// The content type of an answer in pieces.
    fn stream_type(&self) -> &'static str {
        crate::openai::EVENT_STREAM
    }
}

/// Turns events into what a client reads. Sees each event of a stream once, in order.
pub trait Encoder: Send {
    /// Appends what the event is in the client's protocol, which may be nothing. After [`Event::Done`] or [`Event::Error`]
    /// the stream is complete as the protocol wants it.
    fn push(&mut self, event: &Event, out: &mut BytesMut);
}

/// What an answer tells beside what the provider said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct About {
    /// A unique text of 32 hexadecimal digits, for ids that the provider did not give.
    pub id: String,
    /// Seconds since 1970.
    pub now_s: u64,
}

/// A protocol of clients for embeddings.
pub trait Embedder: Send + Sync {
    /// The texts of a body.
    ///
    /// # Errors
    /// As [`Client::ask`].
    fn ask(&self, call: &Call) -> Result<embed::Ask, Error>;

    /// Their vectors.
    fn answer(&self, ask: &embed::Ask, answer: &embed::Answer, about: &About) -> Bytes;
}

/// How clients of an operation speak who want vectors; `None` where it gives none.
pub fn embedder(operation: Operation) -> Option<&'static dyn Embedder> {
    Some(match operation {
        Operation::Embeddings => &crate::openai::Embeddings,
        Operation::OllamaEmbed => &crate::ollama::Embed,
        _ => return None,
    })
}

/// How clients of an operation speak; `None` where it is no chat.
pub fn of(operation: Operation) -> Option<&'static dyn Client> {
    Some(match operation {
        Operation::Chat => &crate::openai::Chat,
        Operation::Completions => &crate::openai::Completions,
        Operation::Responses => &crate::responses::Responses,
        Operation::Envelope => &crate::envelope::Envelope,
        Operation::OllamaChat => &crate::ollama::Chat,
        Operation::OllamaGenerate => &crate::ollama::Generate,
        Operation::Messages => &crate::anthropic::Messages,
        _ => return None,
    })
}

/// An error in the shape that clients of an operation understand.
pub fn error(operation: Operation, status: u16, error: &ErrorBody) -> Bytes {
    match operation.protocol() {
        Protocol::Anthropic => crate::anthropic::error_body(status, error),
        Protocol::Envelope => crate::envelope::error(status, error),
        Protocol::Ollama => crate::ollama::error_body(error),
        Protocol::OpenAi | Protocol::Responses => crate::openai::error_body(
            &error.message,
            error.kind.as_deref().unwrap_or("server_error"),
            error.param.as_deref(),
            error.code.as_deref(),
        ),
    }
}

/// An error as one event of a stream that passed as it is.
pub fn error_event(operation: Operation, error: &ErrorBody) -> Bytes {
    match of(operation) {
        Some(client) => client.error_event(error),
        None => crate::openai::Chat.error_event(error),
    }
}
