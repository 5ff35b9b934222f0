//! A stream of events on its way through: cut only where an event ends, read as far as it matters, so that an error can be
//! told as an event of its own and usage be counted. Keeps no more than one event.

use adapters::exchange::{Exchange, Through, Watched};
use adapters::openai::{EVENT_LEN_MAX, Ending, ErrorBody, Tail, complete_len};
use adapters::{Operation, Protocol};
use bytes::{Bytes, BytesMut};

/// The longest end of an event, less one byte of it: so far back it may have begun.
const END_LEN: usize = b"\r\n\r\n".len() - 1;

/// What passes, and what is read of it.
pub(super) struct Events {
    exchange: Exchange,
    /// The beginning of an event whose end has not come yet.
    part: BytesMut,
    read: Read,
}

enum Read {
    /// Chunks of OpenAI's dialect pass as they are: all that matters comes last.
    Chunks {
        tail: Box<Tail>,
        /// Events that passed, where anybody wants to know.
        count: Option<u64>,
    },
    /// Others pass as they are too, and are read along.
    Along(Box<Watched>),
    /// The client speaks otherwise than the target.
    Anew(Box<Through>),
}

impl Events {
    /// Nothing yet; `count` says whether events are to be counted.
    pub(super) fn new(exchange: Exchange, through: Option<Through>, count: bool) -> Self {
        let read = match through {
            Some(through) => Read::Anew(Box::new(through)),
            None if matches!(exchange.operation(), Operation::Chat | Operation::Completions) => {
                Read::Chunks { tail: Box::default(), count: count.then_some(0) }
            }
            None => Read::Along(Box::new(exchange.watched())),
        };
        Self { exchange, part: BytesMut::new(), read }
    }

    /// How many events passed, the closing ones left out; 0 where nobody counts.
    pub(super) fn count(&self) -> u64 {
        match &self.read {
            Read::Chunks { count, .. } => count.unwrap_or(0).saturating_sub(u64::from(self.is_done())),
            Read::Along(watched) => watched.pieces(),
            Read::Anew(through) => through.pieces(),
        }
    }

    /// What can go to the client now: whole events, or nothing yet.
    pub(super) fn push(&mut self, bytes: Bytes) -> Option<Bytes> {
        let whole = match &mut self.read {
            Read::Anew(through) => {
                let mut out = BytesMut::new();
                through.push(&bytes, &mut out);
                out.freeze()
            }
            Read::Along(watched) => {
                let whole = cut(&mut self.part, bytes, self.exchange.operation());
                watched.push(&whole);
                whole
            }
            Read::Chunks { tail, count } => {
                let whole = cut(&mut self.part, bytes, self.exchange.operation());
                tail.push(&whole);
                if let Some(count) = count {
                    let lines = whole.split(|b| *b == b'\n');
                    *count += lines.filter(|line| line.starts_with(b"data:")).count() as u64;
                }
                whole
            }
        };
        (!whole.is_empty()).then_some(whole)
    }

    /// The target has no more to say. What it said last is completed where only its line's end is missing.
    pub(super) fn finish(&mut self) -> Option<Bytes> {
        let last = match &mut self.read {
            Read::Anew(through) => {
                let mut out = BytesMut::new();
                through.finish(&mut out);
                out.freeze()
            }
            Read::Along(watched) => {
                let rest = self.part.split().freeze();
                watched.push(&rest);
                watched.finish();
                rest
            }
            Read::Chunks { tail, .. } => {
                let rest = self.part.split().freeze();
                let done = rest.ends_with(b"data: [DONE]") || rest.ends_with(b"data: [DONE]\n");
                let last = done.then(|| Bytes::from([&rest[..], b"\n\n"].concat()))?;
                tail.push(&last);
                last
            }
        };
        (!last.is_empty()).then_some(last)
    }

    /// The target is lost: what the client is told.
    pub(super) fn fail(&mut self, error: ErrorBody) -> Bytes {
        match &mut self.read {
            Read::Anew(through) => {
                let mut out = BytesMut::new();
                through.fail(error, &mut out);
                out.freeze()
            }
            Read::Along(_) | Read::Chunks { .. } => self.exchange.error_event(&error),
        }
    }

    /// The error that it told before anything else, if it did: nothing of it has gone to the client yet.
    pub(super) fn first_error(&self) -> Option<ErrorBody> {
        let ending = match &self.read {
            // Only an event that begins so is read.
            Read::Chunks { tail, .. } => tail.begins_with_error().then(|| tail.ending())?,
            Read::Along(watched) if watched.pieces() == 0 => watched.ending().clone(),
            Read::Anew(through) if through.pieces() == 0 => through.ending().clone(),
            Read::Along(_) | Read::Anew(_) => return None,
        };
        ending.error
    }

    /// Whether the answer said that it is complete.
    pub(super) fn is_done(&self) -> bool {
        match &self.read {
            Read::Chunks { tail, .. } => tail.is_done(),
            Read::Along(watched) => watched.ending().done,
            Read::Anew(through) => through.ending().done,
        }
    }

    /// How it ended, as far as it is known.
    pub(super) fn ending(&self) -> Ending {
        match &self.read {
            Read::Chunks { tail, .. } => tail.ending(),
            Read::Along(watched) => watched.ending().clone(),
            Read::Anew(through) => through.ending().clone(),
        }
    }
}

/// Whole events out of what was kept and what came; the rest is kept.
fn cut(part: &mut BytesMut, bytes: Bytes, operation: Operation) -> Bytes {
    let complete = |bytes: &[u8]| match operation.protocol() {
        Protocol::Ollama => bytes.iter().rposition(|b| *b == b'\n').map_or(0, |at| at + 1),
        _ => complete_len(bytes),
    };
    let whole = if part.is_empty() {
        let len = complete(&bytes);
        part.extend_from_slice(&bytes[len..]);
        if len == bytes.len() { bytes } else { bytes.slice(..len) }
    } else {
        // What was kept has no end in it: only what came can end it.
        let from = part.len().saturating_sub(END_LEN);
        part.extend_from_slice(&bytes);
        let len = match complete(&part[from..]) {
            0 => 0,
            len => from + len,
        };
        part.split_to(len).freeze()
    };
    if whole.is_empty() && part.len() > EVENT_LEN_MAX {
        // Not events after all, or absurd ones: they pass as they are rather than be kept.
        part.split().freeze()
    } else {
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use adapters::Call;
    use adapters::dialect::Spoken;
    use adapters::openai::COMPATIBLE;

    fn events() -> Events {
        let body = Bytes::from_static(br#"{"model":"m","messages":[],"stream":true}"#);
        let call = Call::parse(Operation::Chat, body).unwrap();
        Events::new(Exchange::new(&call, &Spoken::Known(&COMPATIBLE)).unwrap(), None, false)
    }

    #[test]
    fn events_pass_whole_however_they_are_cut() {
        let text = "data: {\"n\":1}\n\ndata: {\"n\":2}\r\n\r\ndata: [DONE]\n\n";
        for size in 1..text.len() {
            let mut events = events();
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
        let mut events = events();
        let piece = Bytes::from(vec![b'x'; 64 << 10]);
        let mut passed = 0;
        for _ in 0..64 {
            passed += events.push(piece.clone()).map_or(0, |bytes| bytes.len());
            assert!(events.part.len() <= EVENT_LEN_MAX);
        }
        assert!(passed > 2 << 20);
    }
}
