//! What templates can refer to: the question as data, field by field. Templates are held against it, so that a word that is
//! spelled wrong is told when a declaration is put and not when a field is missing in calls.

/// What a value of the question is.
#[derive(Debug)]
pub(super) enum Shape {
    /// A text, a number or a truth.
    Leaf,
    /// Any JSON.
    Any,
    /// Options of the target, by name.
    Options,
    /// A list.
    List(&'static Shape),
    /// An object of these fields.
    Object(&'static [(&'static str, Shape)]),
}

use Shape::{Any, Leaf, List, Object, Options};

impl Shape {
    /// A field of it.
    ///
    /// # Errors
    /// With the fields that there are.
    pub(super) fn field(&self, name: &str) -> Result<&Shape, String> {
        match self {
            Any => Ok(&Any),
            Options => Ok(&Leaf),
            Leaf => Err("it has no fields".to_owned()),
            List(_) => Err("it is a list: go through it with $each".to_owned()),
            Object(fields) => {
                let found = fields.iter().find(|(known, _)| *known == name);
                found.map(|(_, shape)| shape).ok_or_else(|| {
                    let names: Vec<&str> = fields.iter().map(|(name, _)| *name).collect();
                    format!("there are {}", names.join(", "))
                })
            }
        }
    }
}

/// A part of a message or of a tool's result.
const PART: Shape = Object(&[
    ("kind", Leaf),
    ("text", Leaf),
    ("url", Leaf),
    ("media_type", Leaf),
    ("data", Leaf),
    ("file_id", Leaf),
    ("detail", Leaf),
    ("name", Leaf),
]);

/// A call of a tool.
const CALL: Shape = Object(&[("index", Leaf), ("id", Leaf), ("name", Leaf), ("arguments", Leaf)]);

/// A message.
const MESSAGE: Shape = Object(&[
    ("role", Leaf),
    ("speaker", Leaf),
    ("text", Leaf),
    ("parts", List(&PART)),
    ("thinking", Leaf),
    ("calls", List(&CALL)),
    ("call_id", Leaf),
    ("call_name", Leaf),
    ("failed", Leaf),
    ("prefill", Leaf),
]);

/// A tool.
const TOOL: Shape = Object(&[("name", Leaf), ("description", Leaf), ("parameters", Any), ("strict", Leaf)]);

/// A chat's question.
pub(super) const CHAT: &Shape = &Object(&[
    ("model", Leaf),
    ("messages", List(&MESSAGE)),
    ("system", Leaf),
    ("turns", List(&MESSAGE)),
    ("tools", List(&TOOL)),
    ("tool_choice", Object(&[("kind", Leaf), ("name", Leaf)])),
    ("parallel_tools", Leaf),
    (
        "format",
        Object(&[("kind", Leaf), ("name", Leaf), ("description", Leaf), ("schema", Any), ("strict", Leaf)]),
    ),
    ("max_tokens", Leaf),
    ("temperature", Leaf),
    ("top_p", Leaf),
    ("top_k", Leaf),
    ("min_p", Leaf),
    ("presence_penalty", Leaf),
    ("frequency_penalty", Leaf),
    ("repetition_penalty", Leaf),
    ("seed", Leaf),
    ("stop", List(&Leaf)),
    ("logit_bias", Any),
    ("choices", Leaf),
    ("logprobs", Leaf),
    ("top_logprobs", Leaf),
    ("reasoning", Object(&[("kind", Leaf), ("effort", Leaf), ("budget", Leaf)])),
    ("user", Leaf),
    ("stream", Leaf),
    ("option", Options),
]);

/// Texts that are to become vectors.
pub(super) const EMBEDDINGS: &Shape = &Object(&[
    ("model", Leaf),
    ("inputs", List(&Leaf)),
    ("dimensions", Leaf),
    ("user", Leaf),
    ("option", Options),
]);
