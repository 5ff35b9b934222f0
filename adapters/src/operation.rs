//! What clients call: every operation with its path, its protocol and where in its body the question is.

use crate::protocol::Protocol;

macro_rules! operations {
    ($($(#[$doc:meta])* $name:ident: $protocol:ident $path:literal $label:literal $question:literal;)*) => {
        /// What a client calls.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Operation {
            $($(#[$doc])* $name,)*
        }

        impl Operation {
            /// All of them.
            pub const ALL: &[Operation] = &[$(Operation::$name),*];

            /// Its path on a node.
            pub fn path(self) -> &'static str {
                match self { $(Operation::$name => $path,)* }
            }

            /// The operation of a node's path.
            pub fn of_path(path: &str) -> Option<Self> {
                match path {
                    $($path => Some(Operation::$name),)*
                    _ => None,
                }
            }

            /// The protocol it belongs to.
            pub fn protocol(self) -> Protocol {
                match self { $(Operation::$name => Protocol::$protocol,)* }
            }

            /// What metrics and logs call it.
            pub fn as_str(self) -> &'static str {
                match self { $(Operation::$name => $label,)* }
            }

            /// Where in a request the question is.
            pub(crate) fn question(self) -> &'static str {
                match self { $(Operation::$name => $question,)* }
            }
        }
    };
}

operations! {
    /// `POST /v1/chat/completions`
    Chat: OpenAi "/v1/chat/completions" "chat" "messages";
    /// `POST /v1/completions`
    Completions: OpenAi "/v1/completions" "completions" "prompt";
    /// `POST /v1/embeddings`
    Embeddings: OpenAi "/v1/embeddings" "embeddings" "input";
    /// `GET /v1/models`: what health checks ask.
    Models: OpenAi "/v1/models" "models" "input";
    /// `POST /v1/responses`
    Responses: Responses "/v1/responses" "responses" "input";
    /// `POST /v1/moderations`
    Moderations: OpenAi "/v1/moderations" "moderations" "input";
    /// `POST /v1/rerank`
    Rerank: OpenAi "/v1/rerank" "rerank" "documents";
    /// `POST /v1/images/generations`
    Images: OpenAi "/v1/images/generations" "images" "prompt";
    /// `POST /v1/audio/speech`
    Speech: OpenAi "/v1/audio/speech" "speech" "input";
    /// `POST /v1/audio/transcriptions`
    Transcriptions: OpenAi "/v1/audio/transcriptions" "transcriptions" "file";
    /// `POST /v1/messages`
    Messages: Anthropic "/v1/messages" "messages" "messages";
    /// `POST /v1/messages/count_tokens`
    CountTokens: Anthropic "/v1/messages/count_tokens" "count_tokens" "messages";
    /// `POST /api/chat`
    OllamaChat: Ollama "/api/chat" "ollama_chat" "messages";
    /// `POST /api/generate`
    OllamaGenerate: Ollama "/api/generate" "ollama_generate" "prompt";
    /// `POST /api/embed`
    OllamaEmbed: Ollama "/api/embed" "ollama_embed" "input";
    /// `POST /api/v1/chat/completions`
    Envelope: Envelope "/api/v1/chat/completions" "envelope" "parameters.prompt";
}

impl Operation {
    /// Whether answers come in pieces to those who do not say whether they should.
    pub(crate) fn streams_unasked(self) -> bool {
        matches!(self, Operation::OllamaChat | Operation::OllamaGenerate)
    }

    /// The field, in quotes, that every answer of it has.
    pub(crate) fn told_by(self) -> &'static str {
        match self {
            Operation::Chat | Operation::Completions => "\"choices\"",
            Operation::Embeddings | Operation::Models | Operation::Images => "\"data\"",
            Operation::Responses => "\"output\"",
            Operation::Moderations | Operation::Rerank => "\"results\"",
            Operation::Speech | Operation::Transcriptions | Operation::Envelope => "",
            Operation::Messages => "\"content\"",
            Operation::CountTokens => "\"input_tokens\"",
            Operation::OllamaChat => "\"message\"",
            Operation::OllamaGenerate => "\"response\"",
            Operation::OllamaEmbed => "\"embeddings\"",
        }
    }

    /// Whether its answers are tokens that a model writes.
    pub(crate) fn writes(self) -> bool {
        matches!(
            self,
            Operation::Chat
                | Operation::Completions
                | Operation::Responses
                | Operation::Messages
                | Operation::OllamaChat
                | Operation::OllamaGenerate
                | Operation::Envelope
        )
    }
}
