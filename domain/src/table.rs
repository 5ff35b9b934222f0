//! Replicated tables: persistent (structure-sharing) ordered maps whose every change is also recorded as bytes, so that
//! the state machine writes exactly what changed and a View shares what did not. Used by [`crate::State`] only; never
//! changed outside `apply`.

use std::ops::{Bound, RangeInclusive};
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ids::{DeploymentId, EventId, KeyId, ModelId, NodeId, ProviderName, RequestId, TokenId};

/// One row written or deleted; the key starts with its table's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Table number and encoded key.
    pub key: Bytes,
    /// The row, or `None` when it was deleted.
    pub value: Option<Bytes>,
}

/// What one `apply` changed, in order.
pub type Changes = Vec<Change>;

/// A key with an order-preserving encoding.
pub trait Key: Ord + Clone {
    /// Bytes that sort as the keys do.
    fn encode(&self) -> Vec<u8>;
    /// The key again, if the bytes are one.
    fn decode(bytes: &[u8]) -> Option<Self>;
}

macro_rules! int_key {
    ($($name:ident($int:ty)),*) => {$(
        impl Key for $name {
            fn encode(&self) -> Vec<u8> { self.0.to_be_bytes().to_vec() }
            fn decode(bytes: &[u8]) -> Option<Self> { bytes.try_into().ok().map(|b| $name(<$int>::from_be_bytes(b))) }
        }
    )*};
}
macro_rules! text_key {
    ($($name:ident),*) => {$(
        impl Key for $name {
            fn encode(&self) -> Vec<u8> { self.0.as_bytes().to_vec() }
            fn decode(bytes: &[u8]) -> Option<Self> { String::from_utf8(bytes.to_vec()).ok().map($name) }
        }
    )*};
}
int_key!(NodeId(u64), DeploymentId(u64), KeyId(u64), TokenId(u64), EventId(u64), RequestId(u128));
text_key!(ModelId, ProviderName);

impl Key for String {
    fn encode(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }
    fn decode(bytes: &[u8]) -> Option<Self> {
        String::from_utf8(bytes.to_vec()).ok()
    }
}

/// A row of a replicated table. Rows are MessagePack with field names, so that a newer node may add fields.
pub trait Row: Serialize + DeserializeOwned {
    /// The table's number, fixed for ever.
    const TABLE: u8;
    /// What rows are found by.
    type Key: Key;
}

/// A row that could not be read back from disk or a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The key names no table of this version.
    #[error("row of unknown table {0}: the data was written by a newer version; start that one")]
    UnknownTable(u8),
    /// The bytes are not a row.
    #[error("unreadable row in table {table}: {reason}")]
    Unreadable {
        /// The table's number.
        table: u8,
        /// What the decoder said.
        reason: String,
    },
}

/// An ordered, persistent map of rows. Cloning it costs nothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Table<R: Row>(imbl::OrdMap<R::Key, Arc<R>>);

impl<R: Row> Default for Table<R> {
    fn default() -> Self {
        Self(imbl::OrdMap::default())
    }
}

impl<R: Row> Table<R> {
    /// The row under `key`.
    pub fn get(&self, key: &R::Key) -> Option<&Arc<R>> {
        self.0.get(key)
    }
    /// Whether there is a row under `key`.
    pub fn contains(&self, key: &R::Key) -> bool {
        self.0.contains_key(key)
    }
    /// All rows, by key.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&R::Key, &Arc<R>)> {
        self.0.iter()
    }
    /// All rows, without their keys.
    pub fn rows(&self) -> impl DoubleEndedIterator<Item = &Arc<R>> {
        self.0.values()
    }
    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The rows from some key on, by key.
    pub fn from(&self, from: Bound<R::Key>) -> impl Iterator<Item = (&R::Key, &Arc<R>)> {
        self.0.range((from, Bound::Unbounded))
    }

    /// The rows under some keys.
    pub(crate) fn range(&self, keys: RangeInclusive<R::Key>) -> impl Iterator<Item = &Arc<R>> {
        self.0.range(keys).map(|(_, row)| row)
    }

    /// The keys of some rows.
    pub(crate) fn keys(&self, keys: RangeInclusive<R::Key>) -> impl Iterator<Item = &R::Key> {
        self.0.range(keys).map(|(key, _)| key)
    }

    /// The rows after an encoded key, in order; all without one.
    pub(crate) fn after(&self, key: Option<&[u8]>) -> impl Iterator<Item = (&R::Key, &Arc<R>)> {
        let from = key.and_then(R::Key::decode).map_or(Bound::Unbounded, Bound::Excluded);
        self.0.range((from, Bound::Unbounded))
    }

    /// Writes a row and records it.
    pub(crate) fn put(&mut self, out: &mut Changes, key: R::Key, row: R) {
        out.push(Change { key: row_key::<R>(&key), value: Some(encode(&row)) });
        self.0.insert(key, Arc::new(row));
    }
    /// Deletes a row and records it; says whether there was one.
    pub(crate) fn remove(&mut self, out: &mut Changes, key: &R::Key) -> bool {
        let was = self.0.remove(key).is_some();
        if was {
            out.push(Change { key: row_key::<R>(key), value: None });
        }
        was
    }
    /// Deletes all rows and records it.
    pub(crate) fn clear(&mut self, out: &mut Changes) {
        out.extend(self.0.keys().map(|key| Change { key: row_key::<R>(key), value: None }));
        self.0.clear();
    }
    /// Takes a stored row back in.
    pub(crate) fn load(&mut self, key: &[u8], value: &[u8]) -> Result<(), LoadError> {
        let (key, row) = open::<R>(key, value)?;
        self.0.insert(key, Arc::new(row));
        Ok(())
    }
}

/// A stored row and its key, read back.
pub(crate) fn open<R: Row>(key: &[u8], value: &[u8]) -> Result<(R::Key, R), LoadError> {
    let bad = |reason: String| LoadError::Unreadable { table: R::TABLE, reason };
    let key = R::Key::decode(key).ok_or_else(|| bad("bad key".to_owned()))?;
    let row = rmp_serde::from_slice(value).map_err(|e| bad(e.to_string()))?;
    Ok((key, row))
}

pub(crate) fn row_key<R: Row>(key: &R::Key) -> Bytes {
    let mut bytes = vec![R::TABLE];
    bytes.extend(key.encode());
    bytes.into()
}

pub(crate) fn encode<T: Serialize>(row: &T) -> Bytes {
    // Rows are plain data: structs, enums, numbers and text. Encoding them into memory has no failure to report.
    rmp_serde::to_vec_named(row).unwrap_or_default().into()
}
