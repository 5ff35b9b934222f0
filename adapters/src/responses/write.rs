//! A response in pieces: typed events, numbered from 0.

use bytes::BytesMut;
use serde_json::{Value, json};

use super::output::Items;
use super::response::{Head, State, summed};
use crate::chat::{Ask, Event, Finish};
use crate::client::{About, Encoder};
use crate::openai::ErrorBody;
use crate::usage::Usage;

/// Writes events.
pub(super) struct EventEncoder {
    head: Head,
    items: Items,
    usage: Option<Usage>,
    begun: bool,
    ended: Option<Finish>,
    /// The number of the next event.
    next: u64,
}

impl EventEncoder {
    pub(super) fn new(ask: &Ask, about: &About) -> Self {
        Self {
            head: Head::new(ask, about),
            items: Items::new(&about.id, summed(ask), ask.logprobs.is_some()),
            usage: None,
            begun: false,
            ended: None,
            next: 0,
        }
    }

    fn begin(&mut self, out: &mut BytesMut) {
        if !std::mem::replace(&mut self.begun, true) {
            for kind in ["response.created", "response.in_progress"] {
                self.state(kind, &State::Going, out);
            }
        }
    }

    /// An event that tells the whole response.
    fn state(&mut self, kind: &str, state: &State<'_>, out: &mut BytesMut) {
        let response = self.head.response(state, self.items.values(), self.usage.as_ref());
        write(kind, json!({ "response": response }), &mut self.next, out);
    }

    fn end(&mut self, reason: &Finish, out: &mut BytesMut) {
        if self.ended.is_none() {
            let Self { items, next, .. } = self;
            items.finish(reason, &mut |kind, event| write(kind, event, next, out));
            self.ended = Some(reason.clone());
        }
    }
}

impl Encoder for EventEncoder {
    fn push(&mut self, event: &Event, out: &mut BytesMut) {
        match event {
            Event::Begin { id, model } => {
                self.head.name(id, model);
                self.begin(out);
            }
            Event::Delta { choice: 0, delta } if self.ended.is_none() => {
                self.begin(out);
                let Self { items, next, .. } = self;
                items.push(delta, &mut |kind, event| write(kind, event, next, out));
            }
            Event::Finish { choice: 0, reason } => {
                self.begin(out);
                self.end(reason, out);
            }
            // Responses have one answer.
            Event::Delta { .. } | Event::Finish { .. } => {}
            Event::Usage(usage) => self.usage = Some(*usage),
            Event::Error(told) => {
                let Self { items, next, .. } = self;
                items.release(&mut |kind, event| write(kind, event, next, out));
                error(told, self.next, out);
                self.next += 1;
                if self.begun {
                    self.state("response.failed", &State::Failed(told), out);
                }
            }
            Event::Done => {
                self.begin(out);
                self.end(&Finish::Stop, out);
                let reason = self.ended.clone().unwrap_or(Finish::Stop);
                let kind = match reason {
                    Finish::Length | Finish::Filtered => "response.incomplete",
                    _ => "response.completed",
                };
                self.state(kind, &State::Ended(&reason), out);
            }
        }
    }
}

/// The event of an error: its fields as documented, and once more as `error`, by which OpenAI's SDKs know that they must raise.
pub(super) fn error(error: &ErrorBody, number: u64, out: &mut BytesMut) {
    let kind = error.kind.as_deref().unwrap_or("server_error");
    let inner = json!({ "type": kind, "code": error.code, "message": error.message, "param": error.param });
    let mut event = json!({ "code": error.code, "message": error.message, "param": error.param });
    event["error"] = inner;
    let mut next = number;
    write("error", event, &mut next, out);
}

fn write(kind: &str, mut event: Value, next: &mut u64, out: &mut BytesMut) {
    event["type"] = kind.into();
    event["sequence_number"] = (*next).into();
    *next += 1;
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    out.extend_from_slice(event.to_string().as_bytes());
    out.extend_from_slice(b"\n\n");
}
