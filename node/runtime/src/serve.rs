//! The services a node offers on its cluster port, each fed by its own kind of stream: Raft's calls, snapshots, the
//! doorway, relayed inference, newcomers.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use consensus::Consensus;
use domain::NodeId;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use wire::dispatch::Arrivals;
use wire::door::Door;
use wire::relay::RelayService;
use wire::streams::Streams;

use crate::join::Doorman;

/// The gateway, answering relayed calls.
pub(crate) struct Relayed(pub gateway::Gateway);

#[async_trait]
impl RelayService for Relayed {
    async fn handle(
        &self,
        from: NodeId,
        request: http::Request<Bytes>,
    ) -> http::Response<actors::ports::Body> {
        self.0.relayed(from, request).await
    }
}

/// Serves what Raft needs, from before there is a leader.
pub(crate) fn raft(
    arrivals: Arrivals,
    streams: &Arc<Streams>,
    consensus: &Consensus,
    stop: &CancellationToken,
) -> Rest {
    let Arrivals { calls, raft, bulk, door, relay, join } = arrivals;
    let voice = Arc::new(consensus.clone());
    let member = |streams: &Arc<Streams>| {
        let streams = streams.clone();
        Arc::new(move |id| streams.is_member(id)) as wire::streams::IsMember
    };
    tokio::spawn(wire::raft::serve_calls(calls, voice.clone(), member(streams), stop.clone()));
    tokio::spawn(wire::raft::serve_raft(raft, voice.clone(), member(streams), stop.clone()));
    tokio::spawn(wire::raft::serve_bulk(bulk, voice, member(streams), stop.clone()));
    Rest { door, relay, join }
}

/// Streams that are served once the node knows who it is.
pub(crate) struct Rest {
    door: tokio::sync::mpsc::Receiver<wire::streams::PeerStream>,
    relay: tokio::sync::mpsc::Receiver<wire::streams::PeerStream>,
    join: tokio::sync::mpsc::Receiver<wire::net::BoxIo>,
}

/// Serves the doorway, relayed calls and newcomers until `stop`.
pub(crate) fn rest(
    rest: Rest,
    door: &Arc<Door>,
    gateway: gateway::Gateway,
    doorman: Arc<Doorman>,
    data: &Handle,
    stop: &CancellationToken,
) {
    let Rest { door: doors, mut relay, mut join } = rest;
    let door = door.clone();
    tokio::spawn(stop.clone().run_until_cancelled_owned(async move { door.serve(doors).await }));
    let service: Arc<dyn RelayService> = Arc::new(Relayed(gateway));
    let ended = stop.clone();
    data.spawn(stop.clone().run_until_cancelled_owned(async move {
        while let Some(stream) = relay.recv().await {
            let serving = wire::relay::serve(stream.io, stream.peer, service.clone());
            tokio::spawn(ended.clone().run_until_cancelled_owned(serving));
        }
    }));
    let ended = stop.clone();
    tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
        while let Some(io) = join.recv().await {
            let doorman = doorman.clone();
            let answering = async move { doorman.answer(io).await };
            tokio::spawn(ended.clone().run_until_cancelled_owned(answering));
        }
    }));
}

/// Clients' connections served at the same time; more wait to be accepted.
const CLIENTS_MAX: usize = 16_384;
/// How long to wait after the network failed to accept: it is out of file descriptors or the like.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// Serves clients' HTTP until `stop`.
pub(crate) fn clients(
    network: Arc<dyn wire::net::Network>,
    gateway: gateway::Gateway,
    data: &Handle,
    stop: &CancellationToken,
) {
    let ended = stop.clone();
    let places = Arc::new(tokio::sync::Semaphore::new(CLIENTS_MAX));
    data.spawn(stop.clone().run_until_cancelled_owned(async move {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            match network.accept_http().await {
                Ok((io, remote)) => {
                    let gateway = gateway.clone();
                    tokio::spawn(ended.clone().run_until_cancelled_owned(async move {
                        gateway.serve(io, remote).await;
                        drop(place);
                    }));
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept clients just now");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }));
}
