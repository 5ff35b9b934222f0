//! Clients that write in a closed loop. Each asks one member after the other, and none longer than [`TRY_MAX`]; what it
//! cannot write it tries on the next member after a short pause, as a client library does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::bail;
use sim::workload::Clients;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::{LOOK, MEMBERS, Store, Write};

/// How long a client waits for one member's answer.
pub(super) const TRY_MAX: Duration = Duration::from_secs(1);
/// The pause after a failure.
pub(super) const PAUSE: Duration = Duration::from_millis(10);
/// Numbers of one round are apart from those of the next by this.
const ROUND: u64 = 1 << 40;
/// Those of one client from those of the next by this.
const CLIENT: u64 = 1 << 24;

/// What the clients saw.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Seen {
    pub(super) acknowledged: u64,
    killed: Option<Instant>,
    /// When the first write that was begun after the kill was acknowledged.
    pub(super) first_after: Option<Instant>,
}

/// Clients at work; dropping it ends them.
pub(super) struct Writers {
    seen: Arc<Mutex<Seen>>,
    enough: Arc<AtomicBool>,
    tasks: JoinSet<()>,
}

impl Writers {
    /// So many clients of a store.
    pub(super) fn start(store: &dyn Store, count: u32, round: u32) -> Self {
        let mut writers = Self { seen: Arc::default(), enough: Arc::default(), tasks: JoinSet::new() };
        for number in 0..count {
            let client = Client {
                clients: store.clients().clone(),
                write: store.write(),
                number,
                first: u64::from(round) * ROUND + u64::from(number) * CLIENT,
                seen: Arc::clone(&writers.seen),
                enough: Arc::clone(&writers.enough),
            };
            writers.tasks.spawn(client.work());
        }
        writers
    }

    /// Remembers when the leader was dead.
    pub(super) fn killed(&self, at: Instant) {
        lock(&self.seen).killed = Some(at);
    }

    /// Waits until the clients have seen enough.
    ///
    /// # Errors
    /// With the complaint, when that takes too long.
    pub(super) async fn until(
        &self,
        complaint: &str,
        patience: Duration,
        enough: impl Fn(&Seen) -> bool,
    ) -> anyhow::Result<Seen> {
        let limit = Instant::now() + patience;
        loop {
            let seen = *lock(&self.seen);
            if enough(&seen) {
                return Ok(seen);
            }
            if Instant::now() > limit {
                bail!("{complaint}, {} writes were acknowledged", seen.acknowledged);
            }
            sleep(LOOK).await;
        }
    }

    /// Lets every client finish what it has begun.
    pub(super) async fn stop(mut self) {
        self.enough.store(true, Ordering::Relaxed);
        while self.tasks.join_next().await.is_some() {}
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Client {
    clients: Clients,
    write: Write,
    number: u32,
    first: u64,
    seen: Arc<Mutex<Seen>>,
    enough: Arc<AtomicBool>,
}

impl Client {
    async fn work(self) {
        let mut member = self.number as usize;
        for value in self.first.. {
            if self.enough.load(Ordering::Relaxed) {
                return;
            }
            let ask = (self.write)(self.number, value);
            let begun = Instant::now();
            let reply = timeout(TRY_MAX, self.clients.ask(member % MEMBERS, &ask)).await;
            if reply.is_ok_and(|reply| reply.ok().is_some()) {
                self.acknowledged(begun);
            } else {
                member += 1;
                sleep(PAUSE).await;
            }
        }
    }

    fn acknowledged(&self, begun: Instant) {
        let mut seen = lock(&self.seen);
        seen.acknowledged += 1;
        if seen.first_after.is_none() && seen.killed.is_some_and(|killed| begun >= killed) {
            seen.first_after = Some(Instant::now());
        }
    }
}
