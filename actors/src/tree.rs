//! A node's tree of actors: started, observed, opened to other nodes and stopped as one. The runtime holds it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::{Incarnation, NodeId, ProviderName};
use futures::FutureExt;
use ractor::{Actor, ActorCell};
use serde::{Deserialize, Serialize};

use crate::ask::Logs;
use crate::config::{Config, Ports};
use crate::directory::Directory;
use crate::membership::{Renew, Renewed};
use crate::monotonic::{Monotonic, millis};
use crate::root::{self, Root};
use crate::service::{self, Service, decode, encode};
use crate::{deployment, gpu, limiter, membership, provider, reconciler, scheduler};

/// What stopping takes at most beyond draining and the engines' grace.
const STOP_SLACK: Duration = Duration::from_secs(3);
/// How long giving back leases on limits may take when the node stops.
const GIVE_BACK_LIMIT: Duration = Duration::from_secs(1);

/// Why a tree cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration makes no sense.
    #[error("the node's configuration is wrong: {0}")]
    Config(String),
    /// The root does not start.
    #[error("the actors cannot be started: {0}")]
    Start(String),
}

/// Everything the node's actors show.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Observed {
    /// Which node.
    pub node: NodeId,
    /// Which life of it.
    pub incarnation: Incarnation,
    /// How the fixed actors stand.
    pub root: root::Observed,
    /// The lease and Raft's membership.
    pub membership: membership::Observed,
    /// The scheduler.
    pub scheduler: scheduler::Observed,
    /// How the actors of providers and replicas stand.
    pub reconciler: reconciler::Observed,
    /// The GPUs.
    pub gpu: gpu::Observed,
    /// The providers.
    pub providers: BTreeMap<ProviderName, provider::Observed>,
    /// The replicas that run here.
    pub replicas: Vec<deployment::Observed>,
}

/// A node's actors, running.
pub struct Tree {
    shared: Arc<Shared>,
    cell: ActorCell,
    stop_limit: Duration,
}

struct Shared {
    me: NodeId,
    incarnation: Incarnation,
    root: root::Handle,
    directory: Arc<Directory>,
    limiter: limiter::Handle,
}

impl Tree {
    /// Starts a node's actors.
    ///
    /// # Errors
    /// When the configuration makes no sense.
    pub async fn start(config: Config, ports: Ports) -> Result<Tree, Error> {
        config.settings.validate().map_err(Error::Config)?;
        let clock = Monotonic::start();
        let stop_limit = millis(config.settings.drain_ms) + ports.processes.stop_grace() + STOP_SLACK;
        let config = Arc::new(config);
        let root = root::Handle::default();
        let gpu = gpu::Handle::default();
        let membership = membership::Handle::new(clock);
        let scheduler = scheduler::Handle::new();
        let reconciler = reconciler::Handle::new();
        let limiter = limiter::Handle::new(config.me, config.incarnation, ports.view.clone(), clock);
        let directory =
            Arc::new(Directory::new(gpu.clone(), membership.clone(), scheduler.clone(), reconciler.clone()));
        let shared = Arc::new(Shared {
            me: config.me,
            incarnation: config.incarnation,
            root: root.clone(),
            directory: directory.clone(),
            limiter: limiter.clone(),
        });
        let arguments = root::Arguments {
            gpu: gpu::Arguments { gpus: ports.gpus.clone(), clock, handle: gpu },
            membership: membership::Arguments {
                config: config.clone(),
                ports: ports.clone(),
                clock,
                handle: membership,
            },
            scheduler: scheduler::Arguments { ports: ports.clone(), clock, handle: scheduler },
            entropy: ports.entropy.clone(),
            limiter: limiter::Arguments {
                proposer: ports.proposer.clone(),
                entropy: ports.entropy.clone(),
                handle: limiter,
            },
            reconciler: reconciler::Arguments { config, ports, clock, directory, handle: reconciler },
            clock,
            handle: root,
        };
        let (actor, _) =
            Actor::spawn(None, Root, arguments).await.map_err(|e| Error::Start(e.to_string()))?;
        Ok(Tree { shared, cell: actor.get_cell(), stop_limit })
    }

    /// Where the node's actors are found.
    pub fn directory(&self) -> Arc<Directory> {
        self.shared.directory.clone()
    }

    /// The leases on keys' limits.
    pub fn limiter(&self) -> limiter::Handle {
        self.shared.limiter.clone()
    }

    /// What the node's actors answer to other nodes, by topic.
    pub fn services(&self) -> BTreeMap<&'static str, Service> {
        let (renewing, logging, observing) = (self.shared.clone(), self.shared.clone(), self.shared.clone());
        let renew: Service = Arc::new(move |from, body| {
            let shared = renewing.clone();
            async move {
                let Renew { incarnation } = decode(&body)?;
                let renewed = shared.directory.scheduler().renew(from, incarnation).await;
                encode(&Renewed { term: renewed.map_err(|e| e.to_string())? })
            }
            .boxed()
        });
        let logs: Service = Arc::new(move |_, body| {
            let shared = logging.clone();
            async move {
                let Logs { id, ordinal, tail } = decode(&body)?;
                let replica = shared.directory.replica(id, ordinal);
                let replica = replica.ok_or_else(|| format!("replica {id}/{ordinal} does not run here"))?;
                encode(&replica.logs(usize::try_from(tail).unwrap_or(usize::MAX)).await)
            }
            .boxed()
        });
        let observe: Service = Arc::new(move |_, _| {
            let shared = observing.clone();
            async move {
                let json = serde_json::to_vec(&shared.observe());
                json.map(bytes::Bytes::from).map_err(|e| format!("the state cannot be encoded: {e}"))
            }
            .boxed()
        });
        BTreeMap::from([
            (service::LEASE_RENEW, renew),
            (service::REPLICA_LOGS, logs),
            (service::NODE_OBSERVE, observe),
        ])
    }

    /// Everything the node's actors show.
    pub fn observe(&self) -> Observed {
        self.shared.observe()
    }

    /// Resolves with a reason when the root of the actors ends although nobody stopped it: nothing is supervised any more
    /// then, the other actors end with it, and the node cannot go on. May be awaited any number of times.
    pub async fn ended(&self) -> String {
        // Without a limit there is no error.
        let _ = self.cell.wait(None).await;
        "the root of this node's actors ended unexpectedly: restart the node, and report what it logged last"
            .to_owned()
    }

    /// Stops everything: calls finish for a while, engines end, then the actors do.
    pub async fn shutdown(self) {
        self.shared.limiter.give_back(GIVE_BACK_LIMIT).await;
        self.shared.directory.reconciler().quiesce(self.stop_limit).await;
        let stopped = self.cell.stop_and_wait(Some("the node stops".to_owned()), Some(STOP_SLACK)).await;
        if let Err(error) = stopped {
            tracing::warn!(%error, "the actors did not stop in time");
        }
    }
}

impl Shared {
    fn observe(&self) -> Observed {
        let directory = &self.directory;
        let providers = directory.providers();
        let providers = providers.iter().map(|(name, handle)| (name.clone(), handle.observe()));
        Observed {
            node: self.me,
            incarnation: self.incarnation,
            root: self.root.observe(),
            membership: directory.membership().observe(),
            scheduler: directory.scheduler().observe(),
            reconciler: directory.reconciler().observe(),
            gpu: directory.gpu().observe(),
            providers: providers.collect(),
            replicas: directory.replicas().values().map(deployment::Handle::observe).collect(),
        }
    }
}
