//! All that others see of the limiter. It outlives the actor's restarts: the leases are in here.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use domain::decide::limiter::{self, Need, Pool};
use domain::key::Key;
use domain::limit::{Ask, Command, CounterId, Lease, LeaseId, Limit, Unit};
use domain::limits::ASKS_MAX;
use domain::{Command as Change, Incarnation, KeyId, Millis, NodeId, View};
use ractor::ActorRef;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use super::account::{Account, Reservation};
use super::actor::Msg;
use super::refusal::{Reason, Refusal};
use crate::monotonic::{Monotonic, millis};
use crate::ports::ViewCell;

/// How long a call waits for the cluster to grant what it needs, and how long the cluster may fail to grant anything before
/// calls are refused at once.
pub(super) const GRANT_WAIT_MS: Millis = 2_000;

/// How long a call waits at least.
const ASK_WAIT_MS: Millis = 50;

/// How a limit stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The limit.
    pub limit: Limit,
    /// What is left of this window, as far as this node knows.
    pub left: u64,
    /// When the next window begins, from now in milliseconds.
    pub reset_ms: Millis,
}

/// A call that may be made.
pub struct Admitted {
    /// What it took.
    pub reservation: Reservation,
    /// How its key's limits stand now.
    pub standings: Vec<Standing>,
}

/// What the node holds of all limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leased {
    /// Of each unit, in the order of [`Unit::ALL`], what was given to this node and not used.
    pub units: [u64; Unit::ALL.len()],
    /// Keys with leases here.
    pub keys: u64,
}

/// A command under way, and what it is about.
pub struct Round {
    /// To be proposed.
    pub command: Change,
    asks: Vec<(Arc<Account>, Ask)>,
}

struct Shared {
    me: NodeId,
    incarnation: Incarnation,
    clock: Monotonic,
    view: ViewCell,
    accounts: ArcSwap<BTreeMap<KeyId, Arc<Account>>>,
    /// Taken by whoever changes `accounts`.
    writing: Mutex<()>,
    seq: AtomicU64,
    /// The cluster's clock less this node's, as of the last answer; 0 before the first.
    offset: AtomicU64,
    /// Since when the cluster has granted nothing although asked; 0 while it does.
    asking_since: AtomicU64,
    failure: ArcSwapOption<String>,
    woken: AtomicBool,
    /// Calls that wait.
    waiting: AtomicU64,
    mailbox: ArcSwapOption<ActorRef<Msg>>,
}

/// The node's limiter.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// The limiter of this life of a node.
    pub fn new(me: NodeId, incarnation: Incarnation, view: ViewCell, clock: Monotonic) -> Self {
        let shared = Shared {
            me,
            incarnation,
            clock,
            view,
            accounts: ArcSwap::default(),
            writing: Mutex::default(),
            seq: AtomicU64::new(0),
            offset: AtomicU64::new(0),
            asking_since: AtomicU64::new(0),
            failure: ArcSwapOption::empty(),
            woken: AtomicBool::new(false),
            waiting: AtomicU64::new(0),
            mailbox: ArcSwapOption::empty(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes from all of a key's limits what a call needs, waiting for the cluster to grant it if need be. A key without
    /// limits must not come here.
    ///
    /// # Errors
    /// The limit that does not let it through.
    pub async fn admit(&self, key: &Key, need: Need) -> Result<Admitted, Refusal> {
        let came = self.shared.clock.now();
        let mut waiting = None;
        loop {
            let account = self.account(key.id);
            let mut changed = std::pin::pin!(account.changed.notified());
            changed.as_mut().enable();
            let now = self.shared.clock.now();
            let refusal = match self.take(&account, key, &need, now) {
                Taken::All(admitted) => return Ok(admitted),
                Taken::Forgotten => continue,
                Taken::Nothing(refusal) => refusal,
            };
            let until = self.patience(came);
            if !matches!(refusal.reason, Reason::NotGranted(_)) || until <= now {
                return Err(refusal);
            }
            waiting.get_or_insert_with(|| Waiting::new(&self.shared, &account, &key.limits, &need));
            self.wake();
            let _ = timeout_at(Instant::now() + millis(until - now), changed).await;
        }
    }

    fn take(&self, account: &Arc<Account>, key: &Key, need: &Need, now: Millis) -> Taken {
        let view = self.shared.view.peek();
        let mut book = account.book();
        if book.closed {
            return Taken::Forgotten;
        }
        book.follow(&key.limits, now);
        match book.take(|limit| need.reserve(limit), now) {
            Some(held) => {
                let standing = |pool: &Pool| self.standing(&view, key.id, pool, now);
                let standings = book.pools.iter().map(standing).collect();
                drop(book);
                Taken::All(Admitted { reservation: Reservation::new(account.clone(), held), standings })
            }
            None => Taken::Nothing(self.refusal(&view, key.id, &book.pools, need, now)),
        }
    }

    /// Until when a call that came then waits for a grant: not again and again for a cluster that has granted nothing for
    /// long, but for a moment always, so that it is asked.
    fn patience(&self, came: Millis) -> Millis {
        match self.shared.asking_since.load(Ordering::Relaxed) {
            0 => came + GRANT_WAIT_MS,
            since => came.min(since).saturating_add(GRANT_WAIT_MS).max(came + ASK_WAIT_MS),
        }
    }

    fn account(&self, key: KeyId) -> Arc<Account> {
        if let Some(account) = self.shared.accounts.load().get(&key) {
            return account.clone();
        }
        let _writing = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut accounts = (**self.shared.accounts.load()).clone();
        let account = accounts.entry(key).or_insert_with(|| Arc::new(Account::new(key))).clone();
        self.shared.accounts.store(Arc::new(accounts));
        account
    }

    /// The cluster's clock, as far as this node can tell: ahead of it by no more than an answer takes.
    fn cluster_now(&self, view: &View, now: Millis) -> Millis {
        match self.shared.offset.load(Ordering::Relaxed) {
            0 => view.state.clock(),
            offset => (offset + now).max(view.state.clock()),
        }
    }

    fn room(&self, view: &View, key: KeyId, limit: &Limit, now: Millis) -> u64 {
        let counter = view.state.limit_counters.get(&limit.counter(key));
        limiter::room(counter.map(|c| &**c), limit, self.cluster_now(view, now))
    }

    fn standing(&self, view: &View, key: KeyId, pool: &Pool, now: Millis) -> Standing {
        let limit = *pool.limit();
        let left = self.room(view, key, &limit, now).saturating_add(pool.free(now)).min(limit.amount);
        let (at, window) = (self.cluster_now(view, now), limit.window_ms);
        let rest = limiter::window_at(at, window) + window - at;
        Standing { limit, left, reset_ms: pool.ends(now).map_or(rest, |ends| ends - now) }
    }

    /// Why a call cannot go on now: for a limit that does not let it through at all, if there is one; else for one whose
    /// lease must be larger first.
    fn refusal(&self, view: &View, key: KeyId, pools: &[Pool], need: &Need, now: Millis) -> Refusal {
        let mut first = None;
        for pool in pools.iter().filter(|pool| pool.free(now) < need.reserve(pool.limit())) {
            let Standing { limit, left, reset_ms } = self.standing(view, key, pool, now);
            let (reason, asked) = match (need.too_large(&limit), need.reserve(&limit)) {
                (Some(asked), _) => (Reason::TooLarge, asked),
                (None, asked) if left < asked => (Reason::Exhausted, asked),
                (None, asked) => (Reason::NotGranted(self.failure()), asked),
            };
            let last = matches!(reason, Reason::NotGranted(_));
            let refusal = Refusal { limit, reason, asked, left, reset_ms };
            if !last {
                return refusal;
            }
            first.get_or_insert(refusal);
        }
        let none = Limit { unit: Unit::Requests, amount: 0, window_ms: 1 };
        let reason = Reason::NotGranted(self.failure());
        first.unwrap_or(Refusal { limit: none, reason, asked: 1, left: 0, reset_ms: 0 })
    }

    /// Why the cluster granted nothing lately.
    fn failure(&self) -> String {
        let why = self.shared.failure.load_full();
        why.map_or_else(|| "no leader has answered in time".to_owned(), |why| (*why).clone())
    }

    /// What the node holds of all limits.
    pub fn leased(&self) -> Leased {
        let now = self.shared.clock.now();
        let accounts = self.shared.accounts.load_full();
        let mut leased = Leased { keys: accounts.len() as u64, ..Leased::default() };
        for account in accounts.values() {
            for pool in &account.book().pools {
                leased.units[pool.limit().unit as usize] += pool.outstanding(now);
            }
        }
        leased
    }

    /// Whether a call waits for the cluster.
    pub(super) fn is_waited_for(&self) -> bool {
        self.shared.waiting.load(Ordering::Relaxed) > 0
    }

    /// Gives back everything that no call uses, because the node stops.
    pub(crate) async fn give_back(&self, limit: Duration) {
        let (told, done) = oneshot::channel();
        if let Some(mailbox) = self.shared.mailbox.load_full()
            && mailbox.send_message(Msg::Stop(told)).is_ok()
            && tokio::time::timeout(limit, done).await.is_err()
        {
            tracing::info!(
                "leases on limits could not be given back: they count as used until their windows end"
            );
        }
    }

    pub(super) fn open(&self, mailbox: ActorRef<Msg>) {
        self.shared.mailbox.store(Some(Arc::new(mailbox)));
        self.shared.woken.store(false, Ordering::Release);
    }

    /// Has the actor look, once.
    fn wake(&self) {
        if self.shared.woken.swap(true, Ordering::AcqRel) {
            return;
        }
        if let Some(mailbox) = &*self.shared.mailbox.load() {
            // An actor that is over is started again and looks then.
            let _ = mailbox.send_message(Msg::Look);
        }
    }

    /// What to propose now, if anything. With `all`, the node keeps nothing that no call uses: it stops. One round is to be
    /// over before the next begins.
    pub fn round(&self, all: bool) -> Option<Round> {
        self.shared.woken.store(false, Ordering::Release);
        let (now, view) = (self.shared.clock.now(), self.shared.view.load());
        let nodes = view.state.nodes.len() as u64;
        let seq = self.shared.seq.load(Ordering::Relaxed) + 1;
        let mut asks = Vec::new();
        let accounts = self.shared.accounts.load_full();
        for account in accounts.values() {
            self.catch_up(&view, account);
            let mut book = account.book();
            for pool in &mut book.pools {
                if asks.len() == ASKS_MAX {
                    break;
                }
                if all {
                    pool.rest();
                }
                let room = self.room(&view, account.key, pool.limit(), now);
                asks.extend(pool.ask(account.key, seq, room, now, nodes).map(|ask| (account.clone(), ask)));
            }
        }
        self.forget_idle(now);
        if asks.is_empty() {
            return None;
        }
        self.shared.seq.store(seq, Ordering::Relaxed);
        let _ =
            self.shared.asking_since.compare_exchange(0, now.max(1), Ordering::Relaxed, Ordering::Relaxed);
        let (node, incarnation) = (self.shared.me, self.shared.incarnation);
        let list = asks.iter().map(|(_, ask)| *ask).collect();
        let command = Change::Limit(Command::Refill { node, incarnation, seq, asks: list });
        Some(Round { command, asks })
    }

    /// Takes in what became of a round.
    pub fn over(&self, round: Round, outcome: Result<(), String>) {
        let (view, applied) = (self.shared.view.load(), outcome.is_ok());
        match outcome {
            Ok(()) => {
                self.shared.asking_since.store(0, Ordering::Relaxed);
                self.shared.failure.store(None);
            }
            Err(why) => self.shared.failure.store(Some(Arc::new(why))),
        }
        for (account, ask) in round.asks {
            let lease = self.lease(&view, ask.counter);
            account.update(|book| {
                if let Some(pool) =
                    book.pools.iter_mut().find(|p| p.limit().counter(account.key) == ask.counter)
                {
                    self.seen(pool, lease.as_ref(), applied);
                }
            });
        }
    }

    /// Takes in what an earlier round led to whose outcome was not known then.
    fn catch_up(&self, view: &View, account: &Account) {
        if self.shared.failure.load().is_none() {
            return;
        }
        account.update(|book| {
            for pool in &mut book.pools {
                let lease = self.lease(view, pool.limit().counter(account.key));
                self.seen(pool, lease.as_ref(), false);
            }
        });
    }

    /// The node's own lease, as the cluster has it.
    fn lease(&self, view: &View, counter: CounterId) -> Option<Lease> {
        let id = LeaseId { counter, node: self.shared.me };
        let lease = view.state.limit_leases.get(&id)?;
        (lease.incarnation == self.shared.incarnation).then_some(**lease)
    }

    fn seen(&self, pool: &mut Pool, lease: Option<&Lease>, applied: bool) {
        if let (Some(sent), Some(lease)) = (pool.seen(lease, applied), lease) {
            self.shared.offset.store(lease.at.saturating_sub(sent), Ordering::Relaxed);
        }
    }

    /// Forgets keys that nothing is known of that matters.
    fn forget_idle(&self, now: Millis) {
        let accounts = self.shared.accounts.load_full();
        let idle = |account: &Account| account.book().pools.iter().all(|pool| pool.is_idle(now));
        if !accounts.values().any(|account| idle(account)) {
            return;
        }
        let _writing = self.shared.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut accounts = (**self.shared.accounts.load()).clone();
        accounts.retain(|_, account| {
            let mut book = account.book();
            book.closed = book.pools.iter().all(|pool| pool.is_idle(now));
            !book.closed
        });
        self.shared.accounts.store(Arc::new(accounts));
    }
}

/// What came of a try.
enum Taken {
    /// The call may be made.
    All(Admitted),
    /// It cannot be made now.
    Nothing(Refusal),
    /// The account was forgotten meanwhile.
    Forgotten,
}

/// A call that waits, until it does no more.
struct Waiting {
    shared: Arc<Shared>,
    account: Arc<Account>,
    needs: Vec<(Limit, u64)>,
}

impl Waiting {
    fn new(shared: &Arc<Shared>, account: &Arc<Account>, limits: &[Limit], need: &Need) -> Self {
        let needs: Vec<(Limit, u64)> = limits.iter().map(|limit| (*limit, need.reserve(limit))).collect();
        let waiting = Self { shared: shared.clone(), account: account.clone(), needs };
        shared.waiting.fetch_add(1, Ordering::Relaxed);
        waiting.each(Pool::wait);
        waiting
    }

    fn each(&self, change: impl Fn(&mut Pool, u64)) {
        let mut book = self.account.book();
        for (limit, units) in &self.needs {
            if let Some(pool) = book.pool(limit) {
                change(pool, *units);
            }
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.each(Pool::unwait);
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
