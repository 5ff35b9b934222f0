//! The end of a stream, kept while it passes by: usage, `[DONE]` and errors all come last, so nothing before is looked at.

use super::stream::{DONE, Decoder, Ending};

/// Bytes kept at least; the closing events of known servers have less than 1 KiB.
const KEEP: usize = 2 * 1024;

/// Keeps the last bytes of a stream.
#[derive(Debug, Default)]
pub struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    /// The next bytes passed by.
    pub fn push(&mut self, bytes: &[u8]) {
        if bytes.len() > KEEP {
            self.cut = true;
            self.bytes.clear();
            self.bytes.extend_from_slice(&bytes[bytes.len() - KEEP..]);
            return;
        }
        if self.bytes.len() + bytes.len() > 2 * KEEP {
            self.cut = true;
            let surplus = self.bytes.len() - (KEEP - bytes.len()).min(self.bytes.len());
            self.bytes.drain(..surplus);
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// Whether the last bytes say that the stream is complete.
    pub fn is_done(&self) -> bool {
        self.bytes.ends_with(DONE) || self.ending().done
    }

    /// Whether all that passed so far is an error.
    pub fn begins_with_error(&self) -> bool {
        !self.cut && self.bytes.starts_with(b"data: {\"error\"")
    }

    /// How the stream ended, as far as its last bytes tell.
    pub fn ending(&self) -> Ending {
        let mut bytes = self.bytes.as_slice();
        if self.cut {
            // The first line may be the rest of one; what it says cannot be trusted.
            let line = bytes.iter().position(|b| *b == b'\n').map_or(bytes.len(), |at| at + 1);
            bytes = &bytes[line..];
        }
        let mut decoder = Decoder::new();
        decoder.push(bytes);
        decoder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::usage::Usage;

    #[test]
    fn the_end_of_a_long_stream_is_remembered_and_its_beginning_is_not() {
        let mut tail = Tail::default();
        for n in 0..10_000 {
            tail.push(format!("data: {{\"n\":{n}}}\n\n").as_bytes());
            assert!(tail.bytes.len() <= 2 * KEEP);
        }
        assert!(!tail.is_done());
        tail.push(b"data: {\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n");
        tail.push(DONE);
        let ending = tail.ending();
        assert!(ending.done && tail.is_done());
        assert_eq!(ending.usage, Some(Usage::of(3, 4)));
    }

    #[test]
    fn one_huge_push_keeps_its_end() {
        let mut tail = Tail::default();
        let mut bytes = vec![b'x'; 100_000];
        bytes.extend_from_slice(b"\n\ndata: {\"error\":{\"message\":\"no\"}}\n\n");
        tail.push(&bytes);
        let ending = tail.ending();
        assert!(!ending.done);
        assert_eq!(ending.error.unwrap().message, "no");
    }
}
