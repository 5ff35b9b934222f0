//! One such task, from what the client asked to what it is answered.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use serde_json::json;

use super::{Media, images, moderate, rerank, speech, transcribe, wav};
use crate::call::{Call, Error, HttpRequest, Operation, Target};
use crate::client::About;
use crate::dialect::Refusal;
use crate::openai::{EVENT_STREAM, media as openai};
use crate::usage::Usage;

/// What JSON is called.
const JSON: &str = "application/json";

/// A whole answer for a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// The answer.
    pub bytes: Bytes,
    /// What it is; `None` where it passed as it is, and is what the target called it.
    pub content_type: Option<&'static str>,
    /// What it used, where the provider tells.
    pub usage: Option<Usage>,
}

/// A task as the client asked for it.
#[derive(Debug, Clone)]
pub enum Task {
    /// Pictures.
    Images(Arc<images::Ask>),
    /// Speech.
    Speech(Arc<speech::Ask>),
    /// A transcript.
    Transcribe(Arc<transcribe::Ask>),
    /// Judgements.
    Moderate(Arc<moderate::Ask>),
    /// Documents in order.
    Rerank(Arc<rerank::Ask>),
}

impl Task {
    /// The task of a call; `None` where it is for none of these.
    ///
    /// # Errors
    /// When a field is missing, of the wrong type, or makes no sense.
    pub fn of(call: &Call) -> Result<Option<Self>, Error> {
        Ok(Some(match call.operation {
            Operation::Images => Task::Images(Arc::new(openai::images::ask(call)?)),
            Operation::Speech => Task::Speech(Arc::new(openai::speech::ask(call)?)),
            Operation::Transcriptions => Task::Transcribe(Arc::new(openai::transcriptions::ask(call)?)),
            Operation::Moderations => Task::Moderate(Arc::new(openai::moderations::ask(call)?)),
            Operation::Rerank => Task::Rerank(Arc::new(openai::rerank::ask(call)?)),
            _ => return Ok(None),
        }))
    }

    /// Fields that the task's common form has no word for, by path.
    pub fn rest(&self) -> &[String] {
        match self {
            Task::Images(ask) => &ask.rest,
            Task::Speech(ask) => &ask.rest,
            Task::Transcribe(ask) => &ask.rest,
            Task::Moderate(ask) => &ask.rest,
            Task::Rerank(ask) => &ask.rest,
        }
    }

    /// The request for a target.
    ///
    /// # Errors
    /// When the target cannot be told something of it, or does not do such tasks.
    pub fn request(&self, media: &dyn Media, target: &Target<'_>) -> Result<HttpRequest, Error> {
        match self {
            Task::Images(ask) => media.draw(ask, target),
            Task::Speech(ask) => media.speak(ask, target),
            Task::Transcribe(ask) => media.transcribe(ask, target),
            Task::Moderate(ask) => media.moderate(ask, target),
            Task::Rerank(ask) => media.rerank(ask, target),
        }
    }

    /// The answer to the client out of a whole body.
    ///
    /// # Errors
    /// When it is an error all the same, or cannot be understood.
    pub fn whole(&self, media: &dyn Media, body: &[u8], about: &About) -> Result<Whole, Refusal> {
        let whole = |bytes, content_type, usage| Whole { bytes, content_type: Some(content_type), usage };
        match self {
            Task::Images(ask) => {
                let answer = media.drawn(body)?;
                if answer.images.is_empty() {
                    return Err(Refusal::nonsense("there is no picture in it"));
                }
                Ok(whole(openai::images::answer(ask, &answer, about), JSON, answer.usage))
            }
            Task::Speech(ask) => Sounding::new(media, ask).whole(body),
            Task::Transcribe(ask) => {
                let answer = media.transcribed(body)?;
                let bytes = openai::transcriptions::answer(ask, &answer)?;
                Ok(whole(bytes, openai::transcriptions::content_type(ask.form), answer.usage))
            }
            Task::Moderate(ask) => {
                let answer = media.moderated(body)?;
                if answer.results.len() != ask.inputs.len() {
                    let (got, want) = (answer.results.len(), ask.inputs.len());
                    return Err(Refusal::nonsense(&format!("{got} judgements for {want} inputs")));
                }
                Ok(whole(openai::moderations::answer(ask, &answer, about), JSON, None))
            }
            Task::Rerank(ask) => {
                let answer = media.reranked(body)?;
                let ranks = answer.ordered(ask).ok_or_else(|| {
                    Refusal::nonsense("it tells of a document twice, or of one that was not sent")
                })?;
                Ok(whole(openai::rerank::answer(ask, &answer, &ranks, about), JSON, answer.usage))
            }
        }
    }

    /// The answer to the client as a stream, where it wants one and the task has such.
    ///
    /// # Errors
    /// As [`Task::whole`].
    pub fn replay(&self, media: &dyn Media, body: &[u8]) -> Result<Option<(Bytes, Option<Usage>)>, Refusal> {
        let Task::Transcribe(ask) = self else { return Ok(None) };
        if !ask.stream {
            return Ok(None);
        }
        let answer = media.transcribed(body)?;
        Ok(Some((openai::transcriptions::events(&answer), answer.usage)))
    }

    /// The content type of [`Task::replay`].
    pub fn stream_type(&self) -> Option<&'static str> {
        matches!(self, Task::Transcribe(ask) if ask.stream).then_some(EVENT_STREAM)
    }

    /// What turns the target's answer into sound while it comes; `None` where the task is no speech.
    pub fn sounding(&self, media: &dyn Media) -> Option<Sounding> {
        if let Task::Speech(ask) = self { Some(Sounding::new(media, ask)) } else { None }
    }
}

/// Speech on its way to a client.
pub struct Sounding {
    sounds: Box<dyn speech::Sounds>,
    format: speech::Format,
    events: bool,
    headed: bool,
    piece: BytesMut,
}

impl Sounding {
    fn new(media: &dyn Media, ask: &speech::Ask) -> Self {
        Self {
            sounds: media.sounds(ask),
            format: media.sound_format(ask),
            events: ask.events,
            headed: false,
            piece: BytesMut::new(),
        }
    }

    /// What the client gets.
    pub fn content_type(&self) -> &'static str {
        if self.events { EVENT_STREAM } else { self.format.media_type() }
    }

    /// The target's next bytes; appends what the client gets for them.
    ///
    /// # Errors
    /// When they tell an error, or make no sense: there is no more to come.
    pub fn push(&mut self, bytes: &[u8], out: &mut BytesMut) -> Result<(), Refusal> {
        self.sounds.push(bytes, &mut self.piece)?;
        self.pass(None, out);
        Ok(())
    }

    /// The target's answer ended in order; tells what was used.
    ///
    /// # Errors
    /// When the answer is not complete, or an error.
    pub fn finish(&mut self, out: &mut BytesMut) -> Result<Option<Usage>, Refusal> {
        let usage = self.sounds.finish(&mut self.piece)?;
        let whole = if self.headed { None } else { Some(self.piece.len()) };
        self.pass(whole, out);
        if self.events {
            let mut done = json!({ "type": "speech.audio.done" });
            if let Some(usage) = usage {
                done["usage"] = openai::spent(&usage);
            }
            out.extend_from_slice(format!("data: {done}\n\n").as_bytes());
        }
        Ok(usage)
    }

    fn whole(mut self, body: &[u8]) -> Result<Whole, Refusal> {
        let mut out = BytesMut::new();
        // Not passed on until its end: its length is known then.
        self.sounds.push(body, &mut self.piece)?;
        let usage = self.finish(&mut out)?;
        if !self.headed {
            return Err(Refusal::nonsense("there is no sound in it"));
        }
        Ok(Whole { bytes: out.freeze(), content_type: Some(self.content_type()), usage })
    }

    /// Passes the sound on that has come; `whole` is its length, where that is all there is.
    fn pass(&mut self, whole: Option<usize>, out: &mut BytesMut) {
        if self.piece.is_empty() {
            return;
        }
        let mut sound = self.piece.split();
        if !std::mem::replace(&mut self.headed, true)
            && self.format == speech::Format::Wav
            && let Some(rate) = self.sounds.bare_rate()
        {
            let mut headed = BytesMut::from(&wav::head(rate, whole)[..]);
            headed.unsplit(sound);
            sound = headed;
        }
        if self.events {
            let event = json!({ "type": "speech.audio.delta", "audio": STANDARD.encode(&sound) });
            out.extend_from_slice(format!("data: {event}\n\n").as_bytes());
        } else {
            out.unsplit(sound);
        }
    }
}
