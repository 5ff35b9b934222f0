//! OpenAI's completions, the interface before chats, for clients whose target offers chats only: the prompt becomes what the
//! user says, and what the model says becomes the completion.

use bytes::{Bytes, BytesMut};
use serde_json::{Value, json};

use super::chat::{Chat, sampling, stream_usage, usage};
use super::{DONE, ErrorBody};
use crate::call::{Call, Error};
use crate::chat::{Answer, Ask, Choice, Delta, Event, Finish, Message, Part, Role};
use crate::client::{About, Client, Encoder};
use crate::read::Fields;
use crate::usage::Usage;

/// Tokens of a completion at most where the client does not say, as at OpenAI.
const OUTPUT_MAX: u64 = 16;

/// Clients of `/v1/completions`.
pub struct Completions;

impl Client for Completions {
    fn ask(&self, call: &Call) -> Result<Ask, Error> {
        let mut fields = Fields::body(&call.body)?;
        let mut rest = Vec::new();
        let prompt = prompt(&mut fields)?;
        unsaid(&mut fields, &mut rest)?;
        let stream_usage = stream_usage(&mut fields, &mut rest)?;
        let mut ask = Ask {
            model: fields.need_text("model")?,
            messages: vec![Message::text(Role::User, prompt)],
            output_max: Some(fields.count("max_tokens")?.unwrap_or(OUTPUT_MAX)),
            sampling: sampling(&mut fields)?,
            choices: fields.count("n")?,
            user: fields.text("user")?,
            stream: fields.flag("stream")?.unwrap_or(false),
            stream_usage,
            rest,
            ..Ask::default()
        };
        ask.rest.extend(fields.rest());
        Ok(ask)
    }

    fn answer(&self, ask: &Ask, answer: &Answer, about: &About) -> Bytes {
        let head = Head::new(ask, &answer.id, &answer.model, about);
        let choices = answer.choices.iter().enumerate();
        let choices = choices.map(|(n, one)| choice(n, &said(one), Some(finish(&one.finish))));
        let mut out = head.object(choices.collect());
        if let Some(told) = &answer.usage {
            out["usage"] = usage(told);
        }
        Bytes::from(out.to_string())
    }

    fn encoder(&self, ask: &Ask, about: &About) -> Box<dyn Encoder> {
        Box::new(PieceEncoder {
            head: Head::new(ask, "", "", about),
            stream_usage: ask.stream_usage,
            usage: None,
        })
    }

    fn error_event(&self, error: &ErrorBody) -> Bytes {
        Chat.error_event(error)
    }
}

fn prompt(fields: &mut Fields) -> Result<String, Error> {
    match fields.take("prompt") {
        Some(Value::String(text)) => Ok(text),
        Some(Value::Array(list)) => {
            match <[Value; 1]>::try_from(list) {
                Ok([Value::String(text)]) => Ok(text),
                Ok(_) => Err(fields
                    .wrong("prompt", "must be text: tokens are not understood by this model's provider")),
                Err(_) => Err(fields
                    .wrong("prompt", "must be one text: this model's provider answers one prompt at a time")),
            }
        }
        _ => Err(fields.wrong("prompt", "must be a string")),
    }
}

/// What no chat can say goes to the rest, unless it asks for nothing.
fn unsaid(fields: &mut Fields, rest: &mut Vec<(String, Value)>) -> Result<(), Error> {
    let mut put = |name: &str, value: Value| rest.push((name.to_owned(), value));
    if let Some(suffix) = fields.text("suffix")?.filter(|suffix| !suffix.is_empty()) {
        put("suffix", suffix.into());
    }
    if fields.flag("echo")? == Some(true) {
        put("echo", true.into());
    }
    if let Some(best) = fields.count("best_of")?.filter(|best| *best > 1) {
        put("best_of", best.into());
    }
    // Even 0 asks for the probabilities of the tokens that were chosen.
    if let Some(top) = fields.count("logprobs")? {
        put("logprobs", top.into());
    }
    Ok(())
}

/// What every object of an answer tells.
struct Head {
    id: String,
    model: String,
    created_s: u64,
}

impl Head {
    fn new(ask: &Ask, id: &str, model: &str, about: &About) -> Self {
        let mut head =
            Self { id: format!("cmpl-{}", about.id), model: ask.model.clone(), created_s: about.now_s };
        head.name(id, model);
        head
    }

    /// Takes over what the provider calls the answer and itself, where it gave names that fit.
    fn name(&mut self, id: &str, model: &str) {
        if id.starts_with("cmpl-") {
            self.id = id.to_owned();
        }
        if !model.is_empty() {
            self.model = model.to_owned();
        }
    }

    fn object(&self, choices: Vec<Value>) -> Value {
        json!({
            "id": self.id,
            "object": "text_completion",
            "created": self.created_s,
            "model": self.model,
            "choices": choices,
        })
    }
}

fn choice(index: usize, text: &str, reason: Option<&str>) -> Value {
    json!({ "index": index, "text": text, "logprobs": null, "finish_reason": reason })
}

/// All that it says, why it does not answer included: completions know only text.
fn said(choice: &Choice) -> String {
    let texts = choice.parts.iter().map(|part| match part {
        Part::Text(text) | Part::Refusal(text) => text.as_str(),
        _ => "",
    });
    texts.collect()
}

fn finish(reason: &Finish) -> &'static str {
    match reason {
        Finish::Stop | Finish::StopText(_) | Finish::Tools => "stop",
        Finish::Length => "length",
        Finish::Filtered => "content_filter",
    }
}

/// Writes pieces of completions.
struct PieceEncoder {
    head: Head,
    stream_usage: bool,
    usage: Option<Usage>,
}

impl PieceEncoder {
    fn piece(&self, index: u32, text: &str, reason: Option<&str>, out: &mut BytesMut) {
        write(&self.head.object(vec![choice(index as usize, text, reason)]), out);
    }
}

fn write(value: &Value, out: &mut BytesMut) {
    out.extend_from_slice(b"data: ");
    out.extend_from_slice(value.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}

impl Encoder for PieceEncoder {
    fn push(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Begin { id, model } => self.head.name(id, model),
            Event::Delta { choice, delta: Delta::Text(text) | Delta::Refusal(text) } => {
                self.piece(*choice, text, None, out);
            }
            // Completions know only text.
            Event::Delta { .. } => {}
            Event::Finish { choice, reason } => self.piece(*choice, "", Some(finish(reason)), out),
            Event::Usage(told) => self.usage = Some(*told),
            Event::Error(error) => out.extend_from_slice(&Chat.error_event(error)),
            Event::Done => {
                if let (true, Some(told)) = (self.stream_usage, &self.usage) {
                    let mut object = self.head.object(Vec::new());
                    object["usage"] = usage(told);
                    write(&object, out);
                }
                out.extend_from_slice(DONE);
            }
        }
    }
}
