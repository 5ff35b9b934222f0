//! Reads along with streams of pictures, speech and transcripts, whose events have types and whose last one tells the usage.

use serde_json::Value;

use crate::chat::{Delta, Event};
use crate::dialect::Decoder;
use crate::frames::Sse;
use crate::openai::{read_error, usage_of};

/// Reads such events as far as counting and accounting need it.
#[derive(Default)]
pub(crate) struct EventWatch {
    sse: Sse,
    done: bool,
    told: bool,
}

impl Decoder for EventWatch {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let Self { sse, done, told } = self;
        sse.push(bytes, |_, data| {
            if *told || data.is_empty() {
                return;
            }
            if data == b"[DONE]" {
                *told = true;
                return out.push(Event::Done);
            }
            let Ok(value) = serde_json::from_slice::<Value>(data) else { return };
            let kind = value["type"].as_str().unwrap_or_default();
            if (kind == "error" || kind.is_empty())
                && let Some(error) = read_error(data)
            {
                *told = true;
                return out.push(Event::Error(error));
            }
            // Words are told in pieces; of sound and pictures it is enough to know that a piece came.
            let text = value["delta"].as_str().unwrap_or_default().to_owned();
            if !kind.ends_with(".done") && !kind.ends_with(".completed") {
                out.push(Event::Delta { choice: 0, delta: Delta::Text(text) });
                return;
            }
            out.extend(usage_of(data).map(Event::Usage));
            *done = true;
            // Each of several pictures is completed for itself.
            if kind.ends_with(".done") {
                *told = true;
                out.push(Event::Done);
            }
        });
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        if self.done && !std::mem::replace(&mut self.told, true) {
            out.push(Event::Done);
        }
    }
}
