//! The port to storage: ordered key-value families with atomic batches. `consensus-rocks` and [`crate::mem`] implement it;
//! the log store and the state machine are written once over it. It knows nothing of what the keys mean.

use std::ops::Bound;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;

/// A separately ordered set of keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Family {
    /// Raft's log entries.
    Log,
    /// The vote, what is committed, purged and applied, the format.
    Meta,
    /// The replicated tables' rows.
    Tables,
}

impl Family {
    /// All families.
    pub const ALL: [Family; 3] = [Family::Log, Family::Meta, Family::Tables];

    /// The name it has on disk.
    pub fn name(self) -> &'static str {
        match self {
            Family::Log => "log",
            Family::Meta => "meta",
            Family::Tables => "tables",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// Writes a value.
    Put(Family, Bytes, Bytes),
    /// Deletes a key, if it is there.
    Delete(Family, Bytes),
    /// Deletes the keys from the first, inclusive, to the second, exclusive.
    DeleteRange(Family, Bytes, Bytes),
}

/// Changes that happen together or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// The changes, in order.
    pub ops: Vec<Op>,
}

impl Batch {
    /// Adds a write.
    pub fn put(&mut self, family: Family, key: impl Into<Bytes>, value: impl Into<Bytes>) {
        self.ops.push(Op::Put(family, key.into(), value.into()));
    }
    /// Adds a deletion.
    pub fn delete(&mut self, family: Family, key: impl Into<Bytes>) {
        self.ops.push(Op::Delete(family, key.into()));
    }
    /// Adds a deletion of the keys in `from..to`.
    pub fn delete_range(&mut self, family: Family, from: impl Into<Bytes>, to: impl Into<Bytes>) {
        self.ops.push(Op::DeleteRange(family, from.into(), to.into()));
    }
    /// How many bytes its keys and values have together.
    pub fn bytes(&self) -> usize {
        self.ops
            .iter()
            .map(|op| match op {
                Op::Put(_, key, value) => key.len() + value.len(),
                Op::Delete(_, key) => key.len(),
                Op::DeleteRange(_, from, to) => from.len() + to.len(),
            })
            .sum()
    }
}

/// Which keys to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Range {
    /// Where to start.
    pub from: Bound<Bytes>,
    /// Where to end.
    pub to: Bound<Bytes>,
    /// At most so many rows.
    pub rows: usize,
    /// Stop after the row with which this many bytes are reached, so that at least one row comes.
    pub bytes: usize,
}

impl Range {
    /// Everything between two bounds.
    pub fn all(from: Bound<Bytes>, to: Bound<Bytes>) -> Self {
        Self { from, to, rows: usize::MAX, bytes: usize::MAX }
    }
    /// The same, but not more than this at once.
    pub fn limit(self, rows: usize, bytes: usize) -> Self {
        Self { rows, bytes, ..self }
    }
}

/// Rows read, in key order.
pub type Rows = Vec<(Bytes, Bytes)>;

/// Resolves when a write has reached what was asked of it. Making it durable may only begin when this is polled; dropping
/// it does not take the write back, but leaves open when it becomes durable.
pub type Written = BoxFuture<'static, Result<(), Error>>;

/// Why storage did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No space.
    #[error("the disk is full ({0}): free some space, then restart this node")]
    Full(String),
    /// Another process has it open.
    #[error(
        "the data directory is in use ({0}): stop the other node that runs on it, or choose another directory"
    )]
    Locked(String),
    /// What was read is not what was written.
    #[error(
        "the stored data is damaged ({0}): remove this node from the cluster, empty its data directory and let it join \
         anew; where no other node is left, restore a backup"
    )]
    Corrupt(String),
    /// Written by a newer program.
    #[error("the data directory has format {found}, this program knows {known}: start the newer version")]
    Format {
        /// The format found.
        found: u64,
        /// The newest format known.
        known: u64,
    },
    /// It was closed, or taken over by a later opening.
    #[error("the disk is closed: start the node again")]
    Closed,
    /// Anything else the operating system said.
    #[error(
        "the disk failed ({0}): check the device and the directory's permissions, then restart this node"
    )]
    Io(String),
}

impl From<Error> for std::io::Error {
    fn from(error: Error) -> Self {
        let kind = match &error {
            Error::Full(_) => std::io::ErrorKind::StorageFull,
            Error::Locked(_) => std::io::ErrorKind::ResourceBusy,
            Error::Corrupt(_) | Error::Format { .. } => std::io::ErrorKind::InvalidData,
            Error::Closed => std::io::ErrorKind::NotConnected,
            Error::Io(_) => std::io::ErrorKind::Other,
        };
        std::io::Error::new(kind, error)
    }
}

/// Durable, ordered storage.
///
/// Writes take effect in the order of the calls, and become durable in that order too: what survives a crash is always the
/// result of a prefix of the writes, at least up to the last one that was reported durable.
#[async_trait]
pub trait Disk: Send + Sync + 'static {
    /// Applies a batch atomically. When this returns, every later read sees it. The future resolves at once when the write is
    /// not `durable`, and otherwise when it and everything before it would survive a crash.
    fn write(&self, batch: Batch, durable: bool) -> Written;
    /// The value under a key.
    async fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error>;
    /// The rows in a range, all as of one moment.
    async fn range(&self, family: Family, range: Range) -> Result<Rows, Error>;
    /// The row with the largest key.
    async fn last(&self, family: Family) -> Result<Option<(Bytes, Bytes)>, Error>;
    /// Everything as it is now, for reading while writes go on.
    fn view(&self) -> Box<dyn View>;
}

/// A consistent view of a [`Disk`] as of one moment.
#[async_trait]
pub trait View: Send + Sync + 'static {
    /// The rows in a range.
    async fn range(&self, family: Family, range: Range) -> Result<Rows, Error>;
}
