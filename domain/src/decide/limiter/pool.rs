//! A node's lease on one limit, as the node keeps it: calls take from it before they are made and settle after, and from
//! what they take follows what the node asks for or gives back. Only [`Pool::seen`] makes it larger.

use std::collections::BTreeMap;

use crate::ids::{KeyId, Millis};
use crate::limit::{Ask, Lease, Limit};

/// A node has in hand what it takes in this time.
pub const HORIZON_MS: Millis = 1_000;
/// Without a call for this long, a node gives everything back.
pub const IDLE_MS: Millis = 2_000;
/// How often the rate of calls is looked at.
const RATE_EVERY_MS: Millis = 200;
/// What a node likes to have in hand before it knows its rate: the limit over this and over the number of nodes.
const FIRST_SHARE: u64 = 32;
/// The most it likes to have in hand: the limit over this and over the number of nodes.
const LARGEST_SHARE: u64 = 4;

/// What a call took from a pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// How much.
    pub units: u64,
    window: Millis,
}

impl Hold {
    /// The window it was taken from, by its beginning on the cluster's clock.
    pub fn window(&self) -> Millis {
        self.window
    }
}

/// A node's lease on a limit. Times are of the node's monotonic clock.
#[derive(Debug, Clone)]
pub struct Pool {
    limit: Limit,
    /// The window of the lease; 0 without one.
    window: Millis,
    /// When it ends here: no later than on the cluster's clock.
    ends: Millis,
    granted: u64,
    /// What may be used of it: less than `granted` while the rest is on its way back.
    ceiling: u64,
    spent: u64,
    held: u64,
    /// What the last ask said was used.
    told: u64,
    /// The last ask's number, and when it was sent.
    sent: (u64, Millis),
    /// Calls that wait, by what they need.
    waiting: BTreeMap<u64, u32>,
    /// Taken since the rate was looked at.
    taken: u64,
    looked: Millis,
    /// Thousandths of a unit per second.
    rate: u64,
    /// When a call came last; `None` when no more are expected.
    last_use: Option<Millis>,
}

impl Pool {
    /// A pool with nothing in it.
    pub fn new(limit: Limit, now: Millis) -> Self {
        Self {
            limit,
            window: 0,
            ends: 0,
            granted: 0,
            ceiling: 0,
            spent: 0,
            held: 0,
            told: 0,
            sent: (0, 0),
            waiting: BTreeMap::new(),
            taken: 0,
            looked: now,
            rate: 0,
            last_use: Some(now),
        }
    }

    /// What it is a lease on.
    pub fn limit(&self) -> &Limit {
        &self.limit
    }

    /// The limit has another amount.
    pub fn set_amount(&mut self, amount: u64) {
        self.limit.amount = amount;
    }

    /// What can be taken now.
    pub fn free(&self, now: Millis) -> u64 {
        if now < self.ends { self.ceiling.saturating_sub(self.used()) } else { 0 }
    }

    /// What was given and is neither used nor on its way back, for others to see.
    pub fn outstanding(&self, now: Millis) -> u64 {
        if now < self.ends { self.granted.saturating_sub(self.spent) } else { 0 }
    }

    /// When the window ends, while there is a lease on it.
    pub fn ends(&self, now: Millis) -> Option<Millis> {
        (now < self.ends).then_some(self.ends)
    }

    /// Takes so much for a call, if it is there.
    pub fn take(&mut self, units: u64, now: Millis) -> Option<Hold> {
        self.last_use = Some(now);
        if self.free(now) < units {
            return None;
        }
        self.held += units;
        self.taken = self.taken.saturating_add(units);
        Some(Hold { units, window: self.window })
    }

    /// The call used so much of what it took. What it did not use can be taken again, in the same window; what it used
    /// beyond is paid by this window or the next.
    pub fn settle(&mut self, hold: Hold, used: u64) {
        if hold.window == self.window {
            self.held = self.held.saturating_sub(hold.units);
            self.spent = self.spent.saturating_add(used);
        } else {
            self.spent = self.spent.saturating_add(used.saturating_sub(hold.units));
        }
    }

    /// A call waits for so much.
    pub fn wait(&mut self, units: u64) {
        *self.waiting.entry(units).or_default() += 1;
    }

    /// A call waits no longer.
    pub fn unwait(&mut self, units: u64) {
        if let Some(count) = self.waiting.get_mut(&units) {
            *count -= 1;
            if *count == 0 {
                self.waiting.remove(&units);
            }
        }
    }

    /// A call would have taken something.
    pub fn touch(&mut self, now: Millis) {
        self.last_use = Some(now);
    }

    /// No more calls are expected: nothing is kept in hand.
    pub fn rest(&mut self) {
        (self.last_use, self.rate) = (None, 0);
    }

    /// Whether nothing is known here that matters: no lease, no call now or lately, no debt.
    pub fn is_idle(&self, now: Millis) -> bool {
        let empty = self.waiting.is_empty() && self.held == 0 && self.over() == 0;
        empty && self.outstanding(now) == 0 && !self.is_active(now)
    }

    /// Whether a call came lately.
    fn is_active(&self, now: Millis) -> bool {
        self.last_use.is_some_and(|at| now < at + IDLE_MS)
    }

    /// Used, or held by calls under way.
    fn used(&self) -> u64 {
        self.spent.saturating_add(self.held)
    }

    /// Used beyond the lease.
    fn over(&self) -> u64 {
        self.used().saturating_sub(self.granted)
    }

    /// What the node likes to have in hand.
    fn spare(&self, now: Millis, nodes: u64) -> u64 {
        if !self.is_active(now) {
            return 0;
        }
        let nodes = nodes.max(1);
        let first = self.limit.amount / (FIRST_SHARE * nodes);
        let largest = self.limit.amount / (LARGEST_SHARE * nodes);
        (self.rate.saturating_mul(HORIZON_MS) / 1_000_000).max(first).min(largest)
    }

    fn look_at_rate(&mut self, now: Millis) {
        let passed = now.saturating_sub(self.looked);
        if passed < RATE_EVERY_MS {
            return;
        }
        let rate = self.taken.saturating_mul(1_000_000) / passed;
        let weigh = |rate: u64, weight: u64| u128::from(rate) * u128::from(weight);
        let mixed = (weigh(self.rate, 1_000) + weigh(rate, passed)) / u128::from(1_000 + passed);
        (self.rate, self.taken, self.looked) = (u64::try_from(mixed).unwrap_or(u64::MAX), 0, now);
    }

    /// Whether so much less is in hand than the node likes that it should ask for more, without a call that waits.
    fn is_low(&self, now: Millis, nodes: u64) -> bool {
        let spare = self.spare(now, nodes);
        spare > 0 && self.free(now) <= spare / 2
    }

    /// What to ask the cluster for, under this number, if there is reason to. `room` is what the cluster seems to have left.
    /// What is asked for less than there is cannot be taken from this moment on.
    pub fn ask(&mut self, key: KeyId, seq: u64, room: u64, now: Millis, nodes: u64) -> Option<Ask> {
        self.look_at_rate(now);
        let spare = self.spare(now, nodes);
        let free = self.free(now);
        // At rest, the cluster is told what was used, so that it shows, and the lease is forgotten there.
        let rests = !self.is_active(now) && now < self.ends && self.held == 0;
        let returns = rests || free > spare.saturating_mul(2).saturating_add(1);
        let asks = !self.waiting.is_empty() || (room > 0 && self.is_low(now, nodes));
        if !asks && !returns && self.over() == 0 {
            return None;
        }
        let need = self.waiting.iter().map(|(units, count)| units.saturating_mul(u64::from(*count)));
        let need = need.fold(0, u64::saturating_add);
        let least = self.waiting.keys().next().copied().unwrap_or(0);
        let (used, over) = (self.used(), self.over());
        let done = need == 0 && spare == 0 && self.held == 0;
        let wanted = used.saturating_add(need).saturating_add(spare);
        (self.ceiling, self.told, self.sent) = (self.ceiling.min(wanted), used, (seq, now));
        let counter = self.limit.counter(key);
        Some(Ask { counter, window: self.window, used, over, need, least, spare, done })
    }

    /// Takes in the lease as the cluster has it, if it is what the last ask led to; says when that was sent. `applied` says
    /// that the ask is known to have been applied: then a lease that is not there was given back or is no more.
    pub fn seen(&mut self, lease: Option<&Lease>, applied: bool) -> Option<Millis> {
        let (seq, sent) = self.sent;
        let Some(lease) = lease else {
            if applied && self.window != 0 {
                // What was told is counted; what came after is still to be.
                self.spent = self.used().saturating_sub(self.told);
                (self.window, self.ends, self.granted, self.ceiling, self.held) = (0, 0, 0, 0, 0);
            }
            return None;
        };
        if lease.seq != seq {
            return None;
        }
        if lease.window != self.window {
            (self.spent, self.held, self.window) = (self.over(), 0, lease.window);
        }
        (self.granted, self.ceiling) = (lease.granted, lease.granted);
        self.ends = sent + (lease.window + self.limit.window_ms).saturating_sub(lease.at);
        Some(sent)
    }
}
