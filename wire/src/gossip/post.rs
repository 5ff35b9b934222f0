//! Gossip's packets to and from the network, sealed and opened on the way. Tasks of their own, so that neither a slow send
//! nor a flood of foreign packets delays foca's timers. Packets are sent one after the other: an implementation of
//! [`Network::send_datagram`] that resolves names must answer from memory where it can, since a name it has never resolved
//! holds up the packets behind it, each for [`SEND_TIMEOUT`] at most.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use actors::ports::Entropy;
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::ring::KeyRing;
use crate::net::Network;

/// How long sending one packet may take, name resolution included.
const SEND_TIMEOUT: Duration = Duration::from_millis(200);
/// How long to wait after the network failed to receive.
const RECEIVE_PAUSE: Duration = Duration::from_millis(50);

/// What the sender is asked.
pub(super) enum Post {
    /// Send this.
    Packet {
        /// Where to.
        addr: String,
        /// What, before sealing.
        clear: Bytes,
    },
    /// Tell when everything before was sent.
    Flush(oneshot::Sender<()>),
}

/// Seals and sends.
pub(super) async fn send(
    network: Arc<dyn Network>,
    entropy: Arc<dyn Entropy>,
    keys: watch::Receiver<KeyRing>,
    mut to_send: mpsc::Receiver<Post>,
) {
    while let Some(post) = to_send.recv().await {
        match post {
            Post::Packet { addr, clear } => {
                let sealed = keys.borrow().seal(&*entropy, &clear);
                let Some(sealed) = sealed else { continue };
                let sent = tokio::time::timeout(SEND_TIMEOUT, network.send_datagram(&addr, &sealed)).await;
                // A packet lost here is like one lost on the way; probes will tell.
                if !matches!(sent, Ok(Ok(()))) {
                    tracing::debug!(%addr, "a gossip packet could not be sent");
                }
            }
            Post::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

/// Receives and opens.
pub(super) async fn receive(
    network: Arc<dyn Network>,
    keys: watch::Receiver<KeyRing>,
    arrived: mpsc::Sender<Vec<u8>>,
    dropped: Arc<AtomicU64>,
) {
    loop {
        let packet = match network.recv_datagram().await {
            Ok(packet) => packet,
            Err(error) => {
                tracing::warn!(%error, "the cluster port cannot receive datagrams");
                tokio::time::sleep(RECEIVE_PAUSE).await;
                continue;
            }
        };
        let opened = keys.borrow().open(&packet);
        let taken = opened.is_some_and(|clear| arrived.try_send(clear).is_ok());
        if !taken {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}
