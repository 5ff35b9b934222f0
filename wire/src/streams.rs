//! Every open stream of the cluster port, by peer: dialled and accepted ones alike pass through here, so that a node that
//! is removed loses all of them at once. Used by every part of this crate that talks to peers; decides nothing but that.

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use domain::NodeId;
use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::net::{BoxIo, Network, Protocol};

/// How long a dial of a peer may take, TLS included.
pub const DIAL_TIMEOUT: Duration = Duration::from_millis(1500);

/// How long a node that is no member keeps a stream on which it is told so.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(5);
/// How many of these each such node may have.
const STRANGERS_MAX: usize = 2;

/// Whether a node belongs to the cluster now.
pub type IsMember = Arc<dyn Fn(NodeId) -> bool + Send + Sync>;

/// A stream whose peer is a member.
pub struct PeerStream {
    /// Who is at the other end.
    pub peer: NodeId,
    /// The stream; it ends when the peer is removed or the switch is pulled.
    pub io: BoxIo,
    /// Its switch.
    pub cut: Cut,
}

type Open = Mutex<BTreeMap<NodeId, BTreeMap<u64, Cut>>>;

/// The registry of open streams; cheap to share.
pub struct Streams {
    network: Arc<dyn Network>,
    is_member: IsMember,
    open: Arc<Open>,
    next: AtomicU64,
}

impl Streams {
    /// An empty registry over a network.
    pub fn new(network: Arc<dyn Network>, is_member: IsMember) -> Arc<Self> {
        Arc::new(Self { network, is_member, open: Arc::default(), next: AtomicU64::new(0) })
    }

    /// The network below.
    pub fn network(&self) -> &Arc<dyn Network> {
        &self.network
    }

    /// Whether a node belongs to the cluster now.
    pub fn is_member(&self, node: NodeId) -> bool {
        (self.is_member)(node)
    }

    /// Dials a member. Fails with `TimedOut` after [`DIAL_TIMEOUT`] and with `PermissionDenied` for others.
    pub async fn dial(&self, addr: &str, peer: NodeId, protocol: Protocol) -> io::Result<PeerStream> {
        if !self.is_member(peer) {
            let reason = format!("node {peer} is not a member of this cluster");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, reason));
        }
        let dialled = tokio::time::timeout(DIAL_TIMEOUT, self.network.dial(addr, peer, protocol)).await;
        let io =
            dialled.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "the node did not answer"))??;
        Ok(self.watch(peer, io))
    }

    /// Takes a stream in: it ends when the peer is removed or when its own switch is pulled.
    pub fn watch(&self, peer: NodeId, io: BoxIo) -> PeerStream {
        let stream = self.take_in(peer, io);
        if !self.is_member(peer) {
            stream.cut.pull(); // removed between the check and here
        }
        stream
    }

    /// Takes a stream of a node that is no member in for a moment, so that it can be told so; not many at a time.
    pub fn hear_out(&self, peer: NodeId, io: BoxIo) -> Option<PeerStream> {
        if self.count(peer) >= STRANGERS_MAX {
            return None;
        }
        let stream = self.take_in(peer, io);
        let cut = stream.cut.clone();
        tokio::spawn(async move {
            tokio::time::sleep(STRANGER_TIMEOUT).await;
            cut.pull();
        });
        Some(stream)
    }

    fn take_in(&self, peer: NodeId, io: BoxIo) -> PeerStream {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let cut = Cut::default();
        lock(&self.open).entry(peer).or_default().insert(number, cut.clone());
        let entry = Entry { peer, number, open: self.open.clone() };
        PeerStream { peer, io: Box::new(Severable { io, cut: cut.clone(), _entry: entry }), cut }
    }

    /// Ends every stream with a node.
    pub fn close(&self, peer: NodeId) {
        let cuts = lock(&self.open).remove(&peer).unwrap_or_default();
        if !cuts.is_empty() {
            tracing::info!(node = %peer, streams = cuts.len(), "closed the streams of a removed node");
        }
        cuts.into_values().for_each(|cut| cut.pull());
    }

    /// Ends every stream with nodes that are no members any more.
    pub fn close_strangers(&self) {
        let peers: Vec<NodeId> = lock(&self.open).keys().copied().collect();
        peers.into_iter().filter(|peer| !self.is_member(*peer)).for_each(|peer| self.close(peer));
    }

    /// How many streams are open with a node.
    pub fn count(&self, peer: NodeId) -> usize {
        lock(&self.open).get(&peer).map_or(0, BTreeMap::len)
    }
}

/// Poisoning cannot leave these maps half changed, so it is passed over.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
struct Switch {
    cut: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// The switch that ends one stream, whoever holds it.
#[derive(Clone, Default)]
pub struct Cut(Arc<Switch>);

impl Cut {
    /// Ends the stream: reads and writes under way fail with `ConnectionAborted`.
    pub fn pull(&self) {
        self.0.cut.store(true, Ordering::SeqCst);
        self.0.reader.wake();
        self.0.writer.wake();
    }

    /// Whether it was pulled.
    pub fn pulled(&self) -> bool {
        self.0.cut.load(Ordering::SeqCst)
    }

    /// Lets `polled` stand unless the switch was pulled, also while it waits.
    fn guard<T>(
        &self,
        waker: &AtomicWaker,
        cx: &Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_pending() {
            waker.register(cx.waker());
        }
        if self.pulled() { Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())) } else { polled }
    }
}

struct Entry {
    peer: NodeId,
    number: u64,
    open: Arc<Open>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut open = lock(&self.open);
        if let Some(streams) = open.get_mut(&self.peer) {
            streams.remove(&self.number);
            if streams.is_empty() {
                open.remove(&self.peer);
            }
        }
    }
}

struct Severable {
    io: BoxIo,
    cut: Cut,
    _entry: Entry,
}

impl AsyncRead for Severable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        self.cut.guard(&self.cut.0.reader, cx, polled)
    }
}

impl AsyncWrite for Severable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.cut.guard(&self.cut.0.writer, cx, polled)
    }
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.cut.guard(&self.cut.0.writer, cx, polled)
    }
    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_flush(cx);
        self.cut.guard(&self.cut.0.writer, cx, polled)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.io).poll_shutdown(cx);
        self.cut.guard(&self.cut.0.writer, cx, polled)
    }
}
