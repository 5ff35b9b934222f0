//! A TCP stream that lives where it is used. It is accepted on one runtime, and may then be served on another: there it is
//! registered anew at its first use, so that the first runtime is not woken for each of its packets.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The stream.
pub(crate) struct Homing {
    /// Empty only where moving it failed.
    io: Option<TcpStream>,
    /// Whether it is registered anew at its next use.
    moves: bool,
}

impl Homing {
    /// A stream that is registered where this is called.
    pub(crate) fn new(io: TcpStream) -> Self {
        Self { io: Some(io), moves: false }
    }

    /// Whoever uses it next keeps it. Nobody may be waiting for it now.
    pub(crate) fn move_on(&mut self) {
        self.moves = true;
    }

    fn here(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        if std::mem::take(&mut self.moves)
            && let Some(io) = self.io.take()
        {
            self.io = Some(TcpStream::from_std(io.into_std()?)?);
        }
        self.io.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl AsyncRead for Homing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.here()?.poll_read(cx, buf)
    }
}

impl AsyncWrite for Homing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.here()?.poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.here()?.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.here()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.here()?.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::runtime::Builder;

    use super::*;

    #[test]
    fn a_stream_goes_on_on_another_runtime() {
        let first = Builder::new_current_thread().enable_all().build().unwrap();
        let (mut here, mut there) = first.block_on(async {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let dialled = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (accepted, _) = listener.accept().await.unwrap();
            let (mut here, mut there) = (Homing::new(accepted), Homing::new(dialled));
            there.write_all(b"one").await.unwrap();
            let mut read = [0; 3];
            here.read_exact(&mut read).await.unwrap();
            here.move_on();
            there.move_on();
            (here, there)
        });
        let second = std::thread::spawn(move || {
            let second = Builder::new_current_thread().enable_all().build().unwrap();
            second.block_on(async {
                here.write_all(b"two").await.unwrap();
                let mut read = [0; 3];
                there.read_exact(&mut read).await.unwrap();
                read
            })
        });
        assert_eq!(&second.join().unwrap(), b"two");
        drop(first);
    }
}
