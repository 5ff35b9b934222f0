//! Dialects that are declared instead of programmed: data that says where requests go, what questions become and where in
//! answers things are. Clusters keep declarations and every node speaks them at once; `docs/adapters.md` tells how to write
//! one. Interpreting a declaration that was accepted never fails but by refusing a question or an answer by name: what it
//! could do wrong is told when it is put.

mod address;
mod budget;
mod compile;
mod declaration;
mod errors;
mod holes;
mod path;
mod question;
mod reading;
mod request;
mod shape;
mod speak;
mod stream;
mod template;
mod vectors;

pub use declaration::{
    Answer, Auth, Calls, Change, Changes, Chat, Choice, Declaration, Embeddings, End, Errors, Finish,
    Framing, Model, Paths, Pieces, Place, Price, Read, Reading, Request, Sign, Stream, Used, Vectors,
};
pub use speak::Declared;

/// Bytes of a declaration at most.
pub const DECLARATION_LEN_MAX: usize = 32 * 1024;

/// What is wrong with a declaration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {hint}")]
pub struct Wrong {
    /// Which field, by its path: `chat.stream.paths.reads[0].read.text`.
    pub field: String,
    /// What is wrong with it and what to write instead.
    pub hint: String,
}

impl Wrong {
    /// A field is wrong.
    pub(crate) fn new(field: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { field: field.into(), hint: hint.into() }
    }
}

/// The declarations that come with the program: their names, and themselves as JSON.
pub fn shipped() -> &'static [(&'static str, &'static str)] {
    &[
        ("cohere", include_str!("../../declarations/cohere.json")),
        ("dashscope-text", include_str!("../../declarations/dashscope-text.json")),
        ("ollama-chat", include_str!("../../declarations/ollama-chat.json")),
    ]
}

impl Declaration {
    /// Reads one out of JSON.
    ///
    /// # Errors
    /// When it is no JSON, too long, or has fields that there are not; told by line and column.
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        if text.len() > DECLARATION_LEN_MAX {
            return Err(Wrong::new("declaration", format!("may have {DECLARATION_LEN_MAX} bytes")));
        }
        serde_json::from_str(text)
            .map_err(|error| Wrong::new("declaration", format!("cannot be read: {error}")))
    }

    /// Finds out whether it makes a dialect.
    ///
    /// # Errors
    /// When it does not: which field is wrong, and what to do.
    pub fn validate(&self) -> Result<(), Wrong> {
        Declared::new(self.clone()).map(drop)
    }
}
