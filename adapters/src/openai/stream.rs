//! Events of a stream: pushed in as bytes in any pieces, taken out as events. The relay passes bytes through and needs
//! only [`complete_len`]; who wants to know what they say uses the [`Decoder`].

use bytes::Bytes;

use super::error_body::{ErrorBody, read_error};
use super::usage::usage_of;
use crate::frames::{FRAME_LEN_MAX, Sse};
use crate::usage::Usage;

/// The event that ends a stream.
pub const DONE: &[u8] = b"data: [DONE]\n\n";
/// The longest event that is understood, in bytes; a longer one loses its rest.
pub const EVENT_LEN_MAX: usize = FRAME_LEN_MAX;

/// What an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A piece of the answer.
    Chunk {
        /// Its JSON.
        data: Bytes,
        /// Tokens used, where it tells.
        usage: Option<Usage>,
    },
    /// The server gave up.
    Error(ErrorBody),
    /// The answer is complete.
    Done,
}

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ending {
    /// Whether it said that it is complete.
    pub done: bool,
    /// The error it told, if it did.
    pub error: Option<ErrorBody>,
    /// The last usage it told.
    pub usage: Option<Usage>,
}

/// Reads a stream of events.
#[derive(Debug, Default)]
pub struct Decoder {
    sse: Sse,
    ending: Ending,
}

impl Decoder {
    /// A decoder at a stream's beginning.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes; gives the events that are complete now.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        let Self { sse, ending } = self;
        sse.push(bytes, |_, data| events.push(read(data, ending)));
        events
    }

    /// The stream is over. An event without its blank line was cut and does not count.
    pub fn finish(self) -> Ending {
        self.ending
    }
}

fn read(data: &[u8], ending: &mut Ending) -> Event {
    if data == b"[DONE]" {
        ending.done = true;
        return Event::Done;
    }
    // Only an event that begins as an error is read as one: chunks are not parsed.
    if (data.starts_with(b"{\"error\"") || data.starts_with(b"{ \"error\""))
        && let Some(error) = read_error(data)
    {
        ending.error = Some(error.clone());
        return Event::Error(error);
    }
    let usage = usage_of(data);
    ending.usage = usage.or(ending.usage);
    Event::Chunk { data: Bytes::copy_from_slice(data), usage }
}

/// How many of these bytes are whole events: up to and including the last blank line. Cheap in the usual case that
/// a server sends whole events.
pub fn complete_len(bytes: &[u8]) -> usize {
    if bytes.ends_with(b"\n\n") || bytes.ends_with(b"\r\n\r\n") {
        return bytes.len();
    }
    let lf = bytes.windows(2).rposition(|w| w == b"\n\n").map_or(0, |at| at + 2);
    let crlf = bytes.windows(4).rposition(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
    lf.max(crlf)
}
