//! Tokens that a call used.

/// Tokens that a call used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Tokens read, those that came out of the provider's cache included.
    pub prompt_tokens: u64,
    /// Tokens written, thoughts included; none for embeddings.
    pub completion_tokens: u64,
    /// How many of those read came out of the provider's cache.
    pub cached_tokens: u64,
    /// How many of those read were put into the provider's cache.
    pub cache_write_tokens: u64,
    /// How many of those written were thoughts.
    pub reasoning_tokens: u64,
}

impl Usage {
    /// Tokens read and written, of which nothing else is known.
    pub fn of(prompt_tokens: u64, completion_tokens: u64) -> Self {
        Self { prompt_tokens, completion_tokens, ..Self::default() }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.prompt_tokens.saturating_add(self.completion_tokens)
    }
}
