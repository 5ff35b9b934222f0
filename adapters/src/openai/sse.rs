//! Events of a stream: pushed in as bytes in any pieces, taken out as events. The relay passes bytes through and needs
//! only [`complete_len`]; who wants to know what they say uses the [`Decoder`].

use bytes::Bytes;

use super::error_body::{ErrorBody, read_error};
use super::usage::{Usage, usage_of};

/// The event that ends a stream.
pub const DONE: &[u8] = b"data: [DONE]\n\n";
/// The longest event that is understood, in bytes; a longer one loses its rest.
pub const EVENT_LEN_MAX: usize = 1024 * 1024;

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
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    skip_lf: bool,
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
        for &byte in bytes {
            let skip = std::mem::take(&mut self.skip_lf) && byte == b'\n';
            match byte {
                _ if skip => {}
                b'\n' => self.end_line(&mut events),
                b'\r' => {
                    self.skip_lf = true;
                    self.end_line(&mut events);
                }
                _ if self.line.len() < EVENT_LEN_MAX => self.line.push(byte),
                _ => {}
            }
        }
        events
    }

    /// The stream is over. An event without its blank line was cut and does not count.
    pub fn finish(self) -> Ending {
        self.ending
    }

    fn end_line(&mut self, events: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            if std::mem::take(&mut self.has_data) {
                let data = std::mem::take(&mut self.data);
                events.push(self.read(data));
            }
        } else if let Some(data) = line.strip_prefix(b"data:") {
            if std::mem::replace(&mut self.has_data, true) {
                self.data.push(b'\n');
            }
            let room = EVENT_LEN_MAX.saturating_sub(self.data.len());
            let data = data.strip_prefix(b" ").unwrap_or(data);
            self.data.extend_from_slice(&data[..data.len().min(room)]);
        }
        self.line = line;
        self.line.clear();
    }

    fn read(&mut self, data: Vec<u8>) -> Event {
        if data == b"[DONE]" {
            self.ending.done = true;
            return Event::Done;
        }
        // Only an event that begins as an error is read as one: chunks are not parsed.
        if (data.starts_with(b"{\"error\"") || data.starts_with(b"{ \"error\""))
            && let Some(error) = read_error(&data)
        {
            self.ending.error = Some(error.clone());
            return Event::Error(error);
        }
        let usage = usage_of(&data);
        self.ending.usage = usage.or(self.ending.usage);
        Event::Chunk { data: data.into(), usage }
    }
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
