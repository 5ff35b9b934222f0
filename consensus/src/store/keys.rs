//! Where things lie on disk. The meaning of a key never changes within a format.

use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::codec::{load, store};
use crate::disk::{Batch, Disk, Error, Family, Range};
use crate::raft::{LogId, StoredMembership};

/// The format this program writes.
pub(crate) const FORMAT: u64 = 1;

pub(crate) const FORMAT_KEY: &[u8] = b"format";
pub(crate) const VOTE_KEY: &[u8] = b"vote";
pub(crate) const COMMITTED_KEY: &[u8] = b"committed";
pub(crate) const PURGED_KEY: &[u8] = b"purged";
pub(crate) const APPLIED_KEY: &[u8] = b"applied";

/// What the tables on disk are: written in one batch with the rows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Applied {
    /// Which generation of rows is the valid one; a snapshot is staged as the next and then takes over in one batch.
    pub(crate) generation: u64,
    /// The last entry applied.
    pub(crate) last: Option<LogId>,
    /// The last membership applied.
    pub(crate) membership: StoredMembership,
}

/// A log entry's key.
pub(crate) fn log_key(index: u64) -> Bytes {
    Bytes::copy_from_slice(&index.to_be_bytes())
}

/// A row's key within a generation.
pub(crate) fn row_key(generation: u64, row: &[u8]) -> Bytes {
    let mut key = Vec::with_capacity(8 + row.len());
    key.extend_from_slice(&generation.to_be_bytes());
    key.extend_from_slice(row);
    key.into()
}

/// The row's own key, as the tables know it.
pub(crate) fn row_of(key: &Bytes) -> Result<Bytes, Error> {
    if key.len() < 8 {
        return Err(Error::Corrupt("a row's key is too short".to_owned()));
    }
    Ok(key.slice(8..))
}

/// All rows of a generation.
pub(crate) fn rows(generation: u64) -> Range {
    Range::all(
        Bound::Included(row_key(generation, &[])),
        Bound::Excluded(row_key(generation.saturating_add(1), &[])),
    )
}

/// Deletes every row of every other generation.
pub(crate) fn drop_other_generations(batch: &mut Batch, generation: u64) {
    if generation > 0 {
        batch.delete_range(Family::Tables, row_key(0, &[]), row_key(generation, &[]));
    }
    batch.delete_range(Family::Tables, row_key(generation.saturating_add(1), &[]), row_key(u64::MAX, &[]));
}

pub(crate) async fn get<T: serde::de::DeserializeOwned>(
    disk: &dyn Disk,
    key: &[u8],
) -> Result<Option<T>, Error> {
    match disk.get(Family::Meta, key).await? {
        Some(stored) => load(key, &stored).map(Some),
        None => Ok(None),
    }
}

pub(crate) fn put<T: Serialize>(batch: &mut Batch, key: &'static [u8], value: &T) -> Result<(), Error> {
    batch.put(Family::Meta, Bytes::from_static(key), store(key, value)?);
    Ok(())
}

/// Marks an empty disk as ours and refuses one that a newer program wrote.
pub(crate) async fn check_format(disk: &dyn Disk) -> Result<(), Error> {
    match get::<u64>(disk, FORMAT_KEY).await? {
        Some(found) if found > FORMAT => Err(Error::Format { found, known: FORMAT }),
        Some(_) => Ok(()),
        None => {
            let mut batch = Batch::default();
            put(&mut batch, FORMAT_KEY, &FORMAT)?;
            disk.write(batch, true).await
        }
    }
}
