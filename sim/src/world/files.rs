//! Small files that survive a crash.

use std::collections::BTreeMap;
use std::io;
use std::sync::Mutex;

use async_trait::async_trait;
use bytes::Bytes;

use super::lock;

/// The small files of one host. A write is durable when it returns.
#[derive(Default)]
pub(crate) struct SimFiles(Mutex<BTreeMap<String, Bytes>>);

impl SimFiles {
    /// The same files once more.
    pub(crate) fn copy(&self) -> Self {
        Self(Mutex::new(lock(&self.0).clone()))
    }

    /// They are those of a copy again.
    pub(crate) fn put_back(&self, copy: &Self) {
        *lock(&self.0) = lock(&copy.0).clone();
    }

    /// Removes all of them.
    pub(crate) fn wipe(&self) {
        lock(&self.0).clear();
    }
}

#[async_trait]
impl runtime::Files for SimFiles {
    async fn read(&self, name: &str) -> io::Result<Option<Bytes>> {
        Ok(lock(&self.0).get(name).cloned())
    }

    async fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        lock(&self.0).insert(name.to_owned(), Bytes::copy_from_slice(content));
        Ok(())
    }
}
