//! An answer in pieces for Ollama's clients.

use bytes::BytesMut;
use serde_json::Value;

use super::answer::{Said, Shape, call, last, model, piece};
use super::error_line;
use crate::chat::{Ask, Delta, Event, Finish, ToolCall};
use crate::client::{About, Encoder};
use crate::usage::Usage;

/// Writes lines of JSON. Calls of tools are held back until they are whole: Ollama's clients do not put them together.
pub(super) struct LineEncoder {
    shape: Shape,
    about: About,
    ask: Ask,
    model: String,
    calls: Vec<ToolCall>,
    finish: Finish,
    usage: Option<Usage>,
}

impl LineEncoder {
    pub(super) fn new(shape: Shape, ask: &Ask, about: &About) -> Self {
        Self {
            shape,
            about: about.clone(),
            // Of the question only what lines tell.
            ask: Ask { model: ask.model.clone(), ..Ask::default() },
            model: ask.model.clone(),
            calls: Vec::new(),
            finish: Finish::Stop,
            usage: None,
        }
    }

    fn say(&self, said: &Said<'_>, out: &mut BytesMut) {
        write(&piece(self.shape, &self.model, &self.about, said).into(), out);
    }

    fn delta(&mut self, delta: &Delta, out: &mut BytesMut) {
        match delta {
            Delta::Text(text) | Delta::Refusal(text) => self.say(&Said { text, ..Said::default() }, out),
            Delta::Thinking(thinking) => self.say(&Said { thinking, ..Said::default() }, out),
            // Has no word in this protocol: thoughts cannot be proven by it either.
            Delta::Signature(_) => {}
            Delta::ToolCall { id, name, .. } => {
                self.calls.push(ToolCall { id: id.clone(), name: name.clone(), arguments: String::new() });
            }
            Delta::Arguments { index, text } => {
                if let Some(call) = self.calls.get_mut(*index as usize) {
                    call.arguments.push_str(text);
                }
            }
            Delta::Logprobs(tokens) => self.say(&Said { logprobs: Some(tokens), ..Said::default() }, out),
        }
    }

    /// Tells the calls, which are whole now.
    fn call(&mut self, out: &mut BytesMut) {
        let (mut calls, mut broken) = (Vec::new(), String::new());
        for one in std::mem::take(&mut self.calls) {
            match call(&one, calls.len()) {
                Some(value) => calls.push(value),
                None => broken.push_str(&one.arguments),
            }
        }
        if !calls.is_empty() || !broken.is_empty() {
            self.say(&Said { text: &broken, calls, ..Said::default() }, out);
        }
    }
}

fn write(value: &Value, out: &mut BytesMut) {
    out.extend_from_slice(value.to_string().as_bytes());
    out.extend_from_slice(b"\n");
}

impl Encoder for LineEncoder {
    fn push(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Begin { model: by, .. } => self.model = model(by, &self.ask).to_owned(),
            Event::Delta { choice: 0, delta } => self.delta(delta, out),
            Event::Finish { choice: 0, reason } => {
                self.call(out);
                self.finish = reason.clone();
            }
            // Ollama answers once.
            Event::Delta { .. } | Event::Finish { .. } => {}
            Event::Usage(told) => self.usage = Some(*told),
            Event::Error(error) => out.extend_from_slice(&error_line(error)),
            Event::Done => {
                self.call(out);
                let (said, usage) = (Said::default(), self.usage.as_ref());
                write(&last(self.shape, &self.model, &self.about, &said, &self.finish, usage), out);
            }
        }
    }
}
