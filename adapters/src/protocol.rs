//! The protocols that clients speak.

/// A protocol of clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// OpenAI's chat, completions, embeddings and what else lies under `/v1`.
    OpenAi,
    /// OpenAI's `/v1/responses`.
    Responses,
    /// Anthropic's `/v1/messages`.
    Anthropic,
    /// Ollama's `/api/…`.
    Ollama,
    /// The envelope of `/api/v1/…`: OpenAI's questions, answers as `{code, message, data}`.
    Envelope,
}

impl Protocol {
    /// What headers, metrics and logs call it.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::OpenAi => "openai",
            Protocol::Responses => "responses",
            Protocol::Anthropic => "anthropic",
            Protocol::Ollama => "ollama",
            Protocol::Envelope => "envelope",
        }
    }
}
