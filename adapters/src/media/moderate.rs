//! Judgements of what may not be said or shown.

/// What is to be judged.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ask {
    /// The model, by the name the client knows.
    pub model: String,
    /// Each gets a judgement of its own.
    pub inputs: Vec<Vec<Piece>>,
    /// Fields that are none of these, by path.
    pub rest: Vec<String>,
}

/// A piece of what is to be judged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    /// Words.
    Text(String),
    /// A picture, by its address, which may hold it.
    Image(String),
}

/// The judgements.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// By which the provider knows it; empty where it gave none.
    pub id: String,
    /// The model that judged, by the provider's name; empty where it gave none.
    pub model: String,
    /// In the order of what was asked.
    pub results: Vec<Judged>,
}

/// A judgement.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Judged {
    /// Whether anything is wrong.
    pub flagged: bool,
    /// What could be wrong, by the provider's names.
    pub categories: Vec<Category>,
}

/// Something that could be wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Category {
    /// Its name.
    pub name: String,
    /// Whether it is.
    pub flagged: bool,
    /// How surely, from 0 to 1, where the provider tells.
    pub score: Option<f64>,
    /// Which kinds of pieces it was looked for in: `text`, `image`.
    pub kinds: Vec<String>,
}
