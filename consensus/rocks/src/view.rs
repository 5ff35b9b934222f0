//! A consistent view of the database. RocksDB's snapshot borrows the database, so a thread of its own holds both and reads
//! on request; that also keeps long reads off the runtime's threads. Views are rare: one at start and one per snapshot.

use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use async_trait::async_trait;
use consensus::disk::{Error, Family, Range, Rows, View};
use rocksdb::DB;
use tokio::sync::oneshot;

use crate::{collect, handle, mode, start};

/// Reads that wait for their turn: a reader asks for one chunk at a time.
const READS_MAX: usize = 4;

struct Read {
    family: Family,
    range: Range,
    answer: oneshot::Sender<Result<Rows, Error>>,
}

pub(crate) struct ThreadView {
    reads: Option<mpsc::SyncSender<Read>>,
    thread: Option<JoinHandle<()>>,
}

impl ThreadView {
    /// Returns when the view is taken.
    pub(crate) fn start(db: Arc<DB>) -> Self {
        let (reads, asked) = mpsc::sync_channel::<Read>(READS_MAX);
        let (taken, is_taken) = mpsc::sync_channel(1);
        let serve = move || {
            let snapshot = db.snapshot();
            let _ = taken.send(());
            while let Ok(Read { family, range, answer }) = asked.recv() {
                let from = start(&range);
                let rows = handle(&db, family)
                    .and_then(|cf| collect(snapshot.iterator_cf(cf, mode(from.as_ref())), &range));
                // A reader that went away does not need the answer.
                let _ = answer.send(rows);
            }
        };
        let thread = std::thread::Builder::new().name("disk-view".to_owned()).spawn(serve).ok();
        // Fails only if there is no thread, and then reads say so.
        let _ = is_taken.recv();
        Self { reads: Some(reads), thread }
    }
}

#[async_trait]
impl View for ThreadView {
    async fn range(&self, family: Family, range: Range) -> Result<Rows, Error> {
        let gone = || Error::Io("no thread to read with: raise the limit of processes".to_owned());
        let (answer, rows) = oneshot::channel();
        let reads = self.reads.as_ref().ok_or_else(gone)?;
        reads.try_send(Read { family, range, answer }).map_err(|_| gone())?;
        rows.await.map_err(|_| gone())?
    }
}

impl Drop for ThreadView {
    fn drop(&mut self) {
        self.reads = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("a disk's view thread had panicked");
        }
    }
}
