//! A host's processes: every program is the fake engine, and model files are what the world says is there.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::ports::{Exit, FileError, FileProbe, Process, Processes, Spawn, SpawnError};
use async_trait::async_trait;
use tokio::sync::mpsc;

use super::engine::{Controls, Engines, Program};
use super::{MODEL_FOLDER, lock};
use crate::Dice;

/// How long an engine may take to end when asked.
const STOP_GRACE: Duration = Duration::from_secs(3);
/// How long an engine loads, in milliseconds.
const LOAD_MS: std::ops::Range<u64> = 200..1500;
/// The size of every model file.
const MODEL_BYTES: u64 = 435_000;
/// Of a thousand model files, how many a host lacks.
const LACKS_PERMILLE: u64 = 150;
/// The first hosts have every file, so that every replica has a place.
const HOSTS_WITH_ALL: usize = 2;

/// One life's processes.
pub(super) struct SimProcesses {
    pub(super) seed: u64,
    pub(super) host: usize,
    /// Whether no model file is missing.
    pub(super) has_all: bool,
    pub(super) engines: Arc<Engines>,
    pub(super) dice: Mutex<Dice>,
}

#[async_trait]
impl Processes for SimProcesses {
    async fn spawn(&self, spawn: Spawn) -> Result<Box<dyn Process>, SpawnError> {
        let at = spawn.args.iter().position(|arg| arg == "--port");
        let port = at.and_then(|at| spawn.args.get(at + 1)).and_then(|port| port.parse().ok());
        let port = port.ok_or_else(|| SpawnError::System("no --port was passed".to_owned()))?;
        let load = Duration::from_millis(lock(&self.dice).between(LOAD_MS.start, LOAD_MS.end));
        let program = Program {
            label: spawn.label.clone(),
            port,
            key: spawn.env.get("LLMHUB_ENGINE_KEY").map(|key| key.as_str().into()),
            on_gpu: spawn.env.get("CUDA_VISIBLE_DEVICES").is_some_and(|list| !list.is_empty()),
            load,
        };
        tracing::info!(label = %spawn.label, port, "engine started");
        Ok(Box::new(SimProcess(self.engines.start(program))))
    }

    async fn free_port(&self) -> Result<u16, SpawnError> {
        Ok(self.engines.next_port())
    }

    async fn probe_file(&self, path: &str) -> Result<FileProbe, FileError> {
        let mut dice = Dice::of(self.seed ^ self.host as u64, path);
        let has_all = self.has_all || self.host < HOSTS_WITH_ALL;
        let lacks = !has_all && dice.permille(LACKS_PERMILLE);
        if !path.starts_with(MODEL_FOLDER) {
            return Err(FileError::Outside(path.to_owned()));
        }
        if lacks {
            return Err(FileError::Missing(path.to_owned()));
        }
        Ok(FileProbe { len: MODEL_BYTES, magic: b"GGUF\x03\0\0\0".to_vec() })
    }

    async fn log(&self, label: &str, line: &str) {
        tracing::debug!(label, line, "engine says");
    }

    async fn memory_mib(&self, pid: u32) -> Option<u64> {
        self.engines.memory_mib(pid)
    }

    fn stop_grace(&self) -> Duration {
        STOP_GRACE
    }
}

struct SimProcess(Controls);

#[async_trait]
impl Process for SimProcess {
    fn pid(&self) -> u32 {
        self.0.pid
    }
    fn lines(&mut self) -> Option<mpsc::Receiver<String>> {
        self.0.output.take()
    }
    fn terminate(&mut self) {
        self.0.terminate.notify_one();
    }
    fn kill(&mut self) {
        self.0.kill.notify_one();
    }
    async fn wait(&mut self) -> Exit {
        let gone = Exit { status: "signal 9".to_owned() };
        match self.0.exit.wait_for(Option::is_some).await {
            Ok(exit) => exit.clone().unwrap_or(gone),
            Err(_) => gone,
        }
    }
}

impl Drop for SimProcess {
    fn drop(&mut self) {
        self.0.kill.notify_one();
    }
}
