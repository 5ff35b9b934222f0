//! What a node stands on, bundled: the operating system's in `node`, the simulated world's in `sim`. Nothing in this
//! crate reaches around it.

use std::io;
use std::sync::Arc;

use actors::ports::{Clock, Entropy, Gpus, Processes};
use async_trait::async_trait;
use bytes::Bytes;
use consensus::Disk;
use tokio::runtime::Handle;
use wire::net::Network;

/// Small files of the node's data directory: who it is. Everything else is on the [`Disk`].
#[async_trait]
pub trait Files: Send + Sync + 'static {
    /// A file's content, `None` when there is no such file.
    async fn read(&self, name: &str) -> io::Result<Option<Bytes>>;
    /// Writes a file durably and atomically, readable by its owner only.
    async fn write(&self, name: &str, content: &[u8]) -> io::Result<()>;
}

/// The ports a node is started with.
#[derive(Clone)]
pub struct Env {
    /// Streams and datagrams.
    pub network: Arc<dyn Network>,
    /// The metadata's disk.
    pub disk: Arc<dyn Disk>,
    /// Small files.
    pub files: Arc<dyn Files>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
    /// Engine processes.
    pub processes: Arc<dyn Processes>,
    /// GPUs.
    pub gpus: Arc<dyn Gpus>,
    /// Where clients and relayed calls are served, apart from what keeps the cluster together; all in one place without.
    pub data: Option<Handle>,
}

impl Env {
    /// Where clients and relayed calls are served. Must be called inside a runtime.
    pub(crate) fn data(&self) -> Handle {
        self.data.clone().unwrap_or_else(Handle::current)
    }
}
