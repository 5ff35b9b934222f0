//! One call to one target: how the client's protocol and the target's dialect meet. Where they are the same, bytes pass as
//! they are; else the question is read once and said anew, and so is what comes back.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use serde_json::json;

use crate::call::{Call, Error, HttpRequest, Operation, Target};
use crate::chat::{Answer, Ask, Choice, Event, Finish, Part};
use crate::client::{self, About, Client, Embedder, Encoder};
use crate::dialect::{Decoder, Dialect, Refusal, Spoken, check};
use crate::embed;
use crate::media::{Media, Sounding, Task, Whole};
use crate::openai::media::EventWatch;
use crate::openai::{Ending, ErrorBody};
use crate::usage::Usage;

/// A call and the dialect of its target.
#[derive(Clone)]
pub struct Exchange {
    operation: Operation,
    dialect: Spoken,
    way: Way,
}

#[derive(Clone)]
enum Way {
    /// Both speak alike.
    Relay,
    /// A chat is said anew.
    Chat(&'static dyn Client, Arc<Ask>),
    /// So are texts that become vectors.
    Embed(&'static dyn Embedder, Arc<embed::Ask>),
    /// So are pictures, speech and other tasks.
    Task(Task),
    /// The target has no part in it.
    Local(Bytes),
}

impl Exchange {
    /// Finds out how a call can be put to targets of a dialect.
    ///
    /// # Errors
    /// When the call makes no sense, or a target of this dialect cannot answer it.
    pub fn new(call: &Call, dialect: &Spoken) -> Result<Self, Error> {
        let operation = call.operation;
        let way = if dialect.relays(operation) {
            Way::Relay
        } else if operation == Operation::CountTokens {
            Way::Local(json!({ "input_tokens": call.prompt_estimate() }).to_string().into())
        } else if let Some(client) = client::of(operation) {
            let ask = client.ask(call)?;
            check(&ask, &**dialect)?;
            Way::Chat(client, Arc::new(ask))
        } else if let Some(client) = client::embedder(operation) {
            Way::Embed(client, Arc::new(client.ask(call)?))
        } else if dialect.media().is_some()
            && let Some(task) = Task::of(call)?
        {
            if let Some(path) = task.rest().first() {
                return Err(Error::unsaid(path.as_str(), dialect.name()));
            }
            Way::Task(task)
        } else {
            return Err(Error::cannot(operation.as_str(), dialect.name()));
        };
        Ok(Self { operation, dialect: dialect.clone(), way })
    }

    /// What the client called.
    pub fn operation(&self) -> Operation {
        self.operation
    }

    /// Whether bytes pass as they are.
    pub fn relays(&self) -> bool {
        matches!(self.way, Way::Relay)
    }

    /// The answer, where the target need not be asked.
    pub fn local(&self, call: &Call, about: &About) -> Option<Bytes> {
        match &self.way {
            Way::Local(bytes) => Some(bytes.clone()),
            Way::Chat(client, ask) => client.local(call, ask, about),
            Way::Relay | Way::Embed(..) | Way::Task(_) => None,
        }
    }

    /// What is asked, where that was read.
    pub fn ask(&self) -> Option<&Ask> {
        if let Way::Chat(_, ask) = &self.way { Some(ask) } else { None }
    }

    /// The target's dialect.
    pub fn dialect(&self) -> &dyn Dialect {
        &*self.dialect
    }

    /// The request for a target.
    ///
    /// # Errors
    /// When the question holds what the target cannot be told, or its address or key cannot be put into a request.
    pub fn request(&self, call: &Call, target: &Target<'_>) -> Result<HttpRequest, Error> {
        match &self.way {
            Way::Relay => self.dialect.pass(call, target),
            Way::Chat(_, ask) => self.dialect.encode(ask, target),
            Way::Embed(_, ask) => self.dialect.embed(ask, target),
            Way::Task(task) => match self.dialect.media() {
                Some(media) => task.request(media, target),
                None => Err(Error::cannot(self.operation.as_str(), self.dialect.name())),
            },
            Way::Local(_) => Err(Error::cannot(self.operation.as_str(), self.dialect.name())),
        }
    }

    /// A whole answer for the client, what it is, and what it used.
    ///
    /// # Errors
    /// When it is an error all the same, or cannot be understood.
    pub fn whole(&self, body: Bytes, about: &About) -> Result<Whole, Refusal> {
        let json = |bytes, usage| Whole { bytes, content_type: Some("application/json"), usage };
        match &self.way {
            Way::Relay => {
                self.dialect.judge(self.operation, &body)?;
                let usage = self.dialect.usage(&body);
                Ok(Whole { bytes: body, content_type: None, usage })
            }
            Way::Chat(client, ask) => {
                let answer = self.dialect.decode(&body)?;
                Ok(json(client.answer(ask, &answer, about), answer.usage))
            }
            Way::Embed(client, ask) => {
                let answer = self.dialect.embedded(&body)?;
                if answer.vectors.len() != ask.inputs.len() {
                    let (got, want) = (answer.vectors.len(), ask.inputs.len());
                    return Err(Refusal::nonsense(&format!("{got} vectors for {want} texts")));
                }
                Ok(json(client.answer(ask, &answer, about), answer.usage))
            }
            Way::Task(task) => task.whole(self.media()?, &body, about),
            Way::Local(bytes) => Ok(json(bytes.clone(), None)),
        }
    }

    fn media(&self) -> Result<&dyn Media, Refusal> {
        self.dialect.media().ok_or_else(|| Refusal::nonsense("it was not asked for"))
    }

    /// A stream for the client out of an answer that came whole, where streams are said anew.
    ///
    /// # Errors
    /// As [`Exchange::whole`].
    pub fn replay(&self, body: &[u8], about: &About) -> Result<Option<(Bytes, Option<Usage>)>, Refusal> {
        let (client, ask) = match &self.way {
            Way::Chat(client, ask) => (client, ask),
            Way::Task(task) => return task.replay(self.media()?, body),
            Way::Relay | Way::Embed(..) | Way::Local(_) => return Ok(None),
        };
        let answer = self.dialect.decode(body)?;
        let (mut encoder, mut out) = (client.encoder(ask, about), BytesMut::new());
        answer.events().iter().for_each(|event| encoder.push(event, &mut out));
        Ok(Some((out.freeze(), answer.usage)))
    }

    /// An error in the client's protocol, as it is told in the middle of a stream that passed as it is.
    pub fn error_event(&self, error: &ErrorBody) -> Bytes {
        client::error_event(self.operation, error)
    }

    /// What turns the target's stream into the client's; `None` where bytes pass as they are.
    pub fn through(&self, about: &About) -> Option<Through> {
        let Way::Chat(client, ask) = &self.way else { return None };
        Some(Through {
            decoder: self.dialect.decoder(),
            encoder: client.encoder(ask, about),
            events: Vec::new(),
            watch: Watch::default(),
        })
    }

    /// Reads along with a stream that passes as it is.
    pub fn watched(&self) -> Watched {
        let decoder = match self.operation {
            Operation::Images | Operation::Speech | Operation::Transcriptions => Box::<EventWatch>::default(),
            _ => self.dialect.decoder(),
        };
        Watched { decoder, events: Vec::new(), watch: Watch::default() }
    }

    /// What turns the target's answer into sound for the client while it comes; `None` where the call is not for speech, or
    /// bytes pass as they are.
    pub fn sounding(&self) -> Option<Sounding> {
        if let Way::Task(task) = &self.way { task.sounding(self.dialect.media()?) } else { None }
    }

    /// The content type of a stream for the client, where it is said anew.
    pub fn stream_type(&self) -> Option<&'static str> {
        match &self.way {
            Way::Chat(client, _) => Some(client.stream_type()),
            Way::Task(task) => task.stream_type(),
            Way::Relay | Way::Embed(..) | Way::Local(_) => None,
        }
    }
}

/// An answer of this text that no model gave, as the client asked for it, and its content type; none for operations that
/// are no chats.
pub fn declared(call: &Call, text: &str, about: &About) -> Option<(Bytes, &'static str)> {
    let client = client::of(call.operation)?;
    let ask = client.ask(call).ok()?;
    let choice = Choice { parts: vec![Part::Text(text.to_owned())], finish: Finish::Stop, logprobs: None };
    let answer = Answer { choices: vec![choice], usage: Some(Usage::default()), ..Answer::default() };
    if !call.stream {
        return Some((client.answer(&ask, &answer, about), "application/json"));
    }
    let (mut encoder, mut out) = (client.encoder(&ask, about), BytesMut::new());
    answer.events().iter().for_each(|event| encoder.push(event, &mut out));
    Some((out.freeze(), client.stream_type()))
}

/// What was seen of a stream.
#[derive(Debug, Default)]
struct Watch {
    ending: Ending,
    pieces: u64,
}

impl Watch {
    fn see(&mut self, event: &Event) {
        match event {
            Event::Usage(usage) => self.ending.usage = Some(*usage),
            Event::Error(error) => self.ending.error = Some(error.clone()),
            Event::Done => self.ending.done = true,
            Event::Delta { .. } => self.pieces += 1,
            Event::Begin { .. } | Event::Finish { .. } => {}
        }
    }

    fn is_over(&self) -> bool {
        self.ending.done || self.ending.error.is_some()
    }
}

/// A stream on its way from one protocol to another.
pub struct Through {
    decoder: Box<dyn Decoder>,
    encoder: Box<dyn Encoder>,
    events: Vec<Event>,
    watch: Watch,
}

impl Through {
    /// The target's next bytes; appends what the client gets for them, which are whole events of its protocol.
    pub fn push(&mut self, bytes: &[u8], out: &mut BytesMut) {
        self.decoder.push(bytes, &mut self.events);
        self.pass(out);
    }

    /// The target's stream ended in order.
    pub fn finish(&mut self, out: &mut BytesMut) {
        self.decoder.finish(&mut self.events);
        self.pass(out);
    }

    /// The target is lost: tells the client so, unless it has all.
    pub fn fail(&mut self, error: ErrorBody, out: &mut BytesMut) {
        self.events.push(Event::Error(error));
        self.pass(out);
    }

    fn pass(&mut self, out: &mut BytesMut) {
        for event in self.events.drain(..) {
            if !self.watch.is_over() {
                self.watch.see(&event);
                self.encoder.push(&event, out);
            }
        }
    }

    /// How the stream ended, as far as it came.
    pub fn ending(&self) -> &Ending {
        &self.watch.ending
    }

    /// Pieces of text, thoughts and tool calls that passed.
    pub fn pieces(&self) -> u64 {
        self.watch.pieces
    }
}

/// Reads along with a stream that passes as it is, for its usage and its end.
pub struct Watched {
    decoder: Box<dyn Decoder>,
    events: Vec<Event>,
    watch: Watch,
}

impl Watched {
    /// The next bytes passed.
    pub fn push(&mut self, bytes: &[u8]) {
        self.decoder.push(bytes, &mut self.events);
        self.events.drain(..).for_each(|event| self.watch.see(&event));
    }

    /// The stream ended in order.
    pub fn finish(&mut self) {
        self.decoder.finish(&mut self.events);
        self.events.drain(..).for_each(|event| self.watch.see(&event));
    }

    /// How the stream ended, as far as it came.
    pub fn ending(&self) -> &Ending {
        &self.watch.ending
    }

    /// Pieces of text, thoughts and tool calls that passed.
    pub fn pieces(&self) -> u64 {
        self.watch.pieces
    }
}
