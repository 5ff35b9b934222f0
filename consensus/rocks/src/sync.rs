//! Group commit: one thread syncs RocksDB's log; everyone who asked before it started is served by the same sync.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use consensus::disk::{Error, Written};
use futures::FutureExt;
use futures::future::ready;
use rocksdb::DB;
use tokio::sync::oneshot;

use crate::fault::fault;
use crate::floor::Floor;

/// More writers than this wait only if the disk hangs; then the next ones are told so.
const WAITING_MAX: usize = 65_536;

type Done = oneshot::Sender<Result<(), Error>>;

pub(crate) struct Syncer {
    queue: Arc<Queue>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<Done>,
    closed: bool,
}

impl Syncer {
    pub(crate) fn start(db: Arc<DB>, mut floor: Floor) -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        let served = Arc::clone(&queue);
        let thread = std::thread::Builder::new()
            .name("disk-sync".to_owned())
            .spawn(move || serve(&served, &db, &mut floor))?;
        Ok(Self { queue, thread: Some(thread) })
    }

    /// Resolves when everything written before this call is durable.
    pub(crate) fn wait(&self) -> Written {
        let (done, synced) = oneshot::channel();
        {
            let mut state = self.queue.lock();
            if state.waiting.len() >= WAITING_MAX {
                return ready(Err(Error::Io("it does not finish its writes".to_owned()))).boxed();
            }
            state.waiting.push(done);
        }
        self.queue.changed.notify_one();
        async move { synced.await.unwrap_or(Err(Error::Closed)) }.boxed()
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.queue.lock().closed = true;
        self.queue.changed.notify_one();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the disk's sync thread had panicked");
        }
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everyone who waits now, and whether these are the last.
    fn next(&self) -> (Vec<Done>, bool) {
        let mut state = self.lock();
        while state.waiting.is_empty() && !state.closed {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        (std::mem::take(&mut state.waiting), state.closed)
    }
}

fn serve(queue: &Queue, db: &DB, floor: &mut Floor) {
    loop {
        let (group, last) = queue.next();
        let written = db.latest_sequence_number();
        let synced = db.flush_wal(true).map_err(|e| fault(&e));
        let result = synced.and_then(|()| floor.raise(written));
        if let Err(error) = &result {
            tracing::error!(%error, "disk sync failed");
        }
        for done in group {
            // Whoever does not wait any more does not need the answer.
            let _ = done.send(result.clone());
        }
        if last {
            return;
        }
    }
}
