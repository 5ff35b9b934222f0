//! A host's network over turmoil: the cluster port, clients' HTTP port, datagrams, and connections outwards. Sockets belong
//! to tasks, so that they go when their host dies, whoever still holds the network.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use actors::ports::Clock;
use async_trait::async_trait;
use bytes::Bytes;
use domain::NodeId;
use tokio::sync::mpsc;
use turmoil::net::TcpListener;
use wire::net::{BoxIo, Identity, Inbound, Network, Protocol};

use super::clock::SimClock;
use super::datagrams::Datagrams;
use super::{CLUSTER_PORT, HTTP_PORT, Host, World, handshake, lock};
use crate::Dice;

/// Streams that wait to be accepted.
const WAITING_MAX: usize = 256;

/// One life's network.
pub(crate) struct SimNetwork {
    world: Arc<World>,
    clock: SimClock,
    identity: Arc<Mutex<Option<Identity>>>,
    inbound: tokio::sync::Mutex<mpsc::Receiver<Inbound>>,
    http: tokio::sync::Mutex<mpsc::Receiver<(BoxIo, SocketAddr)>>,
    datagrams: Datagrams,
}

impl SimNetwork {
    /// Opens the ports of the host this runs on.
    pub(crate) async fn open(world: Arc<World>, host: &Host, dice: Dice) -> io::Result<Self> {
        let clock = SimClock(host.skew_ms.clone());
        let cluster = TcpListener::bind(("0.0.0.0", CLUSTER_PORT)).await?;
        let http = TcpListener::bind(("0.0.0.0", HTTP_PORT)).await?;
        let datagrams = Datagrams::open(world.weather, dice).await?;
        let identity: Arc<Mutex<Option<Identity>>> = Arc::default();
        let (arrived, inbound) = mpsc::channel(WAITING_MAX);
        tokio::spawn(accept(cluster, identity.clone(), clock.clone(), arrived));
        let (client, clients) = mpsc::channel(WAITING_MAX);
        tokio::spawn(accept_clients(http, client));
        let (inbound, http) = (tokio::sync::Mutex::new(inbound), tokio::sync::Mutex::new(clients));
        Ok(Self { world, clock, identity, inbound, http, datagrams })
    }
}

async fn accept_clients(listener: TcpListener, arrived: mpsc::Sender<(BoxIo, SocketAddr)>) {
    while let Ok((stream, remote)) = listener.accept().await {
        if arrived.send((Box::new(stream), remote)).await.is_err() {
            return;
        }
    }
}

/// Answers everybody who dials the cluster port, each on a task of its own: a slow one holds nobody up.
async fn accept(
    listener: TcpListener,
    identity: Arc<Mutex<Option<Identity>>>,
    clock: SimClock,
    arrived: mpsc::Sender<Inbound>,
) {
    loop {
        let Ok((stream, remote)) = listener.accept().await else { return };
        let (me, now, arrived) = (lock(&identity).clone(), clock.now(), arrived.clone());
        tokio::spawn(async move {
            match tokio::time::timeout(handshake::TIMEOUT, handshake::answer(stream, me, now)).await {
                Ok(Ok(inbound)) => {
                    tracing::debug!(peer = ?inbound.peer, protocol = ?inbound.protocol, "stream accepted");
                    let _ = arrived.send(inbound).await;
                }
                Ok(Err(error)) => tracing::debug!(%remote, %error, "stream refused"),
                Err(_) => tracing::debug!(%remote, "handshake took too long"),
            }
        });
    }
}

/// The two parts of `host:port`.
fn split(addr: &str) -> io::Result<(&str, u16)> {
    let bad = || io::Error::new(io::ErrorKind::InvalidInput, format!("`{addr}` is no host:port"));
    let (host, port) = addr.rsplit_once(':').ok_or_else(bad)?;
    Ok((host, port.parse().map_err(|_| bad())?))
}

#[async_trait]
impl Network for SimNetwork {
    fn assume(&self, identity: Identity) {
        *lock(&self.identity) = Some(identity);
    }

    async fn dial(&self, addr: &str, expect: NodeId, protocol: Protocol) -> io::Result<BoxIo> {
        let me = lock(&self.identity).clone();
        let me = me.ok_or_else(|| io::Error::other("dialled before there was an identity"))?;
        let (host, port) = split(addr)?;
        let shake = async {
            let stream = self.world.connect(host, port).await?;
            handshake::dial(stream, &me, expect, protocol, self.clock.now()).await
        };
        let dialled = timed(shake).await;
        tracing::debug!(addr, peer = %expect, ?protocol, ok = dialled.is_ok(), "stream dialled");
        dialled
    }

    async fn dial_join(&self, addr: &str, ca_sha256: [u8; 32]) -> io::Result<BoxIo> {
        let (host, port) = split(addr)?;
        let shake = async {
            let stream = self.world.connect(host, port).await?;
            handshake::dial_join(stream, ca_sha256, self.clock.now()).await
        };
        timed(shake).await
    }

    async fn accept(&self) -> io::Result<Inbound> {
        let arrived = self.inbound.lock().await.recv().await;
        arrived.ok_or_else(|| io::Error::other("the cluster port is closed"))
    }

    async fn send_datagram(&self, addr: &str, bytes: &[u8]) -> io::Result<()> {
        let (host, port) = split(addr)?;
        self.datagrams.send(host, port, bytes);
        Ok(())
    }

    async fn recv_datagram(&self) -> io::Result<Bytes> {
        self.datagrams.receive().await
    }

    async fn accept_http(&self) -> io::Result<(BoxIo, SocketAddr)> {
        let arrived = self.http.lock().await.recv().await;
        arrived.ok_or_else(|| io::Error::other("the HTTP port is closed"))
    }

    async fn connect(&self, host: &str, port: u16, tls: bool) -> io::Result<BoxIo> {
        if tls {
            return Err(io::Error::new(io::ErrorKind::Unsupported, "there is no TLS in this world"));
        }
        Ok(Box::new(self.world.connect(host, port).await?))
    }
}

async fn timed(dial: impl Future<Output = io::Result<BoxIo>>) -> io::Result<BoxIo> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, "nobody answered");
    tokio::time::timeout(handshake::TIMEOUT, dial).await.map_err(|_| late())?
}
