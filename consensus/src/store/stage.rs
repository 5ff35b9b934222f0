//! Where a snapshot from another node is gathered: beside the valid rows, as the next generation. Whatever happens meanwhile,
//! the valid generation stays whole; one later batch makes the next one valid.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use domain::State;
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::keys::{self, APPLIED_KEY, Applied, row_key};
use super::snapshot::Reader;
use crate::codec::unseal;
use crate::disk::{self, Batch, Disk, Family};
use crate::error::Error;

/// The place for one snapshot at a time.
pub(crate) struct Stage {
    disk: Arc<dyn Disk>,
    busy: Arc<Mutex<()>>,
}

/// A snapshot that is here whole. Dropping it without installing leaves rows nobody reads; the next one clears them.
pub(crate) struct Staged {
    pub(super) generation: u64,
    pub(super) state: State,
    _busy: OwnedMutexGuard<()>,
}

impl Stage {
    pub(crate) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, busy: Arc::default() }
    }

    /// Receives a snapshot whole; `wait` is for each chunk.
    pub(crate) async fn receive(
        &self,
        mut chunks: BoxStream<'_, Result<Bytes, io::Error>>,
        wait: Duration,
    ) -> Result<Staged, Error> {
        let Ok(busy) = Arc::clone(&self.busy).try_lock_owned() else {
            return Err(Error::unavailable("another snapshot is just being received"));
        };
        let valid = keys::get::<Applied>(&*self.disk, APPLIED_KEY).await?.unwrap_or_default();
        let generation = valid.generation + 1;
        let mut clear = Batch::default();
        keys::drop_other_generations(&mut clear, valid.generation);
        self.disk.write(clear, false).await?;

        let mut reader = Reader::default();
        let mut state = State::default();
        while !reader.ended() {
            let chunk = match tokio::time::timeout(wait, chunks.next()).await {
                Ok(Some(Ok(chunk))) => chunk,
                Ok(Some(Err(error))) => {
                    return Err(Error::unavailable(format!("the snapshot broke off, {error}")));
                }
                Ok(None) => return Err(Error::unavailable("the snapshot ended early")),
                Err(_) => return Err(Error::unavailable("the snapshot stopped coming")),
            };
            self.take(generation, reader.chunk(chunk).map_err(garbled)?, &mut state).await?;
        }
        state.reindex();
        Ok(Staged { generation, state, _busy: busy })
    }

    async fn take(&self, generation: u64, rows: disk::Rows, state: &mut State) -> Result<(), Error> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut batch = Batch::default();
        for (row, stored) in rows {
            state.load(&row, unseal(&row, &stored).map_err(garbled)?).map_err(|e| {
                Error::refused(format!(
                    "the snapshot is not understood ({e}): start the newer version of llmhub on this node"
                ))
            })?;
            batch.put(Family::Tables, row_key(generation, &row), stored);
        }
        Ok(self.disk.write(batch, false).await?)
    }
}

/// Damage on the way is not damage of this disk: the sender tries again.
fn garbled(error: disk::Error) -> Error {
    match error {
        disk::Error::Corrupt(what) => Error::unavailable(format!("unusable: {what}")),
        other => other.into(),
    }
}
