//! Bodies: by a template, or as OpenAI's with changes.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Wrong;
use super::address::Door;
use super::budget::Budget;
use super::compile::Compiler;
use super::declaration::{Change, Changes, Request};
use super::path::Path;
use super::shape::Shape;
use super::template::{Filling, Node, clamped};
use crate::call::Error;
use crate::chat::Feature;

/// Changes at most.
const CHANGES_MAX: usize = 64;

/// How a question is told.
#[derive(Debug)]
pub(super) enum Told {
    /// As OpenAI's, with changes.
    Openai { output_max: String, rules: Vec<Rule> },
    /// By a template.
    Template { node: Node, mentions: BTreeSet<String> },
}

/// A change of a body.
#[derive(Debug)]
pub(super) enum Rule {
    Move(Path, Path),
    Drop(Path),
    Set(Path, Value),
    Clamp(Path, f64, f64),
}

impl Told {
    /// Understands how questions of this shape are told.
    pub(super) fn new(said: &Request, root: &'static Shape, door: &Door, at: &str) -> Result<Self, Wrong> {
        match said {
            Request::Openai(changes) => Self::openai(changes, &format!("{at}.openai")),
            Request::Template(template) => {
                let options = |name: &str| door.has_option(name);
                let mut compiler = Compiler::new(root, &options);
                let at = format!("{at}.template");
                if !template.is_object() {
                    return Err(Wrong::new(at, "must be an object"));
                }
                let node = compiler.node(template, &at, 0)?;
                Ok(Told::Template { node, mentions: compiler.mentions })
            }
        }
    }

    fn openai(said: &Changes, at: &str) -> Result<Self, Wrong> {
        if said.rules.len() > CHANGES_MAX {
            return Err(Wrong::new(format!("{at}.rules"), "has too many entries: 64 at most"));
        }
        if said.output_max.is_empty() || said.output_max.len() > 64 {
            return Err(Wrong::new(format!("{at}.output_max"), "must be the name of a field"));
        }
        let rules = said.rules.iter().enumerate().map(|(n, change)| {
            let at = format!("{at}.rules[{n}]");
            let path = |text: &String| {
                let path = Path::parse(text, &at)?;
                if path.is_plain() { Ok(path) } else { Err(Wrong::new(&at, "names fields only, without []")) }
            };
            Ok(match change {
                Change::Move { from, to } => Rule::Move(path(from)?, path(to)?),
                Change::Drop(from) => Rule::Drop(path(from)?),
                Change::Set { at, value } => Rule::Set(path(at)?, value.clone()),
                Change::Clamp { at: place, min, max } if min <= max => Rule::Clamp(path(place)?, *min, *max),
                Change::Clamp { .. } => return Err(Wrong::new(at, "has a min that is larger than its max")),
            })
        });
        let rules = rules.collect::<Result<_, Wrong>>()?;
        Ok(Told::Openai { output_max: said.output_max.clone(), rules })
    }

    /// Whether it has a word for a feature.
    pub(super) fn speaks_of(&self, feature: Feature) -> bool {
        let words = words(feature);
        match self {
            Told::Openai { rules, .. } => {
                let field = feature.param(crate::Protocol::OpenAi);
                !rules.iter().any(|rule| matches!(rule, Rule::Drop(path) if path.text() == field))
            }
            Told::Template { mentions, .. } => {
                words.is_empty() || words.iter().any(|word| mentions.contains(*word))
            }
        }
    }

    /// Fills a template.
    ///
    /// # Errors
    /// When the question holds what it cannot say.
    pub(super) fn fill(node: &Node, root: &Value, dialect: &str) -> Result<Value, Error> {
        let mut filling = Filling { root, dialect, budget: Budget::new() };
        let body = filling.fill(node, &mut Vec::new())?;
        Ok(body.unwrap_or_else(|| Value::Object(Map::new())))
    }
}

/// The words of templates of which one must be there for a feature; none where it needs none.
fn words(feature: Feature) -> &'static [&'static str] {
    match feature {
        Feature::Tools => &["tools"],
        Feature::ToolChoice => &["tool_choice"],
        Feature::SingleTool => &["parallel_tools"],
        Feature::StrictTools => &["strict"],
        Feature::Json | Feature::JsonSchema => &["format"],
        Feature::Image | Feature::ImageUrl | Feature::Audio | Feature::File | Feature::FileUrl => &["parts"],
        Feature::UploadedFile => &["file_id"],
        Feature::RichResult => &["parts"],
        Feature::Choices => &["choices"],
        Feature::Logprobs => &["logprobs"],
        Feature::Reasoning => &["reasoning"],
        Feature::Temperature => &["temperature"],
        Feature::TopP => &["top_p"],
        Feature::TopK => &["top_k"],
        Feature::MinP => &["min_p"],
        Feature::PresencePenalty => &["presence_penalty"],
        Feature::FrequencyPenalty => &["frequency_penalty"],
        Feature::RepetitionPenalty => &["repetition_penalty"],
        Feature::Seed => &["seed"],
        Feature::Stop => &["stop"],
        Feature::LogitBias => &["logit_bias"],
        Feature::Prefill => &[],
    }
}

impl Rule {
    /// Does so to a body.
    pub(super) fn apply(&self, body: &mut Value) {
        match self {
            Rule::Move(from, to) => {
                if let Some(value) = from.take(body) {
                    put(body, to, value);
                }
            }
            Rule::Drop(from) => drop(from.take(body)),
            Rule::Set(at, value) => put(body, at, value.clone()),
            Rule::Clamp(at, min, max) => {
                if let Some(there) = at.place(body, false)
                    && let Some(value) = clamped(there, *min, *max)
                {
                    *there = value;
                }
            }
        }
    }
}

/// What lies in the way of a path is no object, which a rule before this put there: it yields.
fn put(body: &mut Value, at: &Path, value: Value) {
    if let Some(there) = at.place(body, true) {
        *there = value;
    }
}
