//! Embeddings as every protocol means them.

use crate::usage::Usage;

/// Texts to be turned into vectors.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ask {
    /// The model, by the name the client knows.
    pub model: String,
    /// The texts.
    pub inputs: Vec<String>,
    /// How long vectors are to be; `None` leaves that to the model.
    pub dimensions: Option<u64>,
    /// Whether vectors come as base64 of little-endian 32-bit floats (OpenAI's `encoding_format`).
    pub base64: bool,
    /// Names the end user to the provider.
    pub user: Option<String>,
}

/// Vectors, one for each text.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// The model that answered, by the provider's name; empty where it gave none.
    pub model: String,
    /// In the order of the texts.
    pub vectors: Vec<Vec<f32>>,
    /// What was used, where the provider tells.
    pub usage: Option<Usage>,
}
