//! How a node that returns tells the cluster about its new start, and what becomes of it when the cluster will not have it.

use std::time::Duration;

use actors::ports::{ProposeError, Proposer as _};
use domain::node::Capacity;
use domain::{Command, NodeId, Reject, node};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::config::Config;
use crate::env::Env;
use crate::error::Error;
use crate::settle::{Settled, capacity};
use crate::start::Ground;

/// The pause between attempts to tell the cluster about this start.
const PAUSE: Duration = Duration::from_secs(1);

/// Why the cluster does not take a start of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It was removed.
    Removed,
    /// The cluster never heard of it.
    Unknown,
    /// The cluster has heard of a later start.
    Older,
}

impl Refusal {
    /// The same in words, with what to do.
    pub(crate) fn error(self, node: NodeId) -> Error {
        match self {
            Refusal::Removed => Error::Removed(node),
            Refusal::Unknown => Error::Forgotten(node),
            Refusal::Older => Error::OldCopy(node),
        }
    }
}

/// Tells the cluster about this start until `stop`, or until it is told or refuses. What it refuses with is seen in the
/// receiver.
pub(crate) fn register(
    config: &Config,
    env: &Env,
    settled: &Settled,
    ground: &Ground,
    stop: &CancellationToken,
) -> watch::Receiver<Option<Refusal>> {
    let (refused, refusal) = watch::channel(None);
    let me = Registrant {
        config: config.clone(),
        env: env.clone(),
        id: settled.stored.id,
        incarnation: settled.incarnation,
        ground: ground.clone(),
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(async move {
        refused.send_replace(me.tell().await);
    }));
    refusal
}

struct Registrant {
    config: Config,
    env: Env,
    id: NodeId,
    incarnation: domain::Incarnation,
    ground: Ground,
}

impl Registrant {
    async fn tell(&self) -> Option<Refusal> {
        loop {
            let reason = match self.ground.ledger.propose(self.command().await).await {
                Ok(_) => return None,
                Err(ProposeError::Rejected(Reject::Node(node::Reject::Stale(_)))) => {
                    return Some(Refusal::Older);
                }
                Err(ProposeError::Rejected(reason)) => {
                    // Whether it is gone for good is for the newest tables to say, not for the lack of a row.
                    if self.ground.ledger.barrier().await.is_ok() {
                        let gone = self.ground.view.peek().state.gone.contains(&self.id);
                        return Some(if gone { Refusal::Removed } else { Refusal::Unknown });
                    }
                    reason.to_string()
                }
                Err(error) => error.to_string(),
            };
            tracing::info!(%reason, "cannot tell the cluster about this start yet");
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn command(&self) -> Command {
        let Config { zone, cluster_addr, http_addr, version, .. } = &self.config;
        let (id, incarnation) = (self.id, self.incarnation);
        Command::Node(node::Command::Register {
            id,
            incarnation,
            zone: zone.clone(),
            cluster_addr: cluster_addr.clone(),
            http_addr: http_addr.clone(),
            capacity: self.capacity().await,
            version: version.clone(),
        })
    }

    /// What it can carry. GPUs that do not answer just now are still there.
    async fn capacity(&self) -> Capacity {
        let known = || self.ground.view.peek().state.nodes.get(&self.id).map(|row| row.capacity.gpus.clone());
        capacity(&self.config, &self.env, || known().unwrap_or_default()).await
    }
}
