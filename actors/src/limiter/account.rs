//! A key's leases on this node, and what calls take from them. All limits of a key are taken from at once or none is. The
//! lock is held for a few comparisons and never while waiting.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::decide::limiter::{Hold, Pool, Used};
use domain::limit::Limit;
use domain::{KeyId, Millis};
use tokio::sync::Notify;

/// A key's leases.
pub(super) struct Account {
    pub(super) key: KeyId,
    book: Mutex<Book>,
    /// Told when there may be more to take.
    pub(super) changed: Notify,
}

/// What the lock guards.
pub(super) struct Book {
    pub(super) pools: Vec<Pool>,
    /// It was forgotten: who still has it must look for the key's account anew.
    pub(super) closed: bool,
}

impl Account {
    pub(super) fn new(key: KeyId) -> Self {
        let book = Book { pools: Vec::new(), closed: false };
        Self { key, book: Mutex::new(book), changed: Notify::new() }
    }

    /// Poisoning cannot leave these half changed, so it is passed over.
    pub(super) fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in what became of an ask; tells those that wait.
    pub(super) fn update(&self, change: impl FnOnce(&mut Book)) {
        change(&mut self.book());
        self.changed.notify_waiters();
    }
}

impl Book {
    /// Has a pool for each of the key's limits, and no others.
    pub(super) fn follow(&mut self, limits: &[Limit], now: Millis) {
        let same = |pool: &Pool, limit: &Limit| {
            (pool.limit().unit, pool.limit().window_ms) == (limit.unit, limit.window_ms)
        };
        if self.pools.len() == limits.len() && self.pools.iter().zip(limits).all(|(p, l)| p.limit() == l) {
            return;
        }
        let mut old = std::mem::take(&mut self.pools);
        for limit in limits {
            let mut pool = match old.iter().position(|pool| same(pool, limit)) {
                Some(at) => old.swap_remove(at),
                None => Pool::new(*limit, now),
            };
            pool.set_amount(limit.amount);
            self.pools.push(pool);
        }
    }

    /// Takes from every pool what `units` says of its limit, or from none.
    pub(super) fn take(&mut self, units: impl Fn(&Limit) -> u64, now: Millis) -> Option<Vec<Held>> {
        let enough = self.pools.iter().all(|pool| pool.free(now) >= units(pool.limit()));
        if !enough {
            self.pools.iter_mut().for_each(|pool| pool.touch(now));
            return None;
        }
        let take = |pool: &mut Pool| {
            let limit = *pool.limit();
            pool.take(units(&limit), now).map(|hold| Held { limit, hold })
        };
        Some(self.pools.iter_mut().filter_map(take).collect())
    }

    pub(super) fn pool(&mut self, limit: &Limit) -> Option<&mut Pool> {
        let id = (limit.unit, limit.window_ms);
        self.pools.iter_mut().find(|pool| (pool.limit().unit, pool.limit().window_ms) == id)
    }
}

/// What was taken from one limit.
pub(super) struct Held {
    limit: Limit,
    hold: Hold,
}

/// What a call took from its key's limits, until it is known what it used. Dropped, all of it counts as used.
pub struct Reservation {
    account: Arc<Account>,
    held: Vec<Held>,
}

impl Reservation {
    pub(super) fn new(account: Arc<Account>, held: Vec<Held>) -> Self {
        Self { account, held }
    }

    /// The call was made and used this.
    pub fn settle(mut self, used: Used) {
        self.close(|held| used.of(held.limit.unit));
    }

    /// The call was not made.
    pub fn cancel(mut self) {
        self.close(|_| 0);
    }

    fn close(&mut self, used: impl Fn(&Held) -> u64) {
        if self.held.is_empty() {
            return;
        }
        let held = std::mem::take(&mut self.held);
        self.account.update(|book| {
            for held in held {
                if let Some(pool) = book.pool(&held.limit) {
                    pool.settle(held.hold, used(&held));
                }
            }
        });
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.close(|held| held.hold.units);
    }
}
