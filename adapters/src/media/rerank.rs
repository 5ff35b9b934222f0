//! Documents in order of what they have to do with a question.

use serde_json::Value;

use crate::usage::Usage;

/// What is to be put in order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ask {
    /// The model, by the name the client knows.
    pub model: String,
    /// The question.
    pub query: String,
    /// The documents.
    pub documents: Vec<Document>,
    /// How many of the best are wanted; all, where that is not said.
    pub top: Option<u64>,
    /// Whether they come with the answer.
    pub echo: bool,
    /// Fields that are none of these, by path.
    pub rest: Vec<String>,
}

/// A document.
#[derive(Debug, Clone, PartialEq)]
pub struct Document {
    /// Its words.
    pub text: String,
    /// The object that the client sent, which holds them.
    pub object: Option<Value>,
}

/// The order.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// By which the provider knows it; empty where it gave none.
    pub id: String,
    /// The model that answered, by the provider's name; empty where it gave none.
    pub model: String,
    /// Documents by their place in the question, and how much each has to do with it.
    pub ranks: Vec<Rank>,
    /// What was used, where the provider tells.
    pub usage: Option<Usage>,
}

/// How much a document has to do with the question.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rank {
    /// The document's place in the question.
    pub index: usize,
    /// More is better.
    pub score: f64,
}

impl Answer {
    /// The best first, no more than are wanted; `None` where one is told of that was not asked about, or one twice.
    pub(crate) fn ordered(&self, ask: &Ask) -> Option<Vec<Rank>> {
        let mut seen = vec![false; ask.documents.len()];
        for rank in &self.ranks {
            if std::mem::replace(seen.get_mut(rank.index)?, true) {
                return None;
            }
        }
        let mut ranks = self.ranks.clone();
        ranks.sort_by(|a, b| b.score.total_cmp(&a.score).then(a.index.cmp(&b.index)));
        ranks.truncate(ask.top.and_then(|top| usize::try_from(top).ok()).unwrap_or(usize::MAX));
        Some(ranks)
    }
}
