//! Connections to the outside: providers, engines on loopback, and the command line's to a node. Which addresses may be
//! called is checked after name resolution, so that no name can point a call where none may go.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use wire::egress::{Forbidden, allowed};
use wire::net::BoxIo;

use super::listen::tune;

/// How long each address of a host may take to answer, and how long TLS may take then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How connections to the outside are made.
pub(crate) struct Outward {
    tls: Arc<ClientConfig>,
    /// Whether addresses are checked; the command line calls what its user names.
    checked: bool,
}

impl Outward {
    /// For a node: addresses are checked.
    ///
    /// # Errors
    /// Names the file of authorities that cannot be used.
    pub(crate) fn checked(ca_file: Option<&Path>) -> io::Result<Self> {
        Ok(Self { tls: super::http_tls::client(ca_file)?, checked: true })
    }

    /// For the command line: whatever its user names.
    ///
    /// # Errors
    /// Names the file of authorities that cannot be used.
    pub(crate) fn unchecked(ca_file: Option<&Path>) -> io::Result<Self> {
        Ok(Self { tls: super::http_tls::client(ca_file)?, checked: false })
    }

    /// Connects to a host, with TLS for `https`.
    ///
    /// # Errors
    /// `PermissionDenied` with [`Forbidden`] inside where no address of the host may be called; otherwise what the last
    /// address tried said.
    pub(crate) async fn connect(&self, host: &str, port: u16, tls: bool) -> io::Result<BoxIo> {
        let stream = self.reach(host, port).await?;
        tune(&stream);
        if !tls {
            return Ok(Box::new(stream));
        }
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, format!("`{host}` is no host name")))?;
        let handshake = TlsConnector::from(self.tls.clone()).connect(name, stream);
        match tokio::time::timeout(CONNECT_TIMEOUT, handshake).await {
            Ok(stream) => Ok(Box::new(stream?)),
            Err(_) => Err(timed_out(host, port)),
        }
    }

    async fn reach(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let found = tokio::net::lookup_host((host, port)).await;
        let found = found.map_err(|e| io::Error::new(e.kind(), format!("{host} cannot be resolved: {e}")))?;
        let mut last = io::Error::new(io::ErrorKind::NotFound, format!("{host} has no address"));
        for addr in found {
            match self.reach_address(addr).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    async fn reach_address(&self, addr: SocketAddr) -> io::Result<TcpStream> {
        if self.checked {
            allowed(addr.ip()).map_err(Forbidden)?;
        }
        match tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)).await {
            Ok(connected) => connected.map_err(|e| io::Error::new(e.kind(), format!("{addr}: {e}"))),
            Err(_) => Err(timed_out(&addr.ip().to_string(), addr.port())),
        }
    }
}

fn timed_out(host: &str, port: u16) -> io::Error {
    io::Error::new(
        io::ErrorKind::TimedOut,
        format!("{host}:{port} did not answer within {CONNECT_TIMEOUT:?}"),
    )
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn loopback_may_be_called_and_a_metadata_service_may_not() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let outward = Outward::checked(None).unwrap();
        assert!(outward.connect("localhost", port, false).await.is_ok());
        let error = outward.connect("169.254.169.254", 80, false).await.err().unwrap();
        assert!(error.get_ref().unwrap().downcast_ref::<Forbidden>().is_some(), "{error}");
    }

    #[tokio::test]
    async fn a_refused_connection_names_the_address() {
        let port = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            listener.local_addr().unwrap().port()
        };
        let outward = Outward::unchecked(None).unwrap();
        let error = outward.connect("127.0.0.1", port, false).await.err().unwrap();
        assert!(error.to_string().starts_with(&format!("127.0.0.1:{port}: ")), "{error}");
    }
}
