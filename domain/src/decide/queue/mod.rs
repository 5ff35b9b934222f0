//! The queue before a target: how many calls are under way there from this node, and who waits for a place. Higher priorities
//! go first; within one, callers take turns, so that nobody with a thousand calls keeps out one with a single call. Who would
//! wait too long is told so at once. Nothing here sleeps: the driver calls [`Queue::expire`] when [`Queue::next_expiry`] has
//! come, and wakes whose tickets are named.

mod line;

use std::collections::BTreeSet;

use crate::ids::{KeyId, Millis};
use crate::route;
use line::Lines;

/// A new length of a call counts for one part in this many.
const SMOOTHING: u64 = 8;
/// Nobody is told to come back sooner than this…
const RETRY_MIN_MS: Millis = 100;
/// …nor later than this, for by then all may be different.
const RETRY_MAX_MS: Millis = 60_000;

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// It is under way: [`Queue::release`] has to follow.
    Admitted,
    /// It waits for its turn.
    Waits {
        /// What it is called with, or given up by [`Queue::leave`].
        ticket: Ticket,
        /// Who gave way to it, where all places were taken: to be refused.
        displaced: Option<Ticket>,
    },
    /// It is not taken.
    Refused {
        /// When it is worth a new try.
        retry_after_ms: Millis,
        /// Why.
        why: Why,
    },
}

/// Why a call is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// As many wait as may.
    Full {
        /// How many.
        waiting: usize,
    },
    /// Its turn would come too late.
    TooLong {
        /// How long it would wait, as far as can be told.
        expected_ms: Millis,
        /// How long it may.
        allowed_ms: Millis,
    },
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Full { waiting } => write!(f, "{waiting} calls wait already, as many as may"),
            Why::TooLong { expected_ms, allowed_ms } => {
                write!(f, "its turn would come in about {expected_ms} ms, and it may wait {allowed_ms} ms")
            }
        }
    }
}

/// A target's queue on one node.
#[derive(Debug, Clone)]
pub struct Queue {
    config: route::Queue,
    in_flight: u32,
    lines: Lines,
    /// When each of those that wait has waited long enough.
    until: BTreeSet<(Millis, Ticket)>,
    /// Those whose time is over, until the driver is told; they count as waiting.
    expired: Vec<Ticket>,
    /// How long a call takes, smoothed; 0 when unknown.
    service_ms: u64,
    next: u64,
}

impl Queue {
    /// An empty one.
    pub fn new(config: route::Queue) -> Self {
        Self {
            config,
            in_flight: 0,
            lines: Lines::default(),
            until: BTreeSet::new(),
            expired: Vec::new(),
            service_ms: 0,
            next: 0,
        }
    }

    /// The route says something else now. Who waits goes on waiting as long as was said then; [`Queue::admit`] tells who can
    /// go on where there is more room.
    pub fn set(&mut self, config: route::Queue) {
        self.config = config;
    }

    /// Calls under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Calls that wait.
    pub fn waiting(&self) -> usize {
        self.lines.len() + self.expired.len()
    }

    /// Whether nothing is under way and nobody waits.
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.waiting() == 0
    }

    /// A call comes. A larger `priority` goes first.
    pub fn offer(&mut self, caller: KeyId, priority: i32, now: Millis) -> Offer {
        self.sweep(now);
        if self.in_flight < self.config.in_flight_max && self.lines.len() == 0 {
            self.in_flight += 1;
            return Offer::Admitted;
        }
        let expected_ms = self.expected(self.lines.ahead(caller, priority));
        let allowed_ms = self.config.wait_ms;
        if expected_ms > allowed_ms {
            return self.refused(expected_ms - allowed_ms, Why::TooLong { expected_ms, allowed_ms });
        }
        let mut displaced = None;
        let waiting = self.waiting();
        if waiting >= self.config.waiting_max as usize {
            // Where the bound was lowered, one that gives way makes no place yet.
            displaced = self
                .lines
                .gives_way(caller, priority)
                .filter(|_| waiting == self.config.waiting_max as usize);
            let Some(ticket) = displaced else {
                return self.refused(self.expected(0), Why::Full { waiting });
            };
            self.leave(ticket);
        }
        let ticket = Ticket(self.next);
        self.next += 1;
        let until = now.saturating_add(allowed_ms);
        self.until.insert((until, ticket));
        self.lines.join(ticket, caller, priority, until);
        Offer::Waits { ticket, displaced }
    }

    /// A call that was under way for so long is over. Who goes next, if anybody can: that call is under way from now on.
    pub fn release(&mut self, took_ms: Millis, now: Millis) -> Option<Ticket> {
        let took_ms = took_ms.max(1);
        self.service_ms = match self.service_ms {
            0 => took_ms,
            old => (old.saturating_mul(SMOOTHING - 1).saturating_add(took_ms)).div_ceil(SMOOTHING),
        };
        self.in_flight = self.in_flight.saturating_sub(1);
        self.admit(now)
    }

    /// Who can go on, if there is room for one; to be asked until there is none.
    pub fn admit(&mut self, now: Millis) -> Option<Ticket> {
        self.sweep(now);
        if self.in_flight >= self.config.in_flight_max {
            return None;
        }
        let (ticket, until) = self.lines.next()?;
        self.until.remove(&(until, ticket));
        self.in_flight += 1;
        Some(ticket)
    }

    /// Whose time is over: each is named once.
    pub fn expire(&mut self, now: Millis) -> Vec<Ticket> {
        self.sweep(now);
        std::mem::take(&mut self.expired)
    }

    /// When [`Queue::expire`] has something to tell next.
    pub fn next_expiry(&self) -> Option<Millis> {
        self.until.first().map(|(until, _)| *until)
    }

    /// A call that waits is given up: its client went away. Says whether it was waiting.
    pub fn leave(&mut self, ticket: Ticket) -> bool {
        let Some(until) = self.lines.leave(ticket) else {
            let waiting = self.expired.len();
            self.expired.retain(|expired| *expired != ticket);
            return self.expired.len() < waiting;
        };
        self.until.remove(&(until, ticket))
    }

    /// How long until the turn of one with so many ahead of it: a place becomes free whenever one of those under way is over.
    fn expected(&self, ahead: usize) -> Millis {
        let turns = self.service_ms.saturating_mul(ahead as u64 + 1);
        turns / u64::from(self.config.in_flight_max.max(1))
    }

    fn refused(&self, retry_after_ms: Millis, why: Why) -> Offer {
        Offer::Refused { retry_after_ms: retry_after_ms.clamp(RETRY_MIN_MS, RETRY_MAX_MS), why }
    }

    /// Takes those whose time is over out of the lines.
    fn sweep(&mut self, now: Millis) {
        while let Some((until, ticket)) = self.until.first().copied().filter(|(until, _)| *until <= now) {
            self.until.remove(&(until, ticket));
            self.lines.leave(ticket);
            self.expired.push(ticket);
        }
    }
}

#[cfg(test)]
mod tests;
