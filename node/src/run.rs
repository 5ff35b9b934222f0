//! `llmhub node`: a node on the operating system's ports, from its start to its graceful or its hasty end.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::time::Duration;

use consensus_rocks::RocksDisk;
use runtime::{Env, Node, NodeHandle};
use tokio::runtime::{Builder, Handle};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::cli::args::NodeArgs;
use crate::cli::failure::Failure;
use crate::config::{self, Loaded, Settings};
use crate::data_dir::{self, DB, DataDir};
use crate::logs;
use crate::os::clock::OsClock;
use crate::os::entropy::OsEntropy;
use crate::os::files::OsFiles;
use crate::os::gpus::OsGpus;
use crate::os::network::OsNetwork;
use crate::os::processes::{OsProcesses, Rules};
use crate::os::wrapping::Guarded;

/// What precedes the admin key on standard output; `dev` reads it there.
pub(crate) const KEY_LINE: &str = "admin key: ";
/// How long what still runs after a stop may take to end.
const LAST_TASKS: Duration = Duration::from_millis(500);

/// Runs a node until it is told to stop, or cannot go on.
///
/// # Errors
/// What to do.
pub(crate) fn run(args: NodeArgs) -> Result<(), Failure> {
    logs::start(&args.logs)?;
    let loaded = args.config.as_deref().map(Loaded::read).transpose()?.unwrap_or_default();
    for warning in loaded.warnings() {
        tracing::warn!(reason = warning, "the configuration can be improved");
    }
    let settings = config::resolve(args, loaded, |name| std::env::var(name).ok())?;
    allow_many_files();
    // Clients' calls have all CPUs. What keeps the cluster together has a thread of its own: its many small steps wake no other
    // thread, and no load of clients holds them up.
    let workers = std::thread::available_parallelism().map_or(1, NonZero::get);
    let data =
        Builder::new_multi_thread().worker_threads(workers).thread_name("data").enable_all().build()?;
    let control = Builder::new_current_thread().enable_all().build()?;
    let ended = control.block_on(Box::pin(live(settings, data.handle())));
    control.shutdown_timeout(LAST_TASKS);
    data.shutdown_timeout(LAST_TASKS);
    ended
}

async fn live(settings: Settings, serving: &Handle) -> Result<(), Failure> {
    let mut signals = Signals::new()?;
    let data = DataDir::open(&settings.data).map_err(|e| Failure::Failed(e.to_string()))?;
    let start = Box::pin(start(&settings, &data, serving));
    let handle = tokio::select! {
        started = start => started?,
        () = signals.next() => return Err(Failure::Failed("stopped while starting".to_owned())),
    };
    announce(&handle)?;
    let failure = tokio::select! {
        reason = handle.failed() => Some(Failure::Failed(reason)),
        () = signals.next() => None,
    };
    let removed = handle.was_removed();
    if removed {
        // Before the streams are waited for: a node that is killed meanwhile must not come back either.
        if let Err(error) = data_dir::mark_removed(data.path()) {
            tracing::error!(%error, "the data directory cannot be marked as a removed node's: delete it yourself");
        }
    }
    tracing::info!("stopping; a second signal stops at once");
    let stopped = tokio::select! {
        () = Box::pin(handle.stop()) => Ok(()),
        () = signals.next() => Err(Failure::Failed("stopped at once: streams were cut".to_owned())),
    };
    if removed {
        eprintln!(
            "this node was removed from its cluster, as it was asked to be; its data directory {} can be deleted",
            data.path().display()
        );
        return stopped;
    }
    failure.map_or(stopped, Err)
}

async fn start(settings: &Settings, data: &DataDir, serving: &Handle) -> Result<NodeHandle, Failure> {
    let failed = |e: &dyn std::fmt::Display| Failure::Failed(e.to_string());
    let network = OsNetwork::bind(&settings.listen, serving).await?;
    let config = settings.runtime(network.cluster_addr(), network.http_addr());
    let db = data.path().join(DB);
    let disk = tokio::task::spawn_blocking(move || RocksDisk::open(&db)).await.map_err(|e| failed(&e))?;
    let disk = disk.map_err(|e| Failure::Failed(format!("the metadata's disk cannot be opened: {e}")))?;
    let rules = Rules {
        data: data.path().to_owned(),
        model_roots: settings.model_roots.clone(),
        stop_grace: settings.stop_grace,
    };
    let files = Guarded::new(OsFiles::new(data.path()), settings.key_wrap.clone());
    files.rewrap(settings.key_wrap_old.as_ref()).await.map_err(Failure::Failed)?;
    let env = Env {
        network: Arc::new(network),
        disk: Arc::new(disk),
        files: Arc::new(files),
        clock: Arc::new(OsClock),
        entropy: Arc::new(OsEntropy::default()),
        processes: Arc::new(OsProcesses::start(rules)?),
        gpus: Arc::new(OsGpus::load()),
        data: Some(serving.clone()),
    };
    tracing::info!(name = config.name, http = config.http_addr, cluster = config.cluster_addr, "starting");
    Box::pin(Node::start(config, env)).await.map_err(|e| failed(&e))
}

/// The admin key goes to standard output, which holds nothing else, and nowhere near the log.
fn announce(handle: &NodeHandle) -> Result<(), Failure> {
    tracing::info!(node = %handle.id(), "ready");
    if let Some(key) = handle.admin_key() {
        crate::cli::print(&format!("{KEY_LINE}{key}\n"))?;
        eprintln!("a new cluster was made; its admin key is on standard output and is not shown again");
    }
    Ok(())
}

/// The signals that end a program.
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them from now on.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next one.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Every client, stream and peer is an open file: takes as many as the system allows.
fn allow_many_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid structure.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 && limit.rlim_cur < limit.rlim_max {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}
