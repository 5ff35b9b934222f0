//! A stream of events on its way through: cut only where an event ends, with its last bytes remembered, so that an error can
//! be told as an event of its own and usage be counted. Keeps no more than one event.

use adapters::openai::{EVENT_LEN_MAX, Ending, Tail, complete_len};
use bytes::{Bytes, BytesMut};

/// The longest end of an event, less one byte of it: so far back it may have begun.
const END_LEN: usize = b"\r\n\r\n".len() - 1;

/// What passed, as far as it matters.
#[derive(Default)]
pub(super) struct Events {
    /// The beginning of an event whose end has not come yet.
    part: BytesMut,
    tail: Tail,
    /// Events that passed, where anybody wants to know.
    count: Option<u64>,
}

impl Events {
    /// Nothing yet; `count` says whether events are to be counted.
    pub(super) fn new(count: bool) -> Self {
        Self { count: count.then_some(0), ..Self::default() }
    }

    /// How many events passed, the closing ones left out; 0 where nobody counts.
    pub(super) fn count(&self) -> u64 {
        self.count.unwrap_or(0).saturating_sub(u64::from(self.is_done()))
    }

    /// What can go to the client now: whole events, or nothing yet.
    pub(super) fn push(&mut self, bytes: Bytes) -> Option<Bytes> {
        let whole = if self.part.is_empty() {
            let len = complete_len(&bytes);
            self.part.extend_from_slice(&bytes[len..]);
            if len == bytes.len() { bytes } else { bytes.slice(..len) }
        } else {
            // What was kept has no end in it: only what came can end it.
            let from = self.part.len().saturating_sub(END_LEN);
            self.part.extend_from_slice(&bytes);
            let len = match complete_len(&self.part[from..]) {
                0 => 0,
                len => from + len,
            };
            self.part.split_to(len).freeze()
        };
        let whole = if whole.is_empty() && self.part.len() > EVENT_LEN_MAX {
            // Not events after all, or absurd ones: they pass as they are rather than be kept.
            self.part.split().freeze()
        } else {
            whole
        };
        self.tail.push(&whole);
        if let Some(count) = &mut self.count {
            *count += whole.split(|b| *b == b'\n').filter(|line| line.starts_with(b"data:")).count() as u64;
        }
        (!whole.is_empty()).then_some(whole)
    }

    /// The target has no more to say. What it said last is completed where only its line's end is missing.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        let rest = self.part.split().freeze();
        let done = rest.ends_with(b"data: [DONE]") || rest.ends_with(b"data: [DONE]\n");
        let last = done.then(|| Bytes::from([&rest[..], b"\n\n"].concat()))?;
        self.tail.push(&last);
        Some(last)
    }

    /// Whether the answer said that it is complete.
    pub(super) fn is_done(&self) -> bool {
        self.tail.is_done()
    }

    /// How it ended, as far as its last bytes tell.
    pub(super) fn ending(&self) -> Ending {
        self.tail.ending()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_pass_whole_however_they_are_cut() {
        let text = "data: {\"n\":1}\n\ndata: {\"n\":2}\r\n\r\ndata: [DONE]\n\n";
        for size in 1..text.len() {
            let mut events = Events::default();
            let mut passed = String::new();
            for piece in text.as_bytes().chunks(size) {
                let Some(whole) = events.push(Bytes::copy_from_slice(piece)) else { continue };
                assert!(
                    whole.ends_with(b"\n\n") || whole.ends_with(b"\r\n\r\n"),
                    "{whole:?} in pieces of {size}"
                );
                passed.push_str(std::str::from_utf8(&whole).unwrap());
            }
            assert_eq!(passed, text, "in pieces of {size}");
            assert!(events.is_done() && events.finish().is_none());
        }
    }

    #[test]
    fn what_is_no_event_passes_rather_than_be_kept() {
        let mut events = Events::default();
        let piece = Bytes::from(vec![b'x'; 64 << 10]);
        let mut passed = 0;
        for _ in 0..64 {
            passed += events.push(piece.clone()).map_or(0, |bytes| bytes.len());
            assert!(events.part.len() <= EVENT_LEN_MAX);
        }
        assert!(passed > 2 << 20);
    }
}
