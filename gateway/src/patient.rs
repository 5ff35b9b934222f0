//! A client's byte stream, on which neither silence nor a reader that takes nothing is waited out for ever: such a
//! connection would keep its place among those that may be open. hyper looks after the rest: the next request's head, and
//! whether an HTTP/2 client is still there.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// What an HTTP/2 client says first. Until it, or something else, was said, nobody else measures the time.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Ends with `TimedOut` when the client says nothing, or takes nothing of what it is sent.
pub(crate) struct Patient<I> {
    io: I,
    greeting: Option<Greeting>,
    stall: Duration,
    /// Runs while bytes wait to be taken.
    stalled: Option<Pin<Box<Sleep>>>,
}

/// The time before it is known what the client speaks.
struct Greeting {
    heard: usize,
    over: Pin<Box<Sleep>>,
}

impl Greeting {
    /// Whether it goes on after these bytes: they may still become the preface.
    fn goes_on(&mut self, bytes: &[u8]) -> bool {
        let goes_on = !bytes.is_empty() && PREFACE[self.heard..].starts_with(bytes);
        self.heard += bytes.len();
        goes_on && self.heard < PREFACE.len()
    }
}

impl<I> Patient<I> {
    /// A stream whose client has `greeting` to begin and may leave bytes untaken for `stall`.
    pub(crate) fn new(io: I, greeting: Duration, stall: Duration) -> Self {
        let greeting = Greeting { heard: 0, over: Box::pin(sleep(greeting)) };
        Self { io, greeting: Some(greeting), stall, stalled: None }
    }

    /// Lets what was polled stand, unless the client has taken nothing for too long.
    fn taken<T>(&mut self, cx: &mut Context<'_>, polled: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.stalled = None;
            return polled;
        }
        let over = self.stalled.get_or_insert_with(|| Box::pin(sleep(self.stall)));
        ready!(over.as_mut().poll(cx));
        Poll::Ready(Err(late("the client takes nothing of its answer")))
    }
}

fn late(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, what)
}

impl<I: AsyncRead + Unpin> AsyncRead for Patient<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(greeting) = &mut this.greeting else { return Pin::new(&mut this.io).poll_read(cx, buf) };
        let before = buf.filled().len();
        if Pin::new(&mut this.io).poll_read(cx, buf)?.is_ready() {
            if !greeting.goes_on(&buf.filled()[before..]) {
                this.greeting = None;
            }
            return Poll::Ready(Ok(()));
        }
        ready!(greeting.over.as_mut().poll(cx));
        Poll::Ready(Err(late("the client says nothing")))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Patient<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.taken(cx, polled)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.taken(cx, polled)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.taken(cx, polled)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.taken(cx, polled)
    }
}
