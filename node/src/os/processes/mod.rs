//! Engine processes of the operating system. The actors get it through their port. An engine never outlives its node: the
//! kernel kills it when the thread that started it ends (one permanent thread, since the signal follows the *thread*), and
//! what survives even that is swept at the next start: an engine by its recorded id, what it started by its mark.

mod files;
mod log_files;
mod marker;
mod memory;
mod output;
mod process;
mod record;
pub(crate) mod spawner;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actors::engine::SELF_PROGRAM;
use actors::ports::{FileError, FileProbe, Process, Processes, Spawn, SpawnError};
use async_trait::async_trait;

use log_files::LogFiles;
use marker::Marker;
use record::Record;
use spawner::Spawner;

/// Ports that were handed out lately and are not handed out again: their engines may not have bound them yet.
const PORTS_REMEMBERED: usize = 64;
/// How often to ask the system for a port that was not handed out lately.
const PORT_ATTEMPTS: usize = 2 * PORTS_REMEMBERED;
/// Where the ids of running engines are recorded.
const RECORD_FILE: &str = "engines.pids";

/// What the node's configuration says about engines' processes and files.
#[derive(Debug, Clone)]
pub(crate) struct Rules {
    /// The data directory.
    pub(crate) data: PathBuf,
    /// Folders below which model files may lie.
    pub(crate) model_roots: Vec<PathBuf>,
    /// How long an engine may take from SIGTERM to its end.
    pub(crate) stop_grace: Duration,
}

/// The system's processes.
pub(crate) struct OsProcesses {
    spawner: Spawner,
    record: Arc<Record>,
    marker: Marker,
    logs: Arc<LogFiles>,
    ports: Mutex<VecDeque<u16>>,
    rules: Rules,
}

impl OsProcesses {
    /// Sweeps engines that an earlier life of the node left behind, and starts the thread that starts new ones.
    ///
    /// # Errors
    /// When the data directory or the record cannot be read or written, or the thread not started.
    pub(crate) fn start(rules: Rules) -> io::Result<Self> {
        let record = Arc::new(Record::open(&rules.data.join(RECORD_FILE))?);
        let marker = Marker::new(&rules.data)?;
        let (engines, others) = (record.sweep()?, marker.sweep());
        if engines + others > 0 {
            tracing::warn!(engines, others, "ended what an earlier life of this node left behind");
        }
        Ok(Self {
            spawner: Spawner::start(record.clone())?,
            record,
            marker,
            logs: Arc::new(LogFiles::open(rules.data.join(crate::data_dir::LOGS))),
            ports: Mutex::default(),
            rules,
        })
    }

    fn hand_out(&self, port: u16) -> bool {
        let mut ports = self.ports.lock().unwrap_or_else(PoisonError::into_inner);
        if ports.contains(&port) {
            return false;
        }
        if ports.len() == PORTS_REMEMBERED {
            ports.pop_front();
        }
        ports.push_back(port);
        true
    }
}

#[async_trait]
impl Processes for OsProcesses {
    async fn spawn(&self, mut spawn: Spawn) -> Result<Box<dyn Process>, SpawnError> {
        if spawn.program == SELF_PROGRAM {
            let own = std::env::current_exe().map_err(|e| SpawnError::System(e.to_string()))?;
            spawn.program = own.to_string_lossy().into_owned();
        }
        let mark = self.marker.mark(&spawn.label);
        spawn.env.insert(marker::VARIABLE.to_owned(), mark.clone());
        let child = self.spawner.spawn(spawn).await?;
        process::watch(child, mark, self.record.clone())
    }

    async fn free_port(&self) -> Result<u16, SpawnError> {
        let refused = |e: io::Error| SpawnError::System(format!("no port on loopback is free: {e}"));
        for _ in 0..PORT_ATTEMPTS {
            let socket = std::net::TcpListener::bind(("127.0.0.1", 0)).map_err(refused)?;
            let port = socket.local_addr().map_err(refused)?.port();
            if self.hand_out(port) {
                return Ok(port);
            }
        }
        Err(SpawnError::System("no port on loopback is free: stop other programs".to_owned()))
    }

    async fn probe_file(&self, path: &str) -> Result<FileProbe, FileError> {
        let (path, roots) = (path.to_owned(), self.rules.model_roots.clone());
        let lost = path.clone();
        let probed = tokio::task::spawn_blocking(move || files::probe(Path::new(&path), &roots)).await;
        probed.unwrap_or_else(|e| Err(FileError::Unreadable { path: lost, reason: e.to_string() }))
    }

    async fn log(&self, label: &str, line: &str) {
        let (logs, label, line) = (self.logs.clone(), label.to_owned(), line.to_owned());
        // Awaited, so that the lines of one engine stay in order and a slow disk slows their reader only.
        let _ = tokio::task::spawn_blocking(move || logs.append(&label, &line)).await;
    }

    async fn memory_mib(&self, pid: u32) -> Option<u64> {
        tokio::task::spawn_blocking(move || memory::mib(pid)).await.ok().flatten()
    }

    fn stop_grace(&self) -> Duration {
        self.rules.stop_grace
    }
}

#[cfg(test)]
mod tests;
