//! Raft's log, vote and what is committed, over a [`Disk`]. Entries are readable when `append` returns and reported when
//! they are durable; the disk keeps the order, so nothing later survives a crash that loses something earlier.

use std::fmt::Debug;
use std::io;
use std::ops::{Bound, RangeBounds};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use openraft::OptionalSend;
use openraft::entry::RaftEntry;
use openraft::storage::{IOFlushed, LogState, RaftLogReader, RaftLogStorage};

use super::keys::{self, COMMITTED_KEY, PURGED_KEY, VOTE_KEY, log_key};
use super::tail::Tail;
use crate::codec::{load, store};
use crate::disk::{Batch, Disk, Error, Family, Range};
use crate::raft::{Entry, LogId, Types, Vote};

/// A follower gets at most so many bytes of entries in one call, unless a single entry is larger.
const READ_BYTES_MAX: usize = 1024 * 1024;

#[derive(Clone)]
pub(crate) struct LogStore {
    disk: Arc<dyn Disk>,
    tail: Arc<Mutex<Tail>>,
}

impl LogStore {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, tail: Arc::default() }
    }

    fn tail(&self) -> MutexGuard<'_, Tail> {
        self.tail.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn read(&self, range: Range) -> Result<Vec<Entry>, Error> {
        let mut entries: Vec<Entry> = Vec::new();
        for (key, stored) in self.disk.range(Family::Log, range).await? {
            let entry: Entry = load(&key, &stored)?;
            if log_key(entry.index()) != key {
                return Err(Error::Corrupt(format!("log entry {} lies in another's place", entry.index())));
            }
            if entries.last().is_some_and(|last| last.index() + 1 != entry.index()) {
                return Err(Error::Corrupt(format!("the log has a hole before entry {}", entry.index())));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    async fn purged(&self) -> Result<Option<LogId>, Error> {
        keys::get(&*self.disk, PURGED_KEY).await
    }
}

impl RaftLogReader<Types> for LogStore {
    async fn try_get_log_entries<RB: RangeBounds<u64> + Clone + Debug + OptionalSend>(
        &mut self,
        range: RB,
    ) -> Result<Vec<Entry>, io::Error> {
        let Some((from, to)) = bounds(&range) else { return Ok(Vec::new()) };
        if let Some(entries) = self.tail().read(from, to, usize::MAX) {
            return Ok(entries);
        }
        Ok(self.read(key_range(from, to)).await?)
    }

    async fn limited_get_log_entries(&mut self, start: u64, end: u64) -> Result<Vec<Entry>, io::Error> {
        let Some((from, to)) = bounds(&(start..end)) else { return Ok(Vec::new()) };
        if let Some(entries) = self.tail().read(from, to, READ_BYTES_MAX) {
            return Ok(entries);
        }
        Ok(self.read(key_range(from, to).limit(usize::MAX, READ_BYTES_MAX)).await?)
    }

    async fn read_vote(&mut self) -> Result<Option<Vote>, io::Error> {
        Ok(keys::get(&*self.disk, VOTE_KEY).await?)
    }
}

impl RaftLogStorage<Types> for LogStore {
    type LogReader = Self;

    async fn get_log_state(&mut self) -> Result<LogState<Types>, io::Error> {
        let purged = self.purged().await?;
        let last = match self.disk.last(Family::Log).await? {
            Some((key, stored)) => Some(load::<Entry>(&key, &stored)?.log_id()),
            None => purged,
        };
        Ok(LogState { last_purged_log_id: purged, last_log_id: last })
    }

    async fn get_log_reader(&mut self) -> Self {
        self.clone()
    }

    async fn save_vote(&mut self, vote: &Vote) -> Result<(), io::Error> {
        let mut batch = Batch::default();
        keys::put(&mut batch, VOTE_KEY, vote)?;
        Ok(self.disk.write(batch, true).await?)
    }

    async fn save_committed(&mut self, committed: Option<LogId>) -> Result<(), io::Error> {
        let mut batch = Batch::default();
        keys::put(&mut batch, COMMITTED_KEY, &committed)?;
        Ok(self.disk.write(batch, false).await?)
    }

    async fn read_committed(&mut self) -> Result<Option<LogId>, io::Error> {
        Ok(keys::get::<Option<LogId>>(&*self.disk, COMMITTED_KEY).await?.flatten())
    }

    async fn append<I>(&mut self, entries: I, callback: IOFlushed<Types>) -> Result<(), io::Error>
    where
        I: IntoIterator<Item = Entry> + OptionalSend,
        I::IntoIter: OptionalSend,
    {
        let (mut batch, mut taken) = (Batch::default(), Vec::new());
        for entry in entries {
            let key = log_key(entry.index());
            let value = store(&key, &entry)?;
            batch.put(Family::Log, key, value);
            taken.push(entry);
        }
        let written = self.disk.write(batch, true);
        self.tail().append(taken);
        tokio::spawn(async move { callback.io_completed(written.await.map_err(io::Error::from)) });
        Ok(())
    }

    async fn truncate_after(&mut self, last: Option<LogId>) -> Result<(), io::Error> {
        let from = last.map_or(0, |id| id.index() + 1);
        self.tail().truncate(from);
        let mut batch = Batch::default();
        batch.delete_range(Family::Log, log_key(from), log_key(u64::MAX));
        Ok(self.disk.write(batch, false).await?)
    }

    async fn purge(&mut self, upto: LogId) -> Result<(), io::Error> {
        let mut batch = Batch::default();
        if self.purged().await? < Some(upto) {
            keys::put(&mut batch, PURGED_KEY, &upto)?;
        }
        batch.delete_range(Family::Log, log_key(0), log_key(upto.index() + 1));
        self.tail().purge(upto.index() + 1);
        Ok(self.disk.write(batch, false).await?)
    }
}

/// The first and the last index of a range, or nothing if it is empty.
fn bounds(range: &impl RangeBounds<u64>) -> Option<(u64, u64)> {
    let from = match range.start_bound() {
        Bound::Included(at) => *at,
        Bound::Excluded(at) => at.checked_add(1)?,
        Bound::Unbounded => 0,
    };
    let to = match range.end_bound() {
        Bound::Included(at) => *at,
        Bound::Excluded(at) => at.checked_sub(1)?,
        Bound::Unbounded => u64::MAX,
    };
    (from <= to).then_some((from, to))
}

/// The keys of the indexes from the first to the last.
fn key_range(from: u64, to: u64) -> Range {
    Range::all(Bound::Included(log_key(from)), Bound::Included(log_key(to)))
}
