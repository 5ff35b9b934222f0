//! Engine processes. The port starts and signals them and hands out their output; when to do what is the deployment
//! actor's decision.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::mpsc;

/// What to start.
#[derive(Clone, PartialEq, Eq)]
pub struct Spawn {
    /// Names it in logs and in the record of process ids: `dep-…/0`.
    pub label: String,
    /// Program, from the node's configuration.
    pub program: String,
    /// Arguments. May hold the engine's random key, so never logged.
    pub args: Vec<String>,
    /// The whole environment beyond the system's basics (PATH, HOME, library path).
    pub env: BTreeMap<String, String>,
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exit {
    /// Its exit status in words: `exit code 1`, `signal 9`.
    pub status: String,
}

/// Why a process could not be started.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SpawnError {
    /// The program is not there.
    #[error(
        "program `{program}` cannot be started: {reason}; install it or correct [engines] in the node's configuration"
    )]
    Program {
        /// Which program.
        program: String,
        /// What the system said.
        reason: String,
    },
    /// The system refused.
    #[error("the system refused to start a process: {0}")]
    System(String),
}

/// A running process. Dropping it kills it.
#[async_trait]
pub trait Process: Send + 'static {
    /// Its id in the system.
    fn pid(&self) -> u32;
    /// Lines of its standard output and error, bounded; taken once.
    fn lines(&mut self) -> Option<mpsc::Receiver<String>>;
    /// Asks it to end (SIGTERM to its process group).
    fn terminate(&mut self);
    /// Ends it (SIGKILL to its process group).
    fn kill(&mut self);
    /// Resolves when it has ended; may be called again.
    async fn wait(&mut self) -> Exit;
}

/// Starts engines and looks after what they need from the system.
#[async_trait]
pub trait Processes: Send + Sync + 'static {
    /// Starts a program. It dies with this node: parent-death signal, and a record of its id for the next start's sweep.
    async fn spawn(&self, spawn: Spawn) -> Result<Box<dyn Process>, SpawnError>;
    /// A loopback port that is free now.
    async fn free_port(&self) -> Result<u16, SpawnError>;
    /// Whether a file is there and readable, its size in bytes, and its first bytes (up to 8): for format checks.
    async fn probe_file(&self, path: &str) -> Result<FileProbe, FileError>;
    /// Appends a line to the log file of a label, rotating it at a bounded size.
    async fn log(&self, label: &str, line: &str);
    /// How much memory a process and its children hold that nobody else could use: what they allocated or share among
    /// themselves, not files that are mapped; in MiB. Nothing where it cannot be told.
    async fn memory_mib(&self, pid: u32) -> Option<u64>;
    /// How long an engine may take from SIGTERM to its end before SIGKILL.
    fn stop_grace(&self) -> Duration;
}

/// What a look at a file told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileProbe {
    /// Its size in bytes.
    pub len: u64,
    /// Its first bytes, 8 at most.
    pub magic: Vec<u8>,
}

/// Why a file cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FileError {
    /// Not there.
    #[error("this node has no file {0}: copy it there, or deploy where it is")]
    Missing(String),
    /// There, but not for us.
    #[error("file {path} cannot be read: {reason}")]
    Unreadable {
        /// Which file.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Outside the configured folders.
    #[error(
        "file {0} is outside this node's model folders: add its folder to `model_roots` in the node's configuration"
    )]
    Outside(String),
}
