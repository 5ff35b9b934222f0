//! A dialect that was declared.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method};
use serde_json::Value;

use super::address::{Address, Door, json};
use super::declaration::{self, Declaration};
use super::errors::Faults;
use super::reading::Reader;
use super::request::Told;
use super::stream::{PieceDecoder, Plan};
use super::vectors::Vectors;
use super::{Wrong, question, shape};
use crate::call::{Call, Error, HttpRequest, Operation, Target};
use crate::chat::{self, Ask, Feature};
use crate::dialect::{Decoder, Dialect, Refusal, named};
use crate::embed;
use crate::models::{Known, ListPrice};
use crate::openai::chat as openai;
use crate::openai::compatible::JSON;
use crate::protocol::Protocol;
use crate::usage::Usage;

/// Models that a declaration tells of at most.
const MODELS_MAX: usize = 512;
/// The longest name.
const NAME_LEN_MAX: usize = 64;

/// A dialect that was declared.
#[derive(Debug)]
pub struct Declared {
    declaration: Declaration,
    door: Door,
    chat: Option<Chat>,
    embeddings: Option<Embeddings>,
    passes: BTreeMap<Operation, Address>,
    probe: Address,
    faults: Arc<Faults>,
    says: Vec<Feature>,
}

#[derive(Debug)]
struct Chat {
    at: Address,
    stream_at: Option<Address>,
    told: Told,
    /// `None` reads as OpenAI's clients do.
    reader: Option<Reader>,
    /// `None` reads as OpenAI's clients do.
    plan: Option<Arc<Plan>>,
}

#[derive(Debug)]
struct Embeddings {
    at: Address,
    told: Told,
    vectors: Vectors,
}

impl Declared {
    /// The dialect that a declaration makes.
    ///
    /// # Errors
    /// When it makes none: which field is wrong, and what to do.
    pub fn new(declaration: Declaration) -> Result<Self, Wrong> {
        check_name(&declaration.name)?;
        if let Some(base) = &declaration.base
            && (!(base.starts_with("https://") || base.starts_with("http://"))
                || base.parse::<http::Uri>().is_err())
        {
            return Err(Wrong::new("base", "must be a URL that begins with https:// or http://"));
        }
        if declaration.models.len() > MODELS_MAX {
            return Err(Wrong::new("models", format!("has too many entries: {MODELS_MAX} at most")));
        }
        let door = Door::new(&declaration)?;
        let chat = declaration.chat.as_ref().map(|said| Chat::new(said, &door)).transpose()?;
        let embeddings = declaration.embeddings.as_ref().map(|said| Embeddings::new(said, &door));
        let embeddings = embeddings.transpose()?;
        let passes = declaration.passes.iter().map(|(name, place)| {
            let at = format!("passes.{name}");
            Ok((passed(name, &at)?, door.address(place, &at, Method::POST)?))
        });
        let passes: BTreeMap<Operation, Address> = passes.collect::<Result<_, Wrong>>()?;
        if chat.is_none() && embeddings.is_none() && passes.is_empty() {
            return Err(Wrong::new(
                "chat",
                "is missing, and so are embeddings and passes: declare one of them",
            ));
        }
        let probe = door.address(&declaration.probe, "probe", Method::GET)?;
        let faults = Arc::new(Faults::new(&declaration.errors)?);
        let says = says(&declaration.says, chat.as_ref())?;
        Ok(Self { declaration, door, chat, embeddings, passes, probe, faults, says })
    }

    /// The dialect that a declaration makes, out of JSON.
    ///
    /// # Errors
    /// As [`Declaration::parse`] and [`Declared::new`].
    pub fn parse(text: &str) -> Result<Self, Wrong> {
        Self::new(Declaration::parse(text)?)
    }

    /// What it was made of.
    pub fn declaration(&self) -> &Declaration {
        &self.declaration
    }

    fn cannot(&self, what: &'static str) -> Error {
        Error::cannot(what, &self.declaration.name)
    }

    fn judged(&self, refusal: Refusal, value: &Value) -> Refusal {
        self.faults.told(value, Some(refusal.failure.kind)).unwrap_or(refusal)
    }
}

/// Names are those that rows can have, and none that the program knows.
fn check_name(name: &str) -> Result<(), Wrong> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
    if name.is_empty() || name.len() > NAME_LEN_MAX || !name.chars().all(fits) {
        return Err(Wrong::new("name", "use 1 to 64 of a-z, 0-9, dot, _ and -"));
    }
    if named(name).is_some() {
        return Err(Wrong::new("name", format!("`{name}` is a dialect that the program knows: use another")));
    }
    Ok(())
}

/// Operations whose bodies may pass.
fn passed(name: &str, at: &str) -> Result<Operation, Wrong> {
    let passes = |operation: &&Operation| {
        operation.protocol() == Protocol::OpenAi && !matches!(operation, Operation::Chat | Operation::Models)
    };
    let mut known = Operation::ALL.iter().filter(passes);
    known.clone().find(|operation| operation.as_str() == name).copied().ok_or_else(|| {
        let first = known.next().map_or("", |operation| operation.as_str());
        let names = known.fold(first.to_owned(), |names, one| format!("{names}, {}", one.as_str()));
        Wrong::new(at, format!("is no operation whose bodies can pass: there are {names}"))
    })
}

/// Each feature must be told by the request.
fn says(names: &[String], chat: Option<&Chat>) -> Result<Vec<Feature>, Wrong> {
    let mut out = BTreeSet::new();
    for (n, name) in names.iter().enumerate() {
        let at = format!("says[{n}]");
        let feature = Feature::named(name).ok_or_else(|| {
            let names: Vec<&str> = Feature::ALL.iter().map(|feature| feature.as_str()).collect();
            Wrong::new(&at, format!("`{name}` is no feature: there are {}", names.join(", ")))
        })?;
        let Some(chat) = chat else {
            return Err(Wrong::new(at, "is of chats, which are not declared: leave it out"));
        };
        if !chat.told.speaks_of(feature) {
            let hint =
                format!("`{name}` is told nowhere in chat.request: put it there, or leave it out here");
            return Err(Wrong::new(at, hint));
        }
        out.insert(feature);
    }
    Ok(out.into_iter().collect())
}

impl Chat {
    fn new(said: &declaration::Chat, door: &Door) -> Result<Self, Wrong> {
        let stream_at = said.stream_at.as_ref();
        Ok(Self {
            at: door.address(&said.at, "chat.at", Method::POST)?,
            stream_at: stream_at
                .map(|place| door.address(place, "chat.stream_at", Method::POST))
                .transpose()?,
            told: Told::new(&said.request, shape::CHAT, door, "chat.request")?,
            reader: match &said.answer {
                declaration::Answer::Openai => None,
                declaration::Answer::Paths(paths) => {
                    let reader = Reader::new(paths, "chat.answer.paths")?;
                    if !reader.says_something() {
                        return Err(Wrong::new("chat.answer.paths", "must read `text` or `calls`"));
                    }
                    Some(reader)
                }
            },
            plan: match &said.stream {
                declaration::Stream::Openai => None,
                declaration::Stream::Paths(pieces) => Some(Arc::new(Plan::new(pieces, "chat.stream.paths")?)),
            },
        })
    }
}

impl Embeddings {
    fn new(said: &declaration::Embeddings, door: &Door) -> Result<Self, Wrong> {
        Ok(Self {
            at: door.address(&said.at, "embeddings.at", Method::POST)?,
            told: Told::new(&said.request, shape::EMBEDDINGS, door, "embeddings.request")?,
            vectors: Vectors::new(&said.answer, "embeddings.answer")?,
        })
    }
}

impl Dialect for Declared {
    fn name(&self) -> &str {
        &self.declaration.name
    }

    fn relays(&self, operation: Operation) -> bool {
        self.passes.contains_key(&operation)
    }

    fn pass(&self, call: &Call, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let address = self.passes.get(&call.operation);
        let address = address.ok_or_else(|| self.cannot(call.operation.as_str()))?;
        let accept = if call.stream { crate::openai::EVENT_STREAM } else { "*/*" };
        let body = (call.content_type(), call.body_for(target.model));
        self.door.request(address, target.model_of(&call.model), Some(body), accept, target)
    }

    fn usage(&self, body: &[u8]) -> Option<Usage> {
        let told = crate::openai::usage_of(body);
        told.or_else(|| {
            let reader = self.chat.as_ref()?.reader.as_ref()?;
            reader.usage(&serde_json::from_slice(body).ok()?)
        })
    }

    fn says(&self) -> &[Feature] {
        &self.says
    }

    fn encode(&self, ask: &Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let chat = self.chat.as_ref().ok_or_else(|| self.cannot("chat"))?;
        let model = target.model_of(&ask.model);
        let body = match &chat.told {
            Told::Openai { output_max, rules } => {
                let mut body = Value::Object(openai::body(ask, model, output_max));
                rules.iter().for_each(|rule| rule.apply(&mut body));
                body
            }
            Told::Template { node, mentions } => {
                let options = self.door.options(target)?;
                let root = question::chat(ask, target, options, mentions, self.name())?;
                Told::fill(node, &root, self.name())?
            }
        };
        let (address, accept) = match (&chat.stream_at, &chat.plan) {
            _ if !ask.stream => (&chat.at, "application/json"),
            (at, plan) => {
                let accept = plan.as_ref().map_or(crate::openai::EVENT_STREAM, |plan| plan.content_type());
                (at.as_ref().unwrap_or(&chat.at), accept)
            }
        };
        self.door.request(address, model, Some(json(&body)), accept, target)
    }

    fn decode(&self, body: &[u8]) -> Result<chat::Answer, Refusal> {
        let value: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
        if let Some(refusal) = self.faults.found(&value) {
            return Err(refusal);
        }
        match self.chat.as_ref().and_then(|chat| chat.reader.as_ref()) {
            Some(reader) => reader.whole(&value),
            None => openai::decode(body).map_err(|refusal| self.judged(refusal, &value)),
        }
    }

    fn decoder(&self) -> Box<dyn Decoder> {
        match self.chat.as_ref().and_then(|chat| chat.plan.as_ref()) {
            Some(plan) => Box::new(PieceDecoder::new(Arc::clone(plan), Arc::clone(&self.faults))),
            None => Box::<openai::ChunkDecoder>::default(),
        }
    }

    fn embed(&self, ask: &embed::Ask, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let said = self.embeddings.as_ref().ok_or_else(|| self.cannot("embeddings"))?;
        let model = target.model_of(&ask.model);
        let body = match &said.told {
            Told::Openai { rules, .. } => {
                let mut body = crate::openai::embed_body(ask, model);
                rules.iter().for_each(|rule| rule.apply(&mut body));
                body
            }
            Told::Template { node, mentions } => {
                let options = self.door.options(target)?;
                let root = question::texts(ask, target, options, mentions, self.name())?;
                Told::fill(node, &root, self.name())?
            }
        };
        self.door.request(&said.at, model, Some(json(&body)), "application/json", target)
    }

    fn embedded(&self, body: &[u8]) -> Result<embed::Answer, Refusal> {
        match &self.embeddings {
            Some(said) => said.vectors.read(body, &self.faults),
            None => Err(Refusal::nonsense("embeddings were not asked for")),
        }
    }

    fn classify(&self, status: u16, headers: &HeaderMap, body: &[u8]) -> Refusal {
        self.faults.classify(status, headers, body)
    }

    fn probe(&self, target: &Target<'_>) -> Result<HttpRequest, Error> {
        let model = target.model.unwrap_or_default();
        let body = (self.probe.is_post()).then(|| (JSON, Bytes::from_static(b"{}")));
        self.door.request(&self.probe, model, body, "application/json", target)
    }

    fn home(&self) -> Option<&str> {
        self.declaration.base.as_deref()
    }

    fn models(&self) -> Cow<'_, [Known<'_>]> {
        self.declaration.models.iter().map(known).collect()
    }
}

/// A model, as the program's own tables tell of them.
fn known(model: &declaration::Model) -> Known<'_> {
    Known {
        name: &model.name,
        context: model.context,
        output_max: model.output_max,
        vision: model.vision,
        tools: model.tools,
        json_schema: model.json_schema,
        price: model.price.as_ref().map(|price| ListPrice {
            currency: &price.currency,
            prompt: price.prompt,
            completion: price.completion,
        }),
        source: &model.source,
        date: &model.date,
    }
}
