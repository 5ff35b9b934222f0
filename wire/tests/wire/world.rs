//! A network in memory. Streams between two addresses can be held (nothing arrives, nothing breaks) or broken.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use actors::ports::Entropy;
use async_trait::async_trait;
use bytes::Bytes;
use domain::NodeId;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};
use tokio::sync::mpsc;
use wire::{BoxIo, Identity, Inbound, Network, Protocol, Streams};

/// What fits into a stream before its writer waits.
const PIPE_BYTES: usize = 64 << 10;

#[derive(Default)]
pub(crate) struct World {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    nodes: BTreeMap<String, Listening>,
    links: Vec<(String, String, Arc<Link>)>,
    held: BTreeSet<(String, String)>,
    outside: BTreeMap<String, mpsc::UnboundedSender<DuplexStream>>,
    lose_every: u64,
    datagrams: u64,
    older: BTreeSet<String>,
    dials_take: Duration,
}

struct Listening {
    id: NodeId,
    streams: mpsc::UnboundedSender<Inbound>,
    datagrams: mpsc::UnboundedSender<Bytes>,
}

pub(crate) struct TestNetwork {
    world: Arc<World>,
    id: NodeId,
    addr: String,
    streams: tokio::sync::Mutex<mpsc::UnboundedReceiver<Inbound>>,
    datagrams: tokio::sync::Mutex<mpsc::UnboundedReceiver<Bytes>>,
}

pub(crate) fn addr(node: u64) -> String {
    format!("node{node}:7602")
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    /// A node's network; replaces that of an earlier life.
    pub(crate) fn node(self: &Arc<Self>, node: u64) -> Arc<TestNetwork> {
        self.node_at(node, &addr(node))
    }

    pub(crate) fn node_at(self: &Arc<Self>, node: u64, addr: &str) -> Arc<TestNetwork> {
        let (streams, accepted) = mpsc::unbounded_channel();
        let (datagrams, received) = mpsc::unbounded_channel();
        let id = NodeId(node);
        self.state.lock().unwrap().nodes.insert(addr.to_owned(), Listening { id, streams, datagrams });
        Arc::new(TestNetwork {
            world: self.clone(),
            id,
            addr: addr.to_owned(),
            streams: tokio::sync::Mutex::new(accepted),
            datagrams: tokio::sync::Mutex::new(received),
        })
    }

    /// Streams to everyone, everyone a member.
    pub(crate) fn streams(self: &Arc<Self>, node: u64) -> Arc<Streams> {
        Streams::new(self.node(node), Arc::new(|_| true))
    }

    /// A node is gone: nobody listens, its streams break.
    pub(crate) fn crash(&self, node: u64) {
        let mut state = self.state.lock().unwrap();
        state.nodes.remove(&addr(node));
        state.links.retain(|(a, b, link)| {
            let its = *a == addr(node) || *b == addr(node);
            if its {
                link.set(Flow::Broken);
            }
            !its
        });
    }

    /// From now on a node is of a version that does not know lines.
    pub(crate) fn age(&self, node: u64) {
        self.state.lock().unwrap().older.insert(addr(node));
    }

    /// So long it takes from now on until a stream is there.
    pub(crate) fn dials_take(&self, time: Duration) {
        self.state.lock().unwrap().dials_take = time;
    }

    /// Nothing arrives any more between two nodes, and nothing breaks.
    pub(crate) fn hold(&self, a: u64, b: u64) {
        self.set_held(a, b, true);
    }

    pub(crate) fn release(&self, a: u64, b: u64) {
        self.set_held(a, b, false);
    }

    fn set_held(&self, a: u64, b: u64, held: bool) {
        let mut state = self.state.lock().unwrap();
        for pair in [(addr(a), addr(b)), (addr(b), addr(a))] {
            if held {
                state.held.insert(pair)
            } else {
                state.held.remove(&pair)
            };
        }
        let flow = if held { Flow::Held } else { Flow::Open };
        for (from, to, link) in &state.links {
            if (*from == addr(a) && *to == addr(b)) || (*from == addr(b) && *to == addr(a)) {
                link.set(flow);
            }
        }
    }

    /// Loses every n-th datagram; 0 loses none.
    pub(crate) fn lose_every(&self, n: u64) {
        self.state.lock().unwrap().lose_every = n;
    }

    /// Streams that are dialled to a host outside.
    pub(crate) fn outside(&self, host_and_port: &str) -> mpsc::UnboundedReceiver<DuplexStream> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.state.lock().unwrap().outside.insert(host_and_port.to_owned(), sender);
        receiver
    }
}

impl TestNetwork {
    pub(crate) fn id(&self) -> NodeId {
        self.id
    }
}

#[async_trait]
impl Network for TestNetwork {
    fn assume(&self, _: Identity) {}

    async fn dial(&self, to: &str, expect: NodeId, protocol: Protocol) -> io::Result<BoxIo> {
        let held = self.world.state.lock().unwrap().held.contains(&(self.addr.clone(), to.to_owned()));
        if held {
            std::future::pending::<()>().await;
        }
        let takes = self.world.state.lock().unwrap().dials_take;
        tokio::time::sleep(takes).await;
        let mut state = self.world.state.lock().unwrap();
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        let listening = state.nodes.get(to).ok_or_else(refused)?;
        if listening.id != expect {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "another node answers there"));
        }
        if protocol == Protocol::Calls && state.older.contains(to) {
            return Err(io::ErrorKind::Unsupported.into());
        }
        let link = Arc::new(Link::default());
        let (here, there) = tokio::io::duplex(PIPE_BYTES);
        let there: BoxIo = Box::new(Linked { io: there, link: link.clone() });
        let inbound = Inbound { peer: Some(self.id), protocol, io: there };
        listening.streams.send(inbound).map_err(|_| refused())?;
        state.links.push((self.addr.clone(), to.to_owned(), link.clone()));
        Ok(Box::new(Linked { io: here, link }))
    }

    async fn dial_join(&self, _: &str, _: [u8; 32]) -> io::Result<BoxIo> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn accept(&self) -> io::Result<Inbound> {
        match self.streams.lock().await.recv().await {
            Some(inbound) => Ok(inbound),
            None => std::future::pending().await,
        }
    }

    async fn send_datagram(&self, to: &str, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.world.state.lock().unwrap();
        state.datagrams += 1;
        let lost = state.lose_every > 0 && state.datagrams.is_multiple_of(state.lose_every);
        let alive = state.nodes.get(&self.addr).is_some_and(|listening| listening.id == self.id);
        let arrives = !lost && alive && !state.held.contains(&(self.addr.clone(), to.to_owned()));
        if let Some(listening) = state.nodes.get(to).filter(|_| arrives) {
            let _ = listening.datagrams.send(Bytes::copy_from_slice(bytes));
        }
        Ok(())
    }

    async fn recv_datagram(&self) -> io::Result<Bytes> {
        match self.datagrams.lock().await.recv().await {
            Some(bytes) => Ok(bytes),
            None => std::future::pending().await,
        }
    }

    async fn accept_http(&self) -> io::Result<(BoxIo, std::net::SocketAddr)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    async fn connect(&self, host: &str, port: u16, _: bool) -> io::Result<BoxIo> {
        if host == "metadata.internal" {
            return Err(wire::egress::Forbidden("it is a link-local address").into());
        }
        if host == "blackhole" {
            std::future::pending::<()>().await;
        }
        let state = self.world.state.lock().unwrap();
        let server = state.outside.get(&format!("{host}:{port}"));
        let server = server.ok_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        let (here, there) = tokio::io::duplex(PIPE_BYTES);
        server.send(there).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(Box::new(here))
    }
}

#[derive(Clone, Copy, PartialEq, Default)]
enum Flow {
    #[default]
    Open,
    Held,
    Broken,
}

#[derive(Default)]
struct Link(Mutex<(Flow, Vec<Waker>)>);

impl Link {
    fn set(&self, flow: Flow) {
        let mut state = self.0.lock().unwrap();
        state.0 = flow;
        state.1.drain(..).for_each(Waker::wake);
    }
    fn check(&self, cx: &Context<'_>) -> Flow {
        let mut state = self.0.lock().unwrap();
        state.1.retain(|waker| !waker.will_wake(cx.waker()));
        state.1.push(cx.waker().clone());
        state.0
    }
}

struct Linked {
    io: DuplexStream,
    link: Arc<Link>,
}

impl AsyncRead for Linked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.link.check(cx) {
            Flow::Open => Pin::new(&mut self.io).poll_read(cx, buf),
            Flow::Held => Poll::Pending,
            Flow::Broken => Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
        }
    }
}

impl AsyncWrite for Linked {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.link.check(cx) {
            Flow::Open | Flow::Held => Pin::new(&mut self.io).poll_write(cx, buf),
            Flow::Broken => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// Numbers that only look random.
pub(crate) struct Dice(AtomicU64);

pub(crate) fn dice(seed: u64) -> Arc<dyn Entropy> {
    Arc::new(Dice(AtomicU64::new(seed)))
}

impl Entropy for Dice {
    fn fill(&self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let mut z = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::SeqCst);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Waits until something holds; gives up after 20 s of tokio's time.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(Duration::from_secs(20), async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "never: {what}");
}
