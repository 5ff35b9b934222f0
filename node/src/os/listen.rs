//! Sockets that listen, and loops that take connections from them and never end: a full table of open files, or a
//! connection that is gone before it was taken, stops nobody. `network` uses it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::homing::Homing;

/// How long a peer may take for its TLS handshake.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// TLS handshakes under way at most, on each port.
pub(crate) const HANDSHAKES_MAX: usize = 256;
/// How long to wait when the system has no more connections to give (no file descriptors left, for one).
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);
/// An idle connection whose other end vanished is noticed after this long.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// How often to look for a number that is free for TCP and UDP alike, where the system chooses it.
const PORT_ATTEMPTS: usize = 16;

/// Listens at `host:port`.
///
/// # Errors
/// Names the address and the option to change.
pub(crate) async fn tcp(addr: &str, option: &str) -> io::Result<TcpListener> {
    TcpListener::bind(addr).await.map_err(|error| cannot_bind(addr, option, &error))
}

/// Listens at `host:port` for streams, and for datagrams on the same number.
///
/// # Errors
/// Names the address and the option to change.
pub(crate) async fn tcp_and_udp(addr: &str, option: &str) -> io::Result<(TcpListener, UdpSocket)> {
    let mut attempts = if addr.ends_with(":0") { PORT_ATTEMPTS } else { 1 };
    loop {
        let listener = tcp(addr, option).await?;
        let bound = listener.local_addr()?;
        attempts -= 1;
        match UdpSocket::bind(bound).await {
            Ok(socket) => return Ok((listener, socket)),
            Err(_) if attempts > 0 => {}
            Err(error) => return Err(cannot_bind(&format!("{bound} (UDP)"), option, &error)),
        }
    }
}

fn cannot_bind(addr: &str, option: &str, error: &io::Error) -> io::Error {
    let reason = match error.kind() {
        io::ErrorKind::AddrInUse => {
            format!(
                "address {addr} is in use: choose another with {option}, or stop the program that uses it"
            )
        }
        io::ErrorKind::AddrNotAvailable => {
            format!("this machine has no address {addr}: choose one of its own with {option}")
        }
        io::ErrorKind::PermissionDenied => {
            format!("address {addr} may not be used ({error}): choose a port above 1023 with {option}")
        }
        _ => format!("address {addr} cannot be listened on ({error}): write {option} as host:port"),
    };
    io::Error::new(error.kind(), reason)
}

/// The next connection, with small packets sent at once. Waits out what is wrong for the moment.
pub(crate) async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                tune(&stream);
                return (stream, peer);
            }
            Err(error) if is_lost_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be taken just now");
                tokio::time::sleep(EXHAUSTED_PAUSE).await;
            }
        }
    }
}

/// Sends small packets at once and notices a vanished peer. Neither is worth losing a connection for.
pub(crate) fn tune(stream: &TcpStream) {
    let _ = stream.set_nodelay(true);
    let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE / 4);
    let _ = SockRef::from(stream).set_tcp_keepalive(&keepalive);
}

/// Whether only the connection at the head of the queue is gone.
fn is_lost_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Takes connections, makes TLS of them with the settings of that moment, and hands on what `admit` makes of each, until
/// nobody listens to `out` any more.
pub(crate) async fn accept_tls<T: Send + 'static>(
    listener: TcpListener,
    tls: impl Fn() -> Option<Arc<ServerConfig>>,
    out: mpsc::Sender<T>,
    admit: impl Fn(TlsStream<Homing>, SocketAddr) -> Result<T, &'static str> + Clone + Send + Sync + 'static,
) {
    let slots = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    // Dropping the set ends the handshakes along with this loop.
    let mut handshakes = JoinSet::new();
    loop {
        let Ok(slot) = slots.clone().acquire_owned().await else { return };
        let (stream, peer) = tokio::select! {
            accepted = accept(&listener) => accepted,
            () = out.closed() => return,
        };
        while handshakes.try_join_next().is_some() {}
        let Some(tls) = tls() else { continue };
        let (handshake, out, admit) =
            (TlsAcceptor::from(tls).accept(Homing::new(stream)), out.clone(), admit.clone());
        handshakes.spawn(async move {
            let stream = match tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return tracing::debug!(%peer, %error, "TLS handshake failed"),
                Err(_) => return tracing::debug!(%peer, "TLS handshake took too long"),
            };
            match admit(stream, peer) {
                Ok(admitted) => drop(out.send(admitted).await),
                Err(reason) => tracing::debug!(%peer, reason, "connection refused"),
            }
            drop(slot);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_in_use_is_told_with_the_option_to_change() {
        let taken = tcp("127.0.0.1:0", "--http").await.unwrap();
        let addr = taken.local_addr().unwrap().to_string();
        let error = tcp(&addr, "--http").await.unwrap_err();
        let told = format!("address {addr} is in use: choose another with --http");
        assert!(error.to_string().starts_with(&told), "{error}");
    }

    #[tokio::test]
    async fn streams_and_datagrams_share_a_number() {
        let (listener, socket) = tcp_and_udp("127.0.0.1:0", "--cluster").await.unwrap();
        assert_eq!(listener.local_addr().unwrap().port(), socket.local_addr().unwrap().port());
    }
}
