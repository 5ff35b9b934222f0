//! What a declaration may say: data that people write and clusters keep. [`super::Declared`] makes a dialect of it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A provider's interface, as data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declaration {
    /// What configuration calls the dialect.
    pub name: String,
    /// The base URL where everybody reaches the provider; `None` where each has their own.
    #[serde(default)]
    pub base: Option<String>,
    /// What all paths begin with, such as `/api/v1`. It is not said twice where the base URL ends so already.
    #[serde(default)]
    pub root: String,
    /// Where the secret goes; nowhere if empty.
    #[serde(default)]
    pub auth: Vec<Auth>,
    /// What else a target has to tell, by name.
    #[serde(default)]
    pub options: BTreeMap<String, Choice>,
    /// Headers of every request.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Chats.
    #[serde(default)]
    pub chat: Option<Chat>,
    /// Embeddings.
    #[serde(default)]
    pub embeddings: Option<Embeddings>,
    /// Operations whose bodies pass as they are, by name (`rerank`, `moderations`, …).
    #[serde(default)]
    pub passes: BTreeMap<String, Place>,
    /// A request that costs nothing and shows whether the provider is there and takes the key.
    pub probe: Place,
    /// How errors are told; as OpenAI tells them if nothing is said.
    #[serde(default)]
    pub errors: Errors,
    /// What it can say of that which not every provider can: names of features.
    #[serde(default)]
    pub says: Vec<String>,
    /// Its models as far as they are known.
    #[serde(default)]
    pub models: Vec<Model>,
}

/// One place of a request where the secret goes: a header or a parameter of the query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Auth {
    /// The header.
    #[serde(default)]
    pub header: Option<String>,
    /// The parameter of the query.
    #[serde(default)]
    pub query: Option<String>,
    /// What it holds, with `${secret}`, or `${secret.0}` and so on for what lies between the secret's colons.
    pub value: String,
    /// Whether targets without a secret are called without it.
    #[serde(default)]
    pub optional: bool,
}

/// An option that a target may give.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Choice {
    /// What it is for.
    pub about: String,
    /// Whether a target must give it.
    #[serde(default)]
    pub required: bool,
    /// What it is where no target gives it.
    #[serde(default)]
    pub default: Option<String>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Place {
    /// `GET` or `POST`; if nothing is said, `GET` of probes and `POST` of everything else.
    #[serde(default)]
    pub method: Option<String>,
    /// Below the base URL, with `${model}` and `${option.x}`.
    pub path: String,
    /// The query, by name; may hold the same.
    #[serde(default)]
    pub query: BTreeMap<String, String>,
    /// Headers, by name; may hold the same.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
}

/// Chats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Chat {
    /// Where questions go.
    pub at: Place,
    /// Where questions go whose answers come in pieces, where that is another place or has other headers.
    #[serde(default)]
    pub stream_at: Option<Place>,
    /// How the question is told.
    pub request: Request,
    /// How a whole answer is read.
    pub answer: Answer,
    /// How an answer in pieces is read.
    pub stream: Stream,
}

/// How a question is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// As OpenAI's, with these changes.
    Openai(Changes),
    /// As this template says.
    Template(Value),
}

/// What is changed of OpenAI's body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Changes {
    /// The field for the most tokens of an answer.
    #[serde(default = "max_tokens")]
    pub output_max: String,
    /// Changes, made in this order.
    #[serde(default)]
    pub rules: Vec<Change>,
}

fn max_tokens() -> String {
    "max_tokens".to_owned()
}

/// A change of a body. Fields are named by path: `parameters.max_tokens`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// A field goes to another place, if it is there.
    Move {
        /// Where it is.
        from: String,
        /// Where it goes.
        to: String,
    },
    /// A field is left out.
    Drop(String),
    /// A field has this value, always.
    Set {
        /// Which.
        at: String,
        /// Its value.
        value: Value,
    },
    /// A number outside is set to the nearest inside.
    Clamp {
        /// Which.
        at: String,
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
}

/// How a whole answer is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// As OpenAI's.
    Openai,
    /// By these paths.
    Paths(Box<Reading>),
}

/// One path, or several of which the first counts that leads to something.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Paths {
    /// One.
    One(String),
    /// Several.
    First(Vec<String>),
}

impl Default for Paths {
    fn default() -> Self {
        Paths::First(Vec::new())
    }
}

impl Paths {
    /// All of them.
    pub fn all(&self) -> &[String] {
        match self {
            Paths::One(path) => std::slice::from_ref(path),
            Paths::First(paths) => paths,
        }
    }
}

/// Where things are in an answer or an event. `id`, `model`, `choices` and `usage` start at its root; all else in each of the
/// choices, or at the root where a path begins with `$.`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reading {
    /// By which the provider knows the answer.
    #[serde(default)]
    pub id: Paths,
    /// The model that answers.
    #[serde(default)]
    pub model: Paths,
    /// The list of choices; where nothing is said, the whole is the only choice.
    #[serde(default)]
    pub choices: Option<String>,
    /// Words.
    #[serde(default)]
    pub text: Paths,
    /// Thoughts.
    #[serde(default)]
    pub thinking: Paths,
    /// Why it does not answer.
    #[serde(default)]
    pub refusal: Paths,
    /// Probabilities of tokens, a list as OpenAI has it.
    #[serde(default)]
    pub logprobs: Paths,
    /// Calls of tools.
    #[serde(default)]
    pub calls: Option<Calls>,
    /// Why it ended.
    #[serde(default)]
    pub finish: Option<Finish>,
    /// What was used.
    #[serde(default)]
    pub usage: Option<Used>,
}

/// Where calls of tools are. All but `list` start in each call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calls {
    /// The list of them, or the only one itself.
    pub list: String,
    /// By which its result is known.
    #[serde(default)]
    pub id: Paths,
    /// The tool.
    pub name: Paths,
    /// Its arguments: JSON text, or the object itself.
    #[serde(default)]
    pub arguments: Paths,
    /// What tells the pieces of one call from those of others, in streams; without it each piece is a call.
    #[serde(default)]
    pub index: Paths,
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finish {
    /// Where the word is.
    pub at: Paths,
    /// What words mean: `stop`, `length`, `tools`, `filtered` or `error`. Any other word means `stop`, or `tools` where tools
    /// were called.
    #[serde(default)]
    pub words: BTreeMap<String, String>,
    /// Words that mean that it did not end yet.
    #[serde(default)]
    pub unfinished: Vec<String>,
}

/// Where it is told how many tokens were used.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Used {
    /// Those read, those out of a cache included.
    #[serde(default)]
    pub prompt: Paths,
    /// Those written, thoughts included.
    #[serde(default)]
    pub completion: Paths,
    /// Both.
    #[serde(default)]
    pub total: Paths,
    /// How many of those read came out of a cache.
    #[serde(default)]
    pub cached: Paths,
    /// How many of those read were put into a cache.
    #[serde(default)]
    pub cache_write: Paths,
    /// How many of those written were thoughts.
    #[serde(default)]
    pub reasoning: Paths,
}

/// How an answer in pieces is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// As OpenAI's.
    Openai,
    /// By these paths.
    Paths(Pieces),
}

/// An answer in pieces.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pieces {
    /// How pieces are told apart.
    pub framing: Framing,
    /// Where a piece tells its kind; where nothing is said, the kind is the name of the server-sent event.
    #[serde(default)]
    pub kind: Option<String>,
    /// What is read of pieces; every entry that fits a piece's kind is, in order.
    pub reads: Vec<Read>,
    /// How the end is known.
    pub end: End,
    /// Whether texts, thoughts and arguments are told from their beginning each time.
    #[serde(default)]
    pub cumulative: bool,
    /// Kinds of pieces that are errors.
    #[serde(default)]
    pub error_kinds: Vec<String>,
}

/// How pieces are told apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// Each line is one.
    Ndjson,
}

/// What is read of a piece.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Read {
    /// Of pieces of these kinds; of all if empty.
    #[serde(default)]
    pub on: Vec<String>,
    /// What.
    pub read: Reading,
}

/// How the end of a stream is known.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum End {
    /// By a piece that is this text: `[DONE]`.
    Data(String),
    /// By a piece of this kind, which is read as well.
    Kind(String),
    /// By a field's value, in a piece that is read as well.
    Field {
        /// Where.
        at: String,
        /// Its value.
        is: Value,
    },
    /// By nothing but its end, after each choice said why it ended.
    Close,
}

/// Embeddings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Embeddings {
    /// Where texts go.
    pub at: Place,
    /// How they are told.
    pub request: Request,
    /// How vectors are read.
    pub answer: Vectors,
}

/// How vectors are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Vectors {
    /// As OpenAI's.
    Openai,
    /// By these paths.
    Paths {
        /// The list of vectors.
        list: String,
        /// The numbers in each; where nothing is said, each is the list of numbers.
        #[serde(default)]
        vector: Option<String>,
        /// Which text it is of, from 0, where they may come in another order.
        #[serde(default)]
        index: Option<String>,
        /// The model that answered.
        #[serde(default)]
        model: Paths,
        /// What was used.
        #[serde(default)]
        usage: Box<Used>,
    },
}

/// How errors are told.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errors {
    /// What is wrong, in words.
    #[serde(default)]
    pub message: Paths,
    /// The provider's code for it.
    #[serde(default)]
    pub code: Paths,
    /// What makes a body, or a piece of a stream, that came as a success an error.
    #[serde(default)]
    pub signs: Vec<Sign>,
    /// What codes mean; a `*` ends what is only a beginning. The longest that fits counts.
    #[serde(default)]
    pub codes: BTreeMap<String, String>,
    /// What statuses mean that are not what they usually are.
    #[serde(default)]
    pub statuses: BTreeMap<String, String>,
}

/// A value that is only there, or only so, where something is wrong.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sign {
    /// Where it is. Nothing, null, false, 0 and an empty text are no sign.
    pub at: String,
    /// Other values that are no sign.
    #[serde(default)]
    pub except: Vec<Value>,
}

/// What is known of a model.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Model {
    /// Its name, or the beginning of several names followed by `*`.
    pub name: String,
    /// Tokens that question and answer may have together.
    pub context: u64,
    /// Tokens that an answer may have; 0 if that is not known.
    #[serde(default)]
    pub output_max: u64,
    /// Whether it looks at pictures.
    #[serde(default)]
    pub vision: bool,
    /// Whether it calls tools.
    #[serde(default)]
    pub tools: bool,
    /// Whether its answers can be held to a JSON schema.
    #[serde(default)]
    pub json_schema: bool,
    /// What tokens cost.
    #[serde(default)]
    pub price: Option<Price>,
    /// Where that is published.
    #[serde(default)]
    pub source: String,
    /// When that was looked up: `2026-11`.
    #[serde(default)]
    pub date: String,
}

/// A published price, in millionths of its currency for a million tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// ISO 4217.
    pub currency: String,
    /// For a million tokens read.
    pub prompt: u64,
    /// For a million tokens written.
    pub completion: u64,
}
