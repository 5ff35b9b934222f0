//! Counts server-sent events in a byte stream, however it is cut. Used by the generator's streams.
//!
//! It looks at line ends only and keeps a few bytes of the current line: what the events say is not its business.

/// Enough of a line to know `data: [DONE]`.
const KEPT: usize = 16;

/// Finds events in pieces of a stream.
#[derive(Debug, Default)]
pub struct EventScanner {
    line: Vec<u8>,
    data_in_event: bool,
    done: bool,
    done_in_event: bool,
}

impl EventScanner {
    /// Takes the next piece; returns how many events with data ended in it, `[DONE]` not counted.
    pub fn push(&mut self, piece: &[u8]) -> u32 {
        let mut events = 0;
        for &byte in piece {
            match byte {
                b'\n' => events += u32::from(self.end_line()),
                b'\r' => {}
                _ if self.line.len() < KEPT => self.line.push(byte),
                _ => {}
            }
        }
        events
    }

    /// Whether `data: [DONE]` was seen.
    pub fn done(&self) -> bool {
        self.done
    }

    fn end_line(&mut self) -> bool {
        if self.line.is_empty() {
            let counts = self.data_in_event && !self.done_in_event;
            self.done |= self.done_in_event;
            (self.data_in_event, self.done_in_event) = (false, false);
            return counts;
        }
        if let Some(data) = self.line.strip_prefix(b"data:") {
            self.data_in_event = true;
            self.done_in_event = data.trim_ascii() == b"[DONE]";
        }
        self.line.clear();
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str =
        ": hello\n\ndata: {\"a\":1}\n\nevent: x\ndata: {\"b\":\"[DONE]\"}\r\n\r\ndata: [DONE]\n\n";

    #[test]
    fn events_are_counted_wherever_the_stream_is_cut() {
        for cut in 0..=STREAM.len() {
            let mut scanner = EventScanner::default();
            let (head, tail) = STREAM.as_bytes().split_at(cut);
            assert_eq!(scanner.push(head) + scanner.push(tail), 2, "cut at {cut}");
            assert!(scanner.done(), "cut at {cut}");
        }
    }

    #[test]
    fn a_stream_that_was_broken_off_is_not_done() {
        let mut scanner = EventScanner::default();
        assert_eq!(scanner.push(b"data: 1\n\ndata: 2\n\ndata: [DONE]\n"), 2);
        assert!(!scanner.done());
    }
}
