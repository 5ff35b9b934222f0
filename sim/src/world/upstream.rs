//! The provider outside: a host that serves OpenAI's interface, and that may be down, slow, out of patience, or break its
//! answers off or leave them unended. What it answers when it is well comes from the same mock as the engines'.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use turmoil::net::{TcpListener, TcpStream};

use super::lock;
use crate::scenario::Ailment;

/// Its host's name, and where it listens.
pub(crate) const PROVIDER: &str = "provider";
pub(crate) const PROVIDER_PORT: u16 = 8080;

/// The key its callers must show.
pub(crate) const PROVIDER_KEY: &str = "sk-provider";

/// How long a slow one lets callers wait.
const SLOW: Duration = Duration::from_secs(6);
/// After so many bytes an answer breaks off: within the first pieces of a stream.
const CUT_AFTER: usize = 700;
/// Connections served at a time.
const CONNECTIONS_MAX: usize = 512;
/// What is read of a request that is turned away, in bytes.
const HEAD_BYTES: usize = 4096;
const LIMITED: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\ncontent-type: application/json\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 42\r\n\r\n{\"error\":{\"message\":\"rate limit reached\"}}";

/// The provider, as the world knows it.
#[derive(Default)]
pub(crate) struct Upstream {
    ails: Mutex<Option<Ailment>>,
    changed: Notify,
}

impl Upstream {
    /// What ails it from now on. Connections that are open break: it was restarted, or its proxy was.
    pub(crate) fn ail(&self, ailment: Option<Ailment>) {
        let mut ails = lock(&self.ails);
        if *ails != ailment {
            *ails = ailment;
            self.changed.notify_one();
        }
    }

    /// Whether it takes connections.
    pub(crate) fn listens(&self) -> bool {
        *lock(&self.ails) != Some(Ailment::Down)
    }

    /// What its host runs.
    pub(crate) async fn serve(self: Arc<Self>) -> turmoil::Result {
        let listener = TcpListener::bind(("0.0.0.0", PROVIDER_PORT)).await?;
        let mut connections = JoinSet::new();
        loop {
            let stream = tokio::select! {
                biased;
                () = self.changed.notified() => {
                    connections.abort_all();
                    continue;
                }
                accepted = listener.accept() => accepted?.0,
            };
            let ails = *lock(&self.ails);
            if connections.len() < CONNECTIONS_MAX && ails != Some(Ailment::Down) {
                connections.spawn(answer(stream, ails));
            }
            while connections.try_join_next().is_some() {}
        }
    }
}

async fn answer(mut stream: TcpStream, ails: Option<Ailment>) {
    let key = Some(PROVIDER_KEY.into());
    match ails {
        Some(Ailment::Limited) => {
            let mut head = [0; HEAD_BYTES];
            // Whoever is turned away may be gone already.
            let _ = stream.read(&mut head).await;
            let _ = stream.write_all(LIMITED).await;
        }
        Some(Ailment::Slow) => {
            tokio::time::sleep(SLOW).await;
            runtime::mock_engine::serve(stream, key).await;
        }
        Some(Ailment::Cut | Ailment::Silent) => {
            let silent = ails == Some(Ailment::Silent);
            runtime::mock_engine::serve(Cut { stream, left: CUT_AFTER, silent }, key).await;
        }
        Some(Ailment::Down) | None => runtime::mock_engine::serve(stream, key).await,
    }
}

/// A connection that breaks, or falls silent for good, after so many bytes were written.
struct Cut {
    stream: TcpStream,
    left: usize,
    silent: bool,
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cut {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.left == 0 && self.silent {
            return Poll::Pending;
        }
        if self.left == 0 {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        let some = &buf[..buf.len().min(self.left)];
        let written = Pin::new(&mut self.stream).poll_write(cx, some);
        if let Poll::Ready(Ok(count)) = &written {
            self.left -= count;
        }
        written
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
