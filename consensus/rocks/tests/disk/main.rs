//! RocksDB as a disk: openraft's suite, reopening, being in use; killed and damaged in modules of their own.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod damage;
mod dice;
mod killed;
mod machine;

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use consensus::Disk;
use consensus::disk::{Batch, Error, Family, Range};
use consensus_rocks::RocksDisk;
use tempfile::TempDir;

struct OnRocks;

impl consensus::suite::Maker for OnRocks {
    type Guard = TempDir;
    fn make(&self) -> Result<(TempDir, Arc<dyn Disk>), Error> {
        let dir = TempDir::new().map_err(|e| Error::Io(e.to_string()))?;
        let disk = RocksDisk::open(dir.path())?;
        Ok((dir, Arc::new(disk)))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn openrafts_storage_suite_passes_on_rocksdb() {
    consensus::suite::run(OnRocks).await.unwrap();
}

fn put(family: Family, key: &str, value: &str) -> Batch {
    let mut batch = Batch::default();
    batch.put(family, key.to_owned(), value.to_owned());
    batch
}

fn all() -> Range {
    Range::all(Bound::Unbounded, Bound::Unbounded)
}

async fn keys(disk: &dyn Disk, family: Family, range: Range) -> Vec<String> {
    let rows = disk.range(family, range).await.unwrap();
    rows.into_iter().map(|(key, _)| String::from_utf8(key.to_vec()).unwrap()).collect()
}

#[tokio::test]
async fn what_was_written_is_there_after_reopening() {
    let dir = TempDir::new().unwrap();
    let disk = RocksDisk::open(dir.path()).unwrap();
    disk.write(put(Family::Log, "a", "1"), true).await.unwrap();
    disk.write(put(Family::Tables, "a", "2"), false).await.unwrap();
    drop(disk);
    let disk = RocksDisk::open(dir.path()).unwrap();
    assert_eq!(disk.get(Family::Log, b"a").await.unwrap(), Some(Bytes::from("1")));
    assert_eq!(disk.get(Family::Tables, b"a").await.unwrap(), Some(Bytes::from("2")));
    assert_eq!(disk.get(Family::Meta, b"a").await.unwrap(), None);
}

#[tokio::test]
async fn ranges_keep_their_bounds_and_limits() {
    let dir = TempDir::new().unwrap();
    let disk = RocksDisk::open(dir.path()).unwrap();
    for key in ["a", "b", "c", "d"] {
        disk.write(put(Family::Log, key, "xxxx"), false).await.unwrap();
    }
    let between = |from: Bound<&'static str>, to: Bound<&'static str>| {
        Range::all(from.map(Bytes::from), to.map(Bytes::from))
    };
    assert_eq!(keys(&disk, Family::Log, all()).await, ["a", "b", "c", "d"]);
    let inner = between(Bound::Excluded("a"), Bound::Excluded("d"));
    assert_eq!(keys(&disk, Family::Log, inner).await, ["b", "c"]);
    let outer = between(Bound::Included("b"), Bound::Included("d"));
    assert_eq!(keys(&disk, Family::Log, outer.clone()).await, ["b", "c", "d"]);
    assert_eq!(keys(&disk, Family::Log, outer.clone().limit(2, usize::MAX)).await, ["b", "c"]);
    assert_eq!(keys(&disk, Family::Log, outer.limit(9, 1)).await, ["b"]);
    let reversed = between(Bound::Included("d"), Bound::Excluded("a"));
    assert_eq!(keys(&disk, Family::Log, reversed).await, Vec::<String>::new());
    assert_eq!(disk.last(Family::Log).await.unwrap().unwrap().0, "d");
    let mut batch = Batch::default();
    batch.delete_range(Family::Log, "b", "d");
    batch.delete_range(Family::Log, "z", "a");
    batch.delete(Family::Log, "d");
    disk.write(batch, true).await.unwrap();
    assert_eq!(keys(&disk, Family::Log, all()).await, ["a"]);
    assert_eq!(disk.last(Family::Meta).await.unwrap(), None);
}

#[tokio::test]
async fn a_view_does_not_see_what_comes_later() {
    let dir = TempDir::new().unwrap();
    let disk = RocksDisk::open(dir.path()).unwrap();
    disk.write(put(Family::Tables, "a", "1"), false).await.unwrap();
    let view = disk.view();
    disk.write(put(Family::Tables, "b", "2"), true).await.unwrap();
    assert_eq!(view.range(Family::Tables, all()).await.unwrap().len(), 1);
    assert_eq!(disk.view().range(Family::Tables, all()).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_directory_in_use_is_refused_in_words() {
    let dir = TempDir::new().unwrap();
    let _disk = RocksDisk::open(dir.path()).unwrap();
    let Err(error) = RocksDisk::open(dir.path()) else { panic!("opened twice") };
    assert!(matches!(error, Error::Locked(_)), "{error}");
    assert!(error.to_string().contains("in use"), "{error}");
}
