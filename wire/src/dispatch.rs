//! The accept loop of the cluster port: hands each stream to the service of its protocol. Started by the runtime. It drops
//! streams of nodes that are no members and of services that do not keep up; it never reads from a stream.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::net::{BoxIo, Inbound, Protocol};
use crate::streams::{PeerStream, Streams};

/// Streams that wait for a service to take them, each protocol for itself.
pub const WAITING_MAX: usize = 64;
/// How long to wait after the network failed to accept: it is out of file descriptors or the like.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the services take their streams from.
pub struct Arrivals {
    /// For [`crate::raft::serve_calls`].
    pub calls: mpsc::Receiver<PeerStream>,
    /// For [`crate::raft::serve_raft`].
    pub raft: mpsc::Receiver<PeerStream>,
    /// For [`crate::raft::serve_bulk`].
    pub bulk: mpsc::Receiver<PeerStream>,
    /// For [`crate::door::Door::serve`].
    pub door: mpsc::Receiver<PeerStream>,
    /// For [`crate::relay::serve`].
    pub relay: mpsc::Receiver<PeerStream>,
    /// Newcomers, who have no identity yet.
    pub join: mpsc::Receiver<BoxIo>,
}

struct Services {
    calls: mpsc::Sender<PeerStream>,
    raft: mpsc::Sender<PeerStream>,
    bulk: mpsc::Sender<PeerStream>,
    door: mpsc::Sender<PeerStream>,
    relay: mpsc::Sender<PeerStream>,
    join: mpsc::Sender<BoxIo>,
}

/// Starts the accept loop; it ends with `stop`.
pub fn start(streams: Arc<Streams>, stop: CancellationToken) -> (Arrivals, JoinHandle<()>) {
    let (calls, calls_rx) = mpsc::channel(WAITING_MAX);
    let (raft, raft_rx) = mpsc::channel(WAITING_MAX);
    let (bulk, bulk_rx) = mpsc::channel(WAITING_MAX);
    let (door, door_rx) = mpsc::channel(WAITING_MAX);
    let (relay, relay_rx) = mpsc::channel(WAITING_MAX);
    let (join, join_rx) = mpsc::channel(WAITING_MAX);
    let services = Services { calls, raft, bulk, door, relay, join };
    let arrivals = Arrivals {
        calls: calls_rx,
        raft: raft_rx,
        bulk: bulk_rx,
        door: door_rx,
        relay: relay_rx,
        join: join_rx,
    };
    let task = tokio::spawn(async move {
        let _ = stop.run_until_cancelled(accept(&streams, &services)).await;
    });
    (arrivals, task)
}

async fn accept(streams: &Streams, services: &Services) {
    loop {
        match streams.network().accept().await {
            Ok(inbound) => services.hand_over(streams, inbound),
            Err(error) => {
                tracing::warn!(%error, "the cluster port cannot accept a stream");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

impl Services {
    fn hand_over(&self, streams: &Streams, inbound: Inbound) {
        let Inbound { peer, protocol, io } = inbound;
        let service = match protocol {
            Protocol::Calls => &self.calls,
            Protocol::Raft => &self.raft,
            Protocol::Bulk => &self.bulk,
            Protocol::Door => &self.door,
            Protocol::Relay => &self.relay,
            Protocol::Join => return told(protocol, self.join.try_send(io).is_ok()),
        };
        let Some(peer) = peer else {
            tracing::warn!(?protocol, "refused a stream without an identity");
            return;
        };
        if !streams.is_member(peer) && matches!(protocol, Protocol::Calls | Protocol::Raft) {
            // Every call on it is refused: how a node that was away learns that it was removed.
            let Some(stranger) = streams.hear_out(peer, io) else { return };
            return told(protocol, service.try_send(stranger).is_ok());
        }
        if !streams.is_member(peer) {
            tracing::warn!(node = %peer, ?protocol, "refused a stream of a node that is not a member");
            return;
        }
        told(protocol, service.try_send(streams.watch(peer, io)).is_ok());
    }
}

fn told(protocol: Protocol, taken: bool) {
    if !taken {
        tracing::warn!(?protocol, "dropped a stream: its service does not keep up or has ended");
    }
}
