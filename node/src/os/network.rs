//! The network port over TCP, TLS and UDP. `runtime` gets it in `Env`. It proves who is at the other end and bounds what
//! strangers cost; who may do what is decided above.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use domain::NodeId;
use rustls::ServerConfig;
use rustls_pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::server::TlsStream;
use wire::net::{BoxIo, Identity, Inbound, Network, Protocol};

use super::homing::Homing;
use super::listen;
use super::outward::Outward;
use super::resolve::Names;
use super::tls::{self, ClusterTls};

/// Streams that are through their handshake and wait to be taken, on each port.
const WAITING_MAX: usize = 64;
/// The largest datagram there is.
const DATAGRAM_BYTES_MAX: usize = 65_535;

/// Where a node listens and whom it trusts outside its cluster.
#[derive(Debug, Clone, Default)]
pub(crate) struct Listen {
    /// `host:port` of the cluster port.
    pub(crate) cluster: String,
    /// `host:port` for clients.
    pub(crate) http: String,
    /// Certificate chain and key (PEM files) for clients; plain HTTP without.
    pub(crate) http_tls: Option<(PathBuf, PathBuf)>,
    /// More authorities (a PEM file) for servers outside.
    pub(crate) ca_file: Option<PathBuf>,
}

type Current = watch::Receiver<Option<Arc<ClusterTls>>>;
type Client = (BoxIo, SocketAddr);

enum HttpFace {
    Plain(TcpListener),
    Tls(Mutex<mpsc::Receiver<Client>>),
}

/// The system's network.
pub(crate) struct OsNetwork {
    identity: watch::Sender<Option<Arc<ClusterTls>>>,
    inbound: Mutex<mpsc::Receiver<Inbound>>,
    datagrams: UdpSocket,
    datagrams_addr: SocketAddr,
    names: Names,
    http: HttpFace,
    http_addr: SocketAddr,
    outward: Outward,
    tasks: Vec<AbortHandle>,
}

impl OsNetwork {
    /// Binds the ports, that of clients on the runtime `data`. Streams of the cluster port are taken only once there is an identity to present.
    ///
    /// # Errors
    /// Names the address or file that cannot be used and what to do.
    pub(crate) async fn bind(at: &Listen, data: &Handle) -> io::Result<Self> {
        let outward = Outward::checked(at.ca_file.as_deref())?;
        let http_tls = match &at.http_tls {
            Some((cert, key)) => Some(super::http_tls::server(cert, key)?),
            None => None,
        };
        let addr = at.http.clone();
        let http = data.spawn(async move { listen::tcp(&addr, "--http").await });
        let http = http.await.map_err(io::Error::other)??;
        let http_addr = http.local_addr()?;
        let (cluster, datagrams) = listen::tcp_and_udp(&at.cluster, "--cluster").await?;
        let datagrams_addr = datagrams.local_addr()?;

        let identity = watch::Sender::new(None);
        let (taken, inbound) = mpsc::channel(WAITING_MAX);
        let mut tasks =
            vec![tokio::spawn(serve_cluster(cluster, identity.subscribe(), taken)).abort_handle()];
        let http = match http_tls {
            None => HttpFace::Plain(http),
            Some(config) => {
                let (taken, clients) = mpsc::channel(WAITING_MAX);
                tasks.push(data.spawn(serve_https(http, config, taken)).abort_handle());
                HttpFace::Tls(Mutex::new(clients))
            }
        };
        let inbound = Mutex::new(inbound);
        let names = Names::default();
        Ok(Self { identity, inbound, datagrams, datagrams_addr, names, http, http_addr, outward, tasks })
    }

    /// Where the cluster port is, in numbers.
    pub(crate) fn cluster_addr(&self) -> SocketAddr {
        self.datagrams_addr
    }

    /// Where clients are answered, in numbers.
    pub(crate) fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    async fn tls_to(&self, addr: &str, name: ServerName<'static>, tls: TlsConnector) -> io::Result<BoxIo> {
        let dial = async {
            let stream = TcpStream::connect(self.names.find(addr, self.datagrams_addr).await?).await?;
            listen::tune(&stream);
            Ok(Box::new(tls.connect(name, stream).await.map_err(tls::told)?) as BoxIo)
        };
        let silent = || io::Error::new(io::ErrorKind::TimedOut, format!("{addr} did not answer"));
        tokio::time::timeout(listen::HANDSHAKE_TIMEOUT, dial).await.unwrap_or_else(|_| Err(silent()))
    }
}

impl Drop for OsNetwork {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

/// Waits for an identity, then takes streams, each with the identity of that moment.
async fn serve_cluster(listener: TcpListener, mut identity: Current, out: mpsc::Sender<Inbound>) {
    if identity.wait_for(Option::is_some).await.is_err() {
        return;
    }
    let tls = || identity.borrow().as_ref().map(|tls| tls.server.clone());
    listen::accept_tls(listener, tls, out, admit).await;
}

fn admit(mut stream: TlsStream<Homing>, _: SocketAddr) -> Result<Inbound, &'static str> {
    let (io, session) = stream.get_mut();
    let (peer, protocol) = tls::admit(session.alpn_protocol(), session.peer_certificates())?;
    io.move_on();
    Ok(Inbound { peer, protocol, io: Box::new(stream) })
}

async fn serve_https(listener: TcpListener, config: Arc<ServerConfig>, out: mpsc::Sender<Client>) {
    let admit = |stream: TlsStream<Homing>, peer| Ok((Box::new(stream) as BoxIo, peer));
    listen::accept_tls(listener, || Some(config.clone()), out, admit).await;
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::NotConnected, "the network is closed")
}

#[async_trait]
impl Network for OsNetwork {
    fn assume(&self, identity: Identity) {
        match ClusterTls::new(&identity) {
            Ok(tls) => {
                self.identity.send_replace(Some(Arc::new(tls)));
            }
            // The runtime read or made these certificates a moment ago: what is wrong with them shows in this line.
            Err(error) => tracing::error!(%error, "the node's certificates cannot be used"),
        }
    }

    async fn dial(&self, addr: &str, expect: NodeId, protocol: Protocol) -> io::Result<BoxIo> {
        let tls = self.identity.borrow().clone().and_then(|tls| tls.client(protocol));
        let tls = tls.ok_or_else(|| {
            io::Error::new(io::ErrorKind::NotConnected, "this node has no identity to dial with yet")
        })?;
        self.tls_to(addr, tls::server_name(expect)?, TlsConnector::from(tls)).await
    }

    async fn dial_join(&self, addr: &str, ca_sha256: [u8; 32]) -> io::Result<BoxIo> {
        let tls = TlsConnector::from(Arc::new(tls::join_client(ca_sha256)?));
        // Any node of the cluster will do, so the name says nothing and the verifier ignores it.
        self.tls_to(addr, tls::server_name(NodeId(0))?, tls).await
    }

    async fn accept(&self) -> io::Result<Inbound> {
        self.inbound.lock().await.recv().await.ok_or_else(closed)
    }

    async fn send_datagram(&self, addr: &str, bytes: &[u8]) -> io::Result<()> {
        let addr = self.names.find(addr, self.datagrams_addr).await?;
        self.datagrams.send_to(bytes, addr).await.map(|_| ())
    }

    async fn recv_datagram(&self) -> io::Result<Bytes> {
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
        let (len, _) = self.datagrams.recv_from(&mut buffer).await?;
        Ok(Bytes::copy_from_slice(&buffer[..len]))
    }

    async fn accept_http(&self) -> io::Result<(BoxIo, SocketAddr)> {
        match &self.http {
            HttpFace::Plain(listener) => {
                let (stream, peer) = listen::accept(listener).await;
                Ok((Box::new(stream), peer))
            }
            HttpFace::Tls(clients) => clients.lock().await.recv().await.ok_or_else(closed),
        }
    }

    async fn connect(&self, host: &str, port: u16, tls: bool) -> io::Result<BoxIo> {
        self.outward.connect(host, port, tls).await
    }
}

#[cfg(test)]
mod tests;
