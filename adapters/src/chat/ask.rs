//! A question.

use serde_json::Value;

/// What is asked of a model.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Ask {
    /// The model, by the name the client knows.
    pub model: String,
    /// The conversation so far, instructions included, oldest first.
    pub messages: Vec<Message>,
    /// What the model may call.
    pub tools: Vec<Tool>,
    /// Whether it must; `None` leaves that to the target, which lets the model choose.
    pub tool_choice: Option<ToolChoice>,
    /// Whether it may call several at once; `None` leaves that to the target.
    pub parallel_tools: Option<bool>,
    /// The form of the answer; `None` is free text.
    pub format: Option<Format>,
    /// The most tokens that each choice may have, thoughts included.
    pub output_max: Option<u64>,
    /// How tokens are drawn.
    pub sampling: Sampling,
    /// How many answers; `None` is one.
    pub choices: Option<u64>,
    /// Whether the probabilities of tokens are wanted, and of how many others beside each.
    pub logprobs: Option<u64>,
    /// How much the model thinks before it answers; `None` leaves that to the target.
    pub reasoning: Option<Reasoning>,
    /// Names the end user to the provider, for finding abuse.
    pub user: Option<String>,
    /// Whether the answer comes in pieces.
    pub stream: bool,
    /// Whether a stream is to tell what was used, in protocols where that is asked for.
    pub stream_usage: bool,
    /// Fields of the client's protocol that have no word here, by name: only a target of the same protocol understands them.
    pub rest: Vec<(String, Value)>,
    /// Fields that do not change the answer and may be left out where the target has no word for them, by name.
    pub hints: Vec<String>,
    /// Fields that answers of the client's protocol tell again, as they came, by name. No target sees them.
    pub echo: Vec<(String, Value)>,
}

impl Ask {
    /// A field that the answer is to tell again, where the client gave it.
    pub fn echoed(&self, name: &str) -> Option<&Value> {
        self.echo.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }
}

/// How tokens are drawn. `None` is the target's default.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sampling {
    /// 0 takes the likeliest.
    pub temperature: Option<f64>,
    /// Only the likeliest tokens that make up this share.
    pub top_p: Option<f64>,
    /// Only so many of the likeliest tokens.
    pub top_k: Option<u64>,
    /// Only tokens at least this likely, compared to the likeliest.
    pub min_p: Option<f64>,
    /// Against topics that came up before, -2 to 2.
    pub presence_penalty: Option<f64>,
    /// Against words that came up often, -2 to 2.
    pub frequency_penalty: Option<f64>,
    /// Against repetition, as a factor; 1 does nothing.
    pub repetition_penalty: Option<f64>,
    /// Makes draws repeatable.
    pub seed: Option<i64>,
    /// The answer ends before any of these.
    pub stop: Vec<String>,
    /// Makes tokens likelier or less likely: from token ids to -100 … 100.
    pub logit_bias: Option<Value>,
}

/// Who says something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Instructions; what OpenAI calls `developer` too.
    System,
    /// The person.
    User,
    /// The model.
    Assistant,
    /// What a tool gave back. Such a message has one [`Part::ToolResult`] and nothing else.
    Tool,
}

/// One message.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// The speaker's name, where several share a role.
    pub name: Option<String>,
    /// What is said, in order.
    pub parts: Vec<Part>,
}

impl Message {
    /// A message of one text.
    pub fn text(role: Role, text: impl Into<String>) -> Self {
        Self { role, name: None, parts: vec![Part::Text(text.into())] }
    }

    /// All its text.
    pub fn all_text(&self) -> String {
        texts(&self.parts)
    }
}

/// The texts of some parts, one after the other.
pub(super) fn texts(parts: &[Part]) -> String {
    let texts = parts.iter().map(|part| if let Part::Text(text) = part { text.as_str() } else { "" });
    texts.collect()
}

/// A part of a message or of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// Words.
    Text(String),
    /// A picture; how closely it is to be looked at (`low`, `high`, `auto`).
    Image {
        /// Where it is.
        source: Source,
        /// How closely.
        detail: Option<String>,
    },
    /// Sound.
    Audio(Source),
    /// A document.
    File {
        /// Where it is.
        source: Source,
        /// Its name.
        name: Option<String>,
    },
    /// What the model thought.
    Thinking {
        /// In words; empty where the provider keeps them to itself.
        text: String,
        /// By which the provider knows its own thoughts again.
        signature: Option<String>,
    },
    /// That the model does not answer, and why.
    Refusal(String),
    /// A tool the model calls.
    ToolCall(ToolCall),
    /// What a tool gave back.
    ToolResult(ToolResult),
}

/// Where a picture, a sound or a document is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// To be fetched by the provider.
    Url(String),
    /// Here.
    Inline {
        /// Such as `image/png`.
        media_type: String,
        /// In base64.
        data: String,
    },
    /// Uploaded to the provider before.
    Id(String),
}

impl Source {
    /// What a `data:` URL holds, or the URL itself.
    pub fn of_url(url: &str) -> Self {
        let inline = url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,"));
        match inline {
            Some((media_type, data)) => {
                Source::Inline { media_type: media_type.to_owned(), data: data.to_owned() }
            }
            None => Source::Url(url.to_owned()),
        }
    }

    /// As a URL, `data:` for what is here; `None` for what only the provider has.
    pub fn to_url(&self) -> Option<String> {
        match self {
            Source::Url(url) => Some(url.clone()),
            Source::Inline { media_type, data } => Some(format!("data:{media_type};base64,{data}")),
            Source::Id(_) => None,
        }
    }
}

/// A call of a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolCall {
    /// By which its result is known.
    pub id: String,
    /// Which tool.
    pub name: String,
    /// Its arguments as JSON text, as the model wrote them: it may be cut or wrong.
    pub arguments: String,
}

impl ToolCall {
    /// Its arguments as an object; an empty one where the model wrote none.
    ///
    /// # Errors
    /// When the model wrote something else.
    pub fn object(&self) -> Result<Value, String> {
        if self.arguments.trim().is_empty() {
            return Ok(Value::Object(serde_json::Map::new()));
        }
        match serde_json::from_str(&self.arguments) {
            Ok(value @ Value::Object(_)) => Ok(value),
            Ok(_) => Err("the arguments are no JSON object".to_owned()),
            Err(error) => Err(format!("the arguments are not valid JSON: {error}")),
        }
    }
}

/// What a tool gave back.
#[derive(Debug, Clone, PartialEq)]
pub struct ToolResult {
    /// The id of its call.
    pub id: String,
    /// The tool, where it is told; some providers know calls by it.
    pub name: Option<String>,
    /// What it gave: texts, and pictures where the target takes them.
    pub parts: Vec<Part>,
    /// Whether it failed.
    pub failed: bool,
}

impl ToolResult {
    /// All its text.
    pub fn all_text(&self) -> String {
        texts(&self.parts)
    }
}

/// Something the model may call.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub description: Option<String>,
    /// The JSON schema of its arguments.
    pub parameters: Option<Value>,
    /// Whether arguments must fit the schema exactly.
    pub strict: Option<bool>,
}

/// Whether the model must call a tool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ToolChoice {
    /// As it likes.
    Auto,
    /// None.
    Never,
    /// Some tool.
    Required,
    /// This one.
    Named(String),
}

/// The form of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Format {
    /// Any JSON object.
    Json,
    /// JSON that fits a schema.
    Schema {
        /// What the schema is called; protocols without names for it give [`Format::NAME`].
        name: String,
        /// What it is for.
        description: Option<String>,
        /// The JSON schema.
        schema: Value,
        /// Whether it must fit exactly.
        strict: Option<bool>,
    },
}

impl Format {
    /// What a schema is called that came without a name.
    pub const NAME: &'static str = "answer";
}

/// How much a model thinks before it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reasoning {
    /// Not at all.
    Off,
    /// As much as the target thinks right.
    On,
    /// In words: `minimal`, `low`, `medium`, `high` and what else the target knows.
    Effort(String),
    /// So many tokens at most.
    Budget(u64),
}
