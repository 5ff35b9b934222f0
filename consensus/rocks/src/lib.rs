//! The disk of a real node: [`consensus::Disk`] over RocksDB. `node` opens one per data directory; nothing else may compile
//! C++. Writes go to RocksDB's memory and its log's buffer on the caller's thread, without IO; one thread writes and syncs
//! that log for everyone who waits at the moment.

mod fault;
mod floor;
mod options;
mod sync;
mod view;

use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use consensus::Disk;
use consensus::disk::{Batch, Error, Family, Op, Range, Rows, View, Written};
use futures::FutureExt;
use futures::future::ready;
use rocksdb::{ColumnFamily, DB, Direction, IteratorMode, WriteBatch};

use fault::fault;
use floor::Floor;
use sync::Syncer;

/// An open data directory. Dropping it syncs and closes it, once its views are dropped too.
pub struct RocksDisk {
    // Before the database, so that the last sync comes before it closes.
    syncer: Syncer,
    db: Arc<DB>,
}

impl RocksDisk {
    /// Opens a directory, creating it if it is not there. Only one opening at a time, in any process.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        std::fs::create_dir_all(path).map_err(|e| fault::io(path, &e))?;
        let logs = logs(path)?;
        let floor = Floor::open(path)?;
        let options = options::database();
        let families = Family::ALL.map(options::family);
        let opened = DB::open_cf_descriptors(&options, path, families);
        let db = Arc::new(opened.map_err(|e| fault::opening(path, &logs, &e))?);
        for family in Family::ALL {
            handle(&db, family)?;
        }
        let (found, durable) = (db.latest_sequence_number(), floor.write());
        if found < durable {
            let log = logs.last().map_or("that is gone", String::as_str);
            return Err(Error::Corrupt(format!(
                "{}: the log {log} ends at write {found} and had been durable up to write {durable}",
                path.display()
            )));
        }
        let syncer = Syncer::start(Arc::clone(&db), floor).map_err(|e| fault::io(path, &e))?;
        tracing::info!("disk opened");
        Ok(Self { syncer, db })
    }

    fn put(&self, batch: Batch) -> Result<(), Error> {
        let mut writes = WriteBatch::default();
        for op in &batch.ops {
            match op {
                Op::Put(family, key, value) => writes.put_cf(handle(&self.db, *family)?, key, value),
                Op::Delete(family, key) => writes.delete_cf(handle(&self.db, *family)?, key),
                Op::DeleteRange(family, from, to) if from < to => {
                    writes.delete_range_cf(handle(&self.db, *family)?, from, to);
                }
                Op::DeleteRange(..) => {}
            }
        }
        if writes.is_empty() {
            return Ok(());
        }
        self.db.write(writes).map_err(|e| fault(&e))
    }
}

#[async_trait]
impl Disk for RocksDisk {
    fn write(&self, batch: Batch, durable: bool) -> Written {
        match self.put(batch) {
            Ok(()) if durable => self.syncer.wait(),
            done => ready(done).boxed(),
        }
    }

    async fn get(&self, family: Family, key: &[u8]) -> Result<Option<Bytes>, Error> {
        let found = self.db.get_cf(handle(&self.db, family)?, key).map_err(|e| fault(&e))?;
        Ok(found.map(Bytes::from))
    }

    async fn range(&self, family: Family, range: Range) -> Result<Rows, Error> {
        let start = start(&range);
        collect(self.db.iterator_cf(handle(&self.db, family)?, mode(start.as_ref())), &range)
    }

    async fn last(&self, family: Family) -> Result<Option<(Bytes, Bytes)>, Error> {
        let mut rows = self.db.iterator_cf(handle(&self.db, family)?, IteratorMode::End);
        match rows.next() {
            Some(Ok((key, value))) => Ok(Some((key.into(), value.into()))),
            Some(Err(e)) => Err(fault(&e)),
            None => Ok(None),
        }
    }

    fn view(&self) -> Box<dyn View> {
        Box::new(view::ThreadView::start(Arc::clone(&self.db)))
    }
}

/// The names of a directory's logs. Refuses one that holds data but not the file that every opening begins with: RocksDB would
/// take it for a new one and clear it.
fn logs(path: &Path) -> Result<Vec<String>, Error> {
    let files = std::fs::read_dir(path).map_err(|e| fault::io(path, &e))?;
    let mut names: Vec<String> =
        files.flatten().map(|file| file.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let ends = |name: &&String, end| Path::new(name).extension().is_some_and(|e| e == end);
    let data = names.iter().find(|name| ends(name, "log") || ends(name, "sst"));
    if let Some(data) = data
        && !names.iter().any(|name| name == floor::CURRENT)
    {
        let head = path.join(floor::CURRENT);
        return Err(Error::Corrupt(format!("{} is missing beside {data}", head.display())));
    }
    names.retain(|name| ends(&name, "log"));
    Ok(names)
}

fn handle(db: &DB, family: Family) -> Result<&ColumnFamily, Error> {
    db.cf_handle(family.name())
        .ok_or_else(|| Error::Corrupt(format!("the family `{}` is missing", family.name())))
}

/// The first key a range can have.
fn start(range: &Range) -> Option<Bytes> {
    match &range.from {
        Bound::Included(key) | Bound::Excluded(key) => Some(key.clone()),
        Bound::Unbounded => None,
    }
}

fn mode(start: Option<&Bytes>) -> IteratorMode<'_> {
    start.map_or(IteratorMode::Start, |key| IteratorMode::From(key, Direction::Forward))
}

/// Takes rows from an iterator that stands at the range's start.
fn collect(
    found: impl Iterator<Item = Result<(Box<[u8]>, Box<[u8]>), rocksdb::Error>>,
    range: &Range,
) -> Result<Rows, Error> {
    let mut rows = Rows::new();
    let mut bytes = 0;
    for row in found {
        if rows.len() >= range.rows || bytes >= range.bytes {
            break;
        }
        let (key, value) = row.map_err(|e| fault(&e))?;
        let key = Bytes::from(key);
        if matches!(&range.from, Bound::Excluded(from) if *from == key) {
            continue;
        }
        let past = match &range.to {
            Bound::Included(to) => key > *to,
            Bound::Excluded(to) => key >= *to,
            Bound::Unbounded => false,
        };
        if past {
            break;
        }
        bytes += key.len() + value.len();
        rows.push((key, value.into()));
    }
    Ok(rows)
}
