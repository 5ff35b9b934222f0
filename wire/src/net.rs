//! The network as the cluster sees it: streams that already know who is at the other end, datagrams, and streams to the
//! outside. `node` implements it over TCP, TLS and UDP, the simulator over its world; nothing above can tell which.

use std::io;
use std::net::SocketAddr;

use async_trait::async_trait;
use bytes::Bytes;
use domain::NodeId;
use tokio::io::{AsyncRead, AsyncWrite};

/// A byte stream.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}

/// Any byte stream.
pub type BoxIo = Box<dyn Io>;

/// What is spoken on a stream of the cluster port (its ALPN name in production).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// gRPC: Raft and everything asked of the log, by nodes of a version that does not know [`Protocol::Calls`].
    Raft,
    /// gRPC: snapshots and other bulk, so that it never delays a heartbeat.
    Bulk,
    /// Actor messages.
    Door,
    /// Relayed inference streams.
    Relay,
    /// A new node asking to be let in: the only one without a client certificate.
    Join,
    /// Frames: Raft and everything asked of the log.
    Calls,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 6] =
        [Protocol::Raft, Protocol::Bulk, Protocol::Door, Protocol::Relay, Protocol::Join, Protocol::Calls];

    /// Its ALPN name.
    pub fn alpn(self) -> &'static [u8] {
        match self {
            Protocol::Raft => b"llmhub-raft/1",
            Protocol::Bulk => b"llmhub-bulk/1",
            Protocol::Door => b"llmhub-door/1",
            Protocol::Relay => b"llmhub-relay/1",
            Protocol::Join => b"llmhub-join/1",
            Protocol::Calls => b"llmhub-calls/1",
        }
    }
}

/// A stream that came in on the cluster port.
pub struct Inbound {
    /// Who dialled, proved by its certificate; `None` only for [`Protocol::Join`].
    pub peer: Option<NodeId>,
    /// What it wants to speak.
    pub protocol: Protocol,
    /// The stream.
    pub io: BoxIo,
}

/// What a node presents to its peers once it belongs to a cluster.
#[derive(Clone)]
pub struct Identity {
    /// Its id, which its certificate names.
    pub node: NodeId,
    /// Its certificate, DER.
    pub certificate: Vec<u8>,
    /// Its private key, PKCS#8 DER.
    pub key: Vec<u8>,
    /// The certificates of the authorities it trusts, DER: the one that signed its own first.
    pub authorities: Vec<Vec<u8>>,
}

/// A node's network.
#[async_trait]
pub trait Network: Send + Sync + 'static {
    /// From now on present this identity and trust its authorities. Before, only `dial_join` works. May be called again:
    /// streams that are open stay so.
    fn assume(&self, identity: Identity);
    /// Dials a peer's cluster port. Fails unless the peer proves to be `expect`, with `Unsupported` where it does not know the
    /// protocol.
    async fn dial(&self, addr: &str, expect: NodeId, protocol: Protocol) -> io::Result<BoxIo>;
    /// Dials a cluster port as a newcomer; the server must present a chain to the CA whose certificate has this SHA-256.
    async fn dial_join(&self, addr: &str, ca_sha256: [u8; 32]) -> io::Result<BoxIo>;
    /// The next stream that came in on the cluster port.
    async fn accept(&self) -> io::Result<Inbound>;
    /// Sends a datagram from the cluster port's number.
    async fn send_datagram(&self, addr: &str, bytes: &[u8]) -> io::Result<()>;
    /// The next datagram that came in.
    async fn recv_datagram(&self) -> io::Result<Bytes>;
    /// The next client's HTTP stream, after TLS where that is configured.
    async fn accept_http(&self) -> io::Result<(BoxIo, SocketAddr)>;
    /// Connects to a server outside the cluster or to an engine on loopback; with TLS for `https`.
    async fn connect(&self, host: &str, port: u16, tls: bool) -> io::Result<BoxIo>;
}
