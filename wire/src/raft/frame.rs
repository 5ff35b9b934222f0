//! Calls as frames on a stream: the body's length, a code and the call's number, each big-endian, then the body. What gathers
//! while the stream is written to leaves with the next write, so a call costs one, and calls made together share it. The
//! code is a [`consensus::Kind`] in a question and a [`Verdict`] in an answer.

use std::convert::Infallible;
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;

use super::CALL_BYTES_MAX;
use crate::streams::lock;

/// Bytes before a body.
const HEAD_LEN: usize = 16;
/// Room that a stream is read into at least.
const READ_ROOM: usize = 16 << 10;
/// With so many bytes waiting to leave, nothing more is taken in.
const OUTBOX_BYTES_MAX: usize = 4 << 20;
/// The number of no call: a question that only asks for a sign of life, and its answer.
pub(super) const PING: u64 = 0;

/// One frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) code: u32,
    pub(super) id: u64,
    pub(super) body: Bytes,
}

/// What an answer's code says of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the answer.
    Done,
    /// It says why the call was refused.
    Refused,
    /// As refused: whoever asks is no member.
    Stranger,
}

impl Verdict {
    const ALL: [Verdict; 3] = [Verdict::Done, Verdict::Refused, Verdict::Stranger];

    pub(super) fn code(self) -> u32 {
        match self {
            Verdict::Done => 0,
            Verdict::Refused => 1,
            Verdict::Stranger => 2,
        }
    }

    pub(super) fn from_code(code: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|verdict| verdict.code() == code)
    }
}

/// Whether anything came lately.
#[derive(Default)]
pub(super) struct Pulse(AtomicBool);

impl Pulse {
    fn beat(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether there was a sign of life since the last look.
    pub(super) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

/// Frames on their way out.
#[derive(Default)]
pub(super) struct Outbox {
    bytes: Mutex<BytesMut>,
    filled: Notify,
    emptied: Notify,
}

impl Outbox {
    pub(super) fn push(&self, code: u32, id: u64, body: &[u8]) {
        let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
        let mut bytes = lock(&self.bytes);
        bytes.reserve(HEAD_LEN + body.len());
        bytes.put_u32(len);
        bytes.put_u32(code);
        bytes.put_u64(id);
        bytes.put_slice(body);
        drop(bytes);
        self.filled.notify_one();
    }

    /// Resolves when there is room for more. For one task; what it makes room for may be as large as it is.
    pub(super) async fn room(&self) {
        while lock(&self.bytes).len() >= OUTBOX_BYTES_MAX {
            self.emptied.notified().await;
        }
    }

    /// Writes what is there and what comes.
    pub(super) async fn drain(
        &self,
        io: &mut (impl AsyncWrite + Unpin),
        pulse: &Pulse,
    ) -> io::Result<Infallible> {
        loop {
            self.flush(io, pulse).await?;
            self.filled.notified().await;
        }
    }

    /// Writes what is there.
    pub(super) async fn flush(&self, io: &mut (impl AsyncWrite + Unpin), pulse: &Pulse) -> io::Result<()> {
        loop {
            let mut bytes = lock(&self.bytes).split();
            if bytes.is_empty() {
                return Ok(());
            }
            self.emptied.notify_one();
            while bytes.has_remaining() {
                io.write_buf(&mut bytes).await?;
                // A peer that takes a long frame piece by piece lives, though it has nothing to say before the end.
                if bytes.has_remaining() {
                    pulse.beat();
                }
            }
            io.flush().await?;
        }
    }
}

/// Frames as they come in.
pub(super) struct Inbox<R> {
    io: R,
    bytes: BytesMut,
}

impl<R: AsyncRead + Unpin> Inbox<R> {
    pub(super) fn new(io: R) -> Self {
        Self { io, bytes: BytesMut::new() }
    }

    /// The next frame; nothing at the stream's end. Fails at one that is longer than any call may be.
    pub(super) async fn next(&mut self, pulse: &Pulse) -> io::Result<Option<Frame>> {
        loop {
            if let Some(frame) = self.take()? {
                return Ok(Some(frame));
            }
            self.bytes.reserve(READ_ROOM);
            if self.io.read_buf(&mut self.bytes).await? == 0 {
                return if self.bytes.is_empty() {
                    Ok(None)
                } else {
                    Err(io::ErrorKind::UnexpectedEof.into())
                };
            }
            pulse.beat();
        }
    }

    fn take(&mut self) -> io::Result<Option<Frame>> {
        let Some(mut head) = self.bytes.get(..HEAD_LEN) else { return Ok(None) };
        let (len, code, id) = (head.get_u32() as usize, head.get_u32(), head.get_u64());
        if len > CALL_BYTES_MAX {
            let reason = format!("a call has {len} bytes, {CALL_BYTES_MAX} at most");
            return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
        }
        if self.bytes.len() < HEAD_LEN + len {
            self.bytes.reserve(HEAD_LEN + len - self.bytes.len());
            return Ok(None);
        }
        self.bytes.advance(HEAD_LEN);
        Ok(Some(Frame { code, id, body: self.bytes.split_to(len).freeze() }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_read_back_however_the_stream_cuts_them() {
        let outbox = Outbox::default();
        outbox.push(1, 7, b"one");
        outbox.push(0, PING, b"");
        outbox.push(3, u64::MAX, &[9; 40_000]);
        let mut written = Vec::new();
        outbox.flush(&mut written, &Pulse::default()).await.expect("a vector takes all");
        let wanted = [(1, 7, 3), (0, PING, 0), (3, u64::MAX, 40_000)];
        for piece in [1, 5, HEAD_LEN, 8192, written.len()] {
            let (mut from, to) = tokio::io::duplex(piece);
            let bytes = written.clone();
            tokio::spawn(async move { from.write_all(&bytes).await });
            let mut inbox = Inbox::new(to);
            for (code, id, len) in wanted {
                let frame = inbox.next(&Pulse::default()).await.expect("read").expect("a frame");
                assert_eq!((frame.code, frame.id, frame.body.len()), (code, id, len), "pieces of {piece}");
            }
            assert_eq!(inbox.next(&Pulse::default()).await.expect("the end"), None);
        }
    }

    #[tokio::test]
    async fn a_frame_that_is_torn_or_too_long_is_an_error() {
        let torn = [0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, b'x'];
        let error = Inbox::new(&torn[..]).next(&Pulse::default()).await.expect_err("torn");
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
        let long = [0xff; HEAD_LEN];
        let error = Inbox::new(&long[..]).next(&Pulse::default()).await.expect_err("too long");
        assert!(error.to_string().contains("at most"), "{error}");
    }
}
