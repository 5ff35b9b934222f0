//! One node's consensus: starting, watching and stopping it. What it does for others lies beside: `lead` (proposals and
//! reads), `membership` (who takes part), `inbound` (what other nodes ask).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::NodeId;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::{Fatal, InitializeError, RaftError};
use openraft::{ServerState, SnapshotPolicy};
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::batch::Lanes;
use crate::board::{Board, Publish};
use crate::config::Config;
use crate::disk::Disk;
use crate::error::Error;
use crate::link::Link;
use crate::network::Network;
use crate::raft::{Member, Raft, Runtime, Types};
use crate::shared::Shared;
use crate::status::{Status, describe};
use crate::store::{self, LogStore, Machine, Stage};
use crate::time::{Clock, Time};

/// A node's part in the cluster's consensus. Cloning it costs nothing.
#[derive(Clone)]
pub struct Consensus {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) raft: Raft,
    pub(crate) link: Arc<dyn Link>,
    pub(crate) board: Arc<Board>,
    pub(crate) stage: Arc<Stage>,
    pub(crate) time: Arc<Time>,
    /// The member that was asked last who leads; held while asking.
    pub(crate) seek: tokio::sync::Mutex<NodeId>,
    /// Commands on their way to the leader.
    pub(crate) lanes: Lanes,
    /// Reads that wait for the leader's word, wherever it is.
    pub(crate) reads: Shared<u64>,
    /// Reads that wait for a majority's word to this node as leader.
    pub(crate) barriers: Shared<u64>,
    /// Where it started: what it does for callers is done there, whichever runtime they are on.
    pub(crate) home: Handle,
    /// When this started.
    began: Instant,
    /// When a leader that a majority follows last answered a proposal or a read of this node, in milliseconds since then; 0
    /// where none did.
    heard: AtomicU64,
    watcher: Mutex<Option<AbortHandle>>,
}

impl Inner {
    fn lasted_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A leader that a majority follows answered.
    pub(crate) fn hears(&self) {
        self.heard.fetch_max(self.lasted_ms().max(1), Ordering::Relaxed);
    }
}

impl Consensus {
    /// Loads what is on the disk, posts it, and takes part. A node that was never part of a cluster waits until it is added
    /// or [`Consensus::initialize`] is called.
    pub async fn start(
        config: Config,
        disk: Arc<dyn Disk>,
        link: Arc<dyn Link>,
        publish: Publish,
        clock: Clock,
    ) -> Result<Self, Error> {
        config.validate().map_err(|e| Error::refused(e.to_string()))?;
        store::check_format(&*disk).await?;
        let time = Arc::new(Time::new(clock));
        let board = Arc::new(Board::new(publish, Arc::clone(&time)));
        let stage = Arc::new(Stage::new(Arc::clone(&disk)));
        let machine =
            Machine::open(Arc::clone(&disk), Arc::clone(&stage), Arc::clone(&board), config.level).await?;
        let network = Network {
            link: Arc::clone(&link),
            board: Arc::clone(&board),
            append: Duration::from_millis(config.append_ms),
            chunk: Duration::from_millis(config.chunk_ms),
        };
        let settings = settings(&config)?;
        // Everything openraft spawns inherits the seed from here.
        let raft = Runtime::scope(
            config.seed,
            Box::pin(Raft::new(config.id.0, settings, network, LogStore::new(disk), machine)),
        )
        .await
        .map_err(|fatal| fatal_error(&fatal))?;
        let watcher = tokio::spawn(watch(raft.clone(), Arc::clone(&board))).abort_handle();
        tracing::info!(node = %config.id, "consensus started");
        let watcher = Mutex::new(Some(watcher));
        let seek = tokio::sync::Mutex::new(config.id);
        let inner = Inner {
            home: Handle::current(),
            began: Instant::now(),
            heard: AtomicU64::new(0),
            config,
            raft,
            link,
            board,
            stage,
            time,
            seek,
            lanes: Lanes::default(),
            reads: Shared::default(),
            barriers: Shared::default(),
            watcher,
        };
        Ok(Self { inner: Arc::new(inner) })
    }

    /// Makes this node a cluster of its own. Refused if it is or was part of one.
    pub async fn initialize(&self) -> Result<(), Error> {
        let me = (self.inner.config.id.0, Member::new(&self.inner.config.addr));
        match self.inner.raft.initialize(std::collections::BTreeMap::from([me])).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(InitializeError::NotAllowed(_))) => Err(Error::refused(
                "this node already belongs to a cluster: use another data directory to start a new one",
            )),
            Err(RaftError::APIError(InitializeError::NotInMembers(e))) => Err(Error::bug(e.to_string())),
            Err(RaftError::Fatal(fatal)) => Err(fatal_error(&fatal)),
        }
    }

    /// Whether this node is or was part of a cluster.
    pub async fn is_initialized(&self) -> Result<bool, Error> {
        self.inner.raft.is_initialized().await.map_err(|fatal| fatal_error(&fatal))
    }

    /// Whose it is.
    pub fn id(&self) -> NodeId {
        self.inner.config.id
    }

    /// What this node's consensus says about itself.
    pub fn status(&self) -> Status {
        Status::of(&self.inner.raft.metrics().borrow_watched())
    }

    /// How long ago a leader that a majority follows answered a proposal or a read of this node, in milliseconds.
    pub fn heard_ms(&self) -> Option<u64> {
        match self.inner.heard.load(Ordering::Relaxed) {
            0 => None,
            at => Some(self.inner.lasted_ms().saturating_sub(at)),
        }
    }

    /// The leader, as far as this node knows.
    pub fn leader(&self) -> Option<NodeId> {
        self.inner.board.leader()
    }

    /// Whether this node leads, as far as it knows: enough to decide who does a periodic job, not enough to answer a read.
    pub fn is_leader(&self) -> bool {
        self.inner.raft.is_leader()
    }

    /// Resolves when this node's consensus stops by itself or is shut down, with the reason. A node whose disk failed should
    /// tell its operator and end: the others go on without it.
    pub async fn stopped(&self) -> Error {
        let mut metrics = self.inner.raft.metrics();
        loop {
            if let Err(fatal) = &metrics.borrow_watched().running_state {
                return fatal_error(fatal);
            }
            if metrics.changed().await.is_err() {
                return Error::unavailable("this node is shutting down");
            }
        }
    }

    /// Stops taking part. What was acknowledged is on disk. Calls after this answer that the node shuts down.
    pub async fn shutdown(&self) {
        let watcher = self.inner.watcher.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(watcher) = watcher {
            watcher.abort();
        }
        if self.inner.raft.shutdown().await.is_err() {
            tracing::error!("consensus had panicked before it was stopped");
        }
        self.inner.board.leads(self.inner.board.now().term, None);
        tracing::info!(node = %self.inner.config.id, "consensus stopped");
    }
}

/// Tells the board who leads and where everyone listens, as long as the raft lives.
async fn watch(raft: Raft, board: Arc<Board>) {
    let mut metrics = raft.server_metrics();
    drop(raft);
    loop {
        {
            let now = metrics.borrow_watched();
            board.set_book(&now.membership_config);
            let leader = if now.state == ServerState::Shutdown { None } else { now.current_leader };
            board.leads(now.vote.leader_id.term, leader.map(NodeId));
        }
        if metrics.changed().await.is_err() {
            board.leads(board.now().term, None);
            return;
        }
    }
}

fn settings(config: &Config) -> Result<Arc<openraft::Config>, Error> {
    let settings = openraft::Config {
        cluster_name: "llmhub".to_owned(),
        heartbeat_interval: config.heartbeat_ms,
        election_timeout_min: config.election_min_ms,
        election_timeout_max: config.election_max_ms,
        install_snapshot_timeout: config.chunk_ms,
        snapshot_policy: SnapshotPolicy::LogsSinceLast(config.snapshot_every),
        max_in_snapshot_log_to_keep: config.keep_log,
        enable_pre_vote: Some(true),
        // A follower that comes back on an older copy of its log is turned away by the number of its start. Until that is
        // heard of, its loss must not end the leader, which stops at a log that is shorter than it was unless told so.
        allow_log_reversion: Some(true),
        // A leader that restarts stands for election like everyone else: what it last committed need not be on its disk.
        enable_leader_restore: Some(false),
        ..openraft::Config::default()
    };
    settings
        .validate()
        .map(Arc::new)
        .map_err(|e| Error::refused(format!("consensus settings cannot work, {e}")))
}

pub(crate) fn fatal_error(fatal: &Fatal<Types>) -> Error {
    let why = describe(fatal);
    match fatal {
        Fatal::StorageError(_) => Error::Storage { why },
        Fatal::Stopped => Error::unavailable(why),
        Fatal::Panicked => Error::bug(why),
    }
}
