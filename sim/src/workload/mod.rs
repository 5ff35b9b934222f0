//! Clients: they use a cluster over its HTTP interface as anybody would, and record what they did. The same code drives
//! simulated nodes and real ones; what differs is the [`Outside`] they stand in.

mod calls;
mod exchange;
mod limited;
pub mod operator;
mod probes;
mod reads;
mod writes;

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use crate::history::{Entry, History, What};
use crate::scenario::Load;
pub use exchange::{Ask, Reply};
pub use limited::{LIMIT, PAID};
pub use wire::net::BoxIo;

/// How long a client waits for a whole answer, or for the next piece of a stream. Longer than any limit of a node.
pub const PATIENCE: Duration = Duration::from_secs(25);
/// Requests that one load has under way at most; more are left out, as clients do that wait for each other.
const UNDER_WAY_MAX: u32 = 256;
/// Registers written and read.
const REGISTERS: u64 = 4;
/// The pause after a call that failed, so that a dead node is not asked in a tight loop.
const PAUSE: Duration = Duration::from_millis(100);

/// Where clients stand: how they reach nodes, what time it is, what chance they have.
#[async_trait]
pub trait Outside: Send + Sync + 'static {
    /// Time on the driver's clock.
    fn now(&self) -> Duration;
    /// A draw.
    fn draw(&self) -> u64;
    /// How many nodes there are.
    fn nodes(&self) -> usize;
    /// Whom to ask next: any node, up or not; a client does not know.
    fn any_node(&self) -> usize {
        (self.draw() % self.nodes().max(1) as u64) as usize
    }
    /// A connection to a node's HTTP port.
    async fn dial(&self, node: usize) -> io::Result<BoxIo>;
}

/// What all clients of a run share.
#[derive(Clone)]
pub struct Clients {
    /// Where they stand.
    pub outside: Arc<dyn Outside>,
    /// An admin key; empty where none is asked for.
    pub key: Arc<str>,
    /// Where they record.
    pub history: Arc<History>,
    /// Set when they are to finish.
    pub enough: Arc<AtomicBool>,
    /// Clients that have not finished.
    busy: Arc<AtomicU32>,
}

impl Clients {
    /// Clients with an admin key.
    pub fn new(outside: Arc<dyn Outside>, key: &str, history: Arc<History>) -> Self {
        Self { outside, key: key.into(), history, enough: Arc::default(), busy: Arc::default() }
    }

    /// Starts a scenario's load on the current runtime.
    pub fn start(&self, load: &[Load]) {
        for load in load {
            match load {
                Load::Writes(per_second) => {
                    let book = Arc::new(writes::Book::default());
                    self.pace(*per_second, move |clients| writes::change(clients, book.clone()));
                }
                Load::Reads(per_second) => self.pace(*per_second, reads::registers),
                Load::Chats(model, per_second) => {
                    let model = model.clone();
                    self.pace(*per_second, move |clients| calls::chat(clients, model.clone()));
                }
                Load::Probes(model, per_second) => {
                    let model = model.clone();
                    self.pace(*per_second, move |clients| probes::probe(clients, model.clone()));
                }
                Load::Limited(model, per_second) => {
                    let (model, keys) = (model.clone(), Arc::new(limited::Keys::default()));
                    self.pace(*per_second, move |clients| {
                        limited::chat(clients, model.clone(), keys.clone())
                    });
                }
                Load::Streams(model, at_a_time) => {
                    (0..*at_a_time).for_each(|_| self.keep_streaming(model.clone()));
                }
            }
        }
    }

    /// Whether all of them have finished.
    pub fn are_done(&self) -> bool {
        self.busy.load(Ordering::Relaxed) == 0
    }

    /// Whom to ask next: any node, up or not; a client does not know.
    pub fn any_node(&self) -> usize {
        self.outside.any_node()
    }

    /// Starts an action so many times a second, whether or not earlier ones have ended.
    fn pace<F, A>(&self, per_second: u32, action: A)
    where
        A: Fn(Clients) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let clients = self.clone();
        let busy = Busy::new(&self.busy);
        let under_way = Arc::new(AtomicU32::new(0));
        tokio::spawn(async move {
            let _busy = busy;
            let mut ticks = tokio::time::interval(Duration::from_secs(1) / per_second.max(1));
            ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            while !clients.enough.load(Ordering::Relaxed) {
                ticks.tick().await;
                if under_way.load(Ordering::Relaxed) >= UNDER_WAY_MAX {
                    continue;
                }
                let (one, busy) = (Busy::new(&under_way), Busy::new(&clients.busy));
                let act = action(clients.clone());
                tokio::spawn(async move {
                    act.await;
                    drop((one, busy));
                });
            }
        });
    }

    fn keep_streaming(&self, model: String) {
        let clients = self.clone();
        let busy = Busy::new(&self.busy);
        tokio::spawn(async move {
            let _busy = busy;
            while !clients.enough.load(Ordering::Relaxed) {
                if !calls::stream(clients.clone(), model.clone()).await {
                    tokio::time::sleep(PAUSE).await;
                }
            }
        });
    }

    fn record(&self, node: usize, start: Duration, what: What) {
        self.history.add(Entry { node, start, end: self.outside.now(), what });
    }
}

/// One of something that is counted while it lasts.
struct Busy(Arc<AtomicU32>);

impl Busy {
    fn new(count: &Arc<AtomicU32>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The name of a register.
fn register(number: u64) -> String {
    format!("register-{number}")
}
