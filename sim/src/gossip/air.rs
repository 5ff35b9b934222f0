//! The air that gossip's datagrams go through: it loses some, delays all by a little, and counts. Time is tokio's, paused,
//! so that it costs nothing to wait.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use domain::NodeId;
use tokio::sync::mpsc;
use wire::net::{BoxIo, Identity, Inbound, Network, Protocol};

use crate::Dice;
use crate::world::lock;

/// How long a datagram takes, in milliseconds: from, and up to but without.
const LATENCY_MS: (u64, u64) = (1, 5);
/// Datagrams that wait to be read; more are lost, as in a kernel.
const WAITING_MAX: usize = 1024;
/// What the kernel adds to each datagram on the wire, in bytes: IPv4 and UDP headers.
const HEADER_BYTES: u64 = 28;

/// What was sent so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sent {
    pub(super) packets: u64,
    pub(super) bytes: u64,
}

struct Inner {
    dice: Dice,
    lost_permille: u64,
    inboxes: BTreeMap<String, mpsc::Sender<Bytes>>,
    sent: Sent,
}

/// The air; cloning it gives another handle on the same.
#[derive(Clone)]
pub(super) struct Air(Arc<Mutex<Inner>>);

impl Air {
    pub(super) fn new(dice: Dice, lost_permille: u64) -> Self {
        let (inboxes, sent) = (BTreeMap::new(), Sent::default());
        Self(Arc::new(Mutex::new(Inner { dice, lost_permille, inboxes, sent })))
    }

    /// A socket at an address, in place of the one that was there.
    pub(super) fn socket(&self, addr: &str) -> Socket {
        let (arrived, inbox) = mpsc::channel(WAITING_MAX);
        lock(&self.0).inboxes.insert(addr.to_owned(), arrived);
        Socket { air: self.clone(), inbox: tokio::sync::Mutex::new(inbox) }
    }

    /// Nobody listens there any more.
    pub(super) fn close(&self, addr: &str) {
        lock(&self.0).inboxes.remove(addr);
    }

    pub(super) fn sent(&self) -> Sent {
        lock(&self.0).sent
    }

    fn send(&self, addr: &str, bytes: &[u8]) {
        let mut inner = lock(&self.0);
        inner.sent.packets += 1;
        inner.sent.bytes += bytes.len() as u64 + HEADER_BYTES;
        let lost = inner.lost_permille;
        if inner.dice.permille(lost) {
            return;
        }
        let after = Duration::from_millis(inner.dice.between(LATENCY_MS.0, LATENCY_MS.1));
        let Some(inbox) = inner.inboxes.get(addr).cloned() else { return };
        let bytes = Bytes::copy_from_slice(bytes);
        tokio::spawn(async move {
            tokio::time::sleep(after).await;
            // Full or closed: lost.
            let _ = inbox.try_send(bytes);
        });
    }
}

/// A node's socket. It carries datagrams and nothing else.
pub(super) struct Socket {
    air: Air,
    inbox: tokio::sync::Mutex<mpsc::Receiver<Bytes>>,
}

fn only_datagrams<T>() -> io::Result<T> {
    Err(io::ErrorKind::Unsupported.into())
}

#[async_trait]
impl Network for Socket {
    fn assume(&self, _: Identity) {}
    async fn dial(&self, _: &str, _: NodeId, _: Protocol) -> io::Result<BoxIo> {
        only_datagrams()
    }
    async fn dial_join(&self, _: &str, _: [u8; 32]) -> io::Result<BoxIo> {
        only_datagrams()
    }
    async fn accept(&self) -> io::Result<Inbound> {
        only_datagrams()
    }
    async fn send_datagram(&self, addr: &str, bytes: &[u8]) -> io::Result<()> {
        self.air.send(addr, bytes);
        Ok(())
    }
    async fn recv_datagram(&self) -> io::Result<Bytes> {
        match self.inbox.lock().await.recv().await {
            Some(bytes) => Ok(bytes),
            // Its node was replaced; nothing more comes.
            None => std::future::pending().await,
        }
    }
    async fn accept_http(&self) -> io::Result<(BoxIo, SocketAddr)> {
        only_datagrams()
    }
    async fn connect(&self, _: &str, _: u16, _: bool) -> io::Result<BoxIo> {
        only_datagrams()
    }
}
