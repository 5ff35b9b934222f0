//! Engines' output as lines: long ones cut, and when nobody reads fast enough the oldest are left out, since an engine
//! must never wait for its log.

use std::collections::VecDeque;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::mpsc;

/// A line is cut after this many bytes.
const LINE_BYTES_MAX: usize = 4096;
/// Lines that wait for their reader at most; the oldest go first.
const LINES_MAX: usize = 1024;
/// Lines in the channel to the reader.
const CHANNEL_LINES: usize = 64;

/// Reads both until both end; the receiver's end is then told by the channel's.
pub(super) fn collect(
    stdout: Option<impl AsyncRead + Unpin + Send + 'static>,
    stderr: Option<impl AsyncRead + Unpin + Send + 'static>,
) -> mpsc::Receiver<String> {
    let (lines, receiver) = mpsc::channel(CHANNEL_LINES);
    tokio::spawn(pump(Lines::new(stdout), Lines::new(stderr), lines));
    receiver
}

async fn pump(
    mut stdout: Lines<impl AsyncRead + Unpin>,
    mut stderr: Lines<impl AsyncRead + Unpin>,
    lines: mpsc::Sender<String>,
) {
    let mut waiting = Waiting::default();
    loop {
        // Read on even when nobody listens: a full pipe would stop the engine.
        tokio::select! {
            line = stdout.next(), if stdout.open() => waiting.extend(line),
            line = stderr.next(), if stderr.open() => waiting.extend(line),
            permit = lines.reserve(), if !waiting.is_empty() => match permit {
                Ok(permit) => if let Some(line) = waiting.next() { permit.send(line) },
                Err(_) => waiting = Waiting { deaf: true, ..Waiting::default() },
            },
            else => return,
        }
    }
}

/// Lines on their way to the reader.
#[derive(Default)]
struct Waiting {
    lines: VecDeque<String>,
    left_out: usize,
    deaf: bool,
}

impl Waiting {
    fn extend(&mut self, line: Option<String>) {
        let Some(line) = line.filter(|_| !self.deaf) else { return };
        if self.lines.len() == LINES_MAX {
            self.lines.pop_front();
            self.left_out += 1;
        }
        self.lines.push_back(line);
    }

    fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    fn next(&mut self) -> Option<String> {
        match std::mem::take(&mut self.left_out) {
            0 => self.lines.pop_front(),
            count => Some(format!("[{count} lines left out]")),
        }
    }
}

/// The lines of a pipe.
struct Lines<R> {
    pipe: Option<R>,
    cutter: Cutter,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    fn new(pipe: Option<R>) -> Self {
        Self { pipe, cutter: Cutter::default() }
    }

    fn open(&self) -> bool {
        self.pipe.is_some() || !self.cutter.bytes.is_empty()
    }

    /// The next line; `None` at the end. Loses nothing when it is dropped half way.
    async fn next(&mut self) -> Option<String> {
        loop {
            if let Some(line) = self.cutter.take() {
                return Some(line);
            }
            let Some(pipe) = &mut self.pipe else { return self.cutter.rest() };
            self.cutter.bytes.reserve(LINE_BYTES_MAX);
            if !matches!(pipe.read_buf(&mut self.cutter.bytes).await, Ok(1..)) {
                self.pipe = None;
            }
        }
    }
}

/// Cuts bytes into lines.
#[derive(Default)]
struct Cutter {
    bytes: Vec<u8>,
    /// The line's beginning was told already; its rest is not.
    overlong: bool,
}

impl Cutter {
    fn take(&mut self) -> Option<String> {
        loop {
            let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
                return self.take_overlong();
            };
            let line: Vec<u8> = self.bytes.drain(..=end).collect();
            if !std::mem::take(&mut self.overlong) {
                return Some(text(&line));
            }
        }
    }

    fn take_overlong(&mut self) -> Option<String> {
        if !self.overlong && self.bytes.len() <= LINE_BYTES_MAX {
            return None;
        }
        let bytes = std::mem::take(&mut self.bytes);
        (!std::mem::replace(&mut self.overlong, true)).then(|| text(&bytes))
    }

    /// What came after the last line's end.
    fn rest(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.bytes);
        (!bytes.is_empty() && !self.overlong).then(|| text(&bytes))
    }
}

fn text(line: &[u8]) -> String {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    String::from_utf8_lossy(&line[..line.len().min(LINE_BYTES_MAX)]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut lines: mpsc::Receiver<String>) -> Vec<String> {
        let mut all = Vec::new();
        while let Some(line) = lines.recv().await {
            all.push(line);
        }
        all
    }

    #[tokio::test]
    async fn output_comes_as_lines_and_the_last_needs_no_end() {
        let out = collect(Some(&b"one\r\ntwo\nthree"[..]), None::<tokio::io::Empty>);
        assert_eq!(all(out).await, ["one", "two", "three"]);
    }

    #[tokio::test]
    async fn a_long_line_is_cut_and_its_rest_is_left_out() {
        let text = format!("{}\nnext\n", "x".repeat(5 * LINE_BYTES_MAX));
        let out = collect(Some(std::io::Cursor::new(text)), None::<tokio::io::Empty>);
        assert_eq!(all(out).await, ["x".repeat(LINE_BYTES_MAX), "next".to_owned()]);
    }

    #[tokio::test]
    async fn a_slow_reader_loses_the_oldest_lines_and_is_told_how_many() {
        let count = 5 * LINES_MAX;
        let (mut write, read) = tokio::io::duplex(64);
        let out = collect(Some(read), None::<tokio::io::Empty>);
        let text: String = (0..count).map(|n| format!("{n}\n")).collect();
        // Written to the end although nobody reads yet.
        tokio::io::AsyncWriteExt::write_all(&mut write, text.as_bytes()).await.unwrap();
        drop(write);
        let lines = all(out).await;
        assert_eq!(lines.last().unwrap(), &(count - 1).to_string());
        assert!(lines.len() < 2 * LINES_MAX);
        assert!(lines.iter().any(|line| line.ends_with("lines left out]")), "{lines:?}");
    }

    #[tokio::test]
    async fn an_engine_whose_reader_went_away_is_still_read() {
        let (mut write, read) = tokio::io::duplex(64);
        drop(collect(Some(read), None::<tokio::io::Empty>));
        tokio::io::AsyncWriteExt::write_all(&mut write, "a line\n".repeat(1000).as_bytes()).await.unwrap();
    }
}
