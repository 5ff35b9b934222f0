//! What this node knows, kept in one place: the state machine posts what it applied, a watcher posts who leads, and each
//! change goes to the runtime through one function, in order. Waiting for an index or a leader happens here too.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::{Envelope, NodeId, Reject, State};
use tokio::sync::{oneshot, watch};

use crate::raft::StoredMembership;
use crate::time::Time;

/// What a node knows after an applied batch or a change of leader or membership. Cloning it costs nothing.
#[derive(Debug, Clone, Default)]
pub struct Published {
    /// The tables.
    pub state: State,
    /// Log index up to which they are applied.
    pub applied: u64,
    /// The leader, as far as this node knows.
    pub leader: Option<NodeId>,
    /// Raft's term.
    pub term: u64,
    /// Nodes that vote, as of `applied`; during a change both the old and the new ones.
    pub voters: Arc<BTreeSet<NodeId>>,
    /// Nodes that only follow, as of `applied`.
    pub learners: Arc<BTreeSet<NodeId>>,
    /// Where each of them listens, as of `applied`.
    pub addrs: Arc<BTreeMap<NodeId, String>>,
}

/// Takes what a node knows now. Called in order, never twice at once, on consensus' own tasks: it must not block.
pub type Publish = Arc<dyn Fn(Published) + Send + Sync>;

pub(crate) struct Board {
    now: Mutex<Published>,
    publish: Publish,
    time: Arc<Time>,
    waiting: Mutex<Waiting>,
    leader: watch::Sender<(u64, Option<NodeId>)>,
    /// Addresses as of the newest membership known, committed or not: what calls go by.
    book: Mutex<BTreeMap<NodeId, String>>,
}

impl Board {
    pub(crate) fn new(publish: Publish, time: Arc<Time>) -> Self {
        Self {
            now: Mutex::default(),
            publish,
            time,
            waiting: Mutex::default(),
            leader: watch::Sender::new((0, None)),
            book: Mutex::default(),
        }
    }

    /// Posts the tables after a batch, or as they were found at start or in a snapshot.
    pub(crate) fn applied(&self, state: &State, index: u64, membership: Option<&StoredMembership>) {
        self.time.reach(state.clock());
        let mut now = lock(&self.now);
        now.state = state.clone();
        now.applied = index;
        if let Some(membership) = membership {
            now.voters = Arc::new(membership.voter_ids().map(NodeId).collect());
            now.learners = Arc::new(membership.membership().learner_ids().map(NodeId).collect());
            now.addrs = Arc::new(addresses(membership));
        }
        (self.publish)(now.clone());
        drop(now);
        let mut waiting = lock(&self.waiting);
        waiting.applied = index;
        let later = waiting.by_index.split_off(&(index + 1));
        for told in std::mem::replace(&mut waiting.by_index, later).into_values().flatten() {
            // Whoever does not wait any more does not need to know.
            let _ = told.send(());
        }
    }

    /// Posts who leads.
    pub(crate) fn leads(&self, term: u64, leader: Option<NodeId>) {
        let mut now = lock(&self.now);
        if (now.term, now.leader) == (term, leader) {
            return;
        }
        (now.term, now.leader) = (term, leader);
        (self.publish)(now.clone());
        drop(now);
        self.leader.send_replace((term, leader));
    }

    pub(crate) fn set_book(&self, membership: &StoredMembership) {
        *lock(&self.book) = addresses(membership);
    }
    pub(crate) fn addr(&self, id: NodeId) -> Option<String> {
        lock(&self.book).get(&id).cloned()
    }
    /// The first other member after this one, beginning anew after the last.
    pub(crate) fn member_after(&self, last: NodeId, me: NodeId) -> Option<(NodeId, String)> {
        let book = lock(&self.book);
        let later = book.range((Bound::Excluded(last), Bound::Unbounded));
        let mut others = later.chain(book.iter()).filter(|(id, _)| **id != me);
        others.next().map(|(id, addr)| (*id, addr.clone()))
    }
    pub(crate) fn now(&self) -> Published {
        lock(&self.now).clone()
    }
    /// Whether the cluster, as far as it is known here, takes a command of this feature level.
    pub(crate) fn admits(&self, envelope: &Envelope) -> Result<(), Reject> {
        lock(&self.now).state.admits(envelope)
    }
    /// The cluster's feature level, as far as it is known here.
    pub(crate) fn level(&self) -> u16 {
        lock(&self.now).state.level()
    }
    pub(crate) fn leader(&self) -> Option<NodeId> {
        self.leader.borrow().1
    }
    pub(crate) fn watch_leader(&self) -> watch::Receiver<(u64, Option<NodeId>)> {
        self.leader.subscribe()
    }

    /// Resolves when everything up to `index` is applied here.
    pub(crate) async fn reached(&self, index: u64) -> u64 {
        let told = {
            let mut waiting = lock(&self.waiting);
            if waiting.applied >= index {
                return waiting.applied;
            }
            let (tell, told) = oneshot::channel();
            waiting.by_index.entry(index).or_default().push(tell);
            told
        };
        // The other half lives as long as `self`, so this cannot fail.
        let _ = told.await;
        index
    }
}

/// Who waits for what to be applied. Each is woken once, when it is there: with one signal for all, every batch would wake
/// everyone.
#[derive(Default)]
struct Waiting {
    applied: u64,
    by_index: BTreeMap<u64, Vec<oneshot::Sender<()>>>,
}

fn addresses(membership: &StoredMembership) -> BTreeMap<NodeId, String> {
    membership.nodes().map(|(id, node)| (NodeId(*id), node.addr.clone())).collect()
}

/// Locks; what is inside stays whole even if a holder panicked, since every change is a plain assignment.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
