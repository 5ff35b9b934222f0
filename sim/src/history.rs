//! What clients did and saw, in order of their ends: the evidence that checks judge. Both drivers record it; nothing here
//! judges.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use domain::limit::Unit;

/// How a change ended, as the client knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wrote {
    /// It was acknowledged.
    Acknowledged,
    /// It was refused for good, with this status.
    Rejected(u16),
    /// It certainly did not happen.
    NotDone,
    /// It may have happened, or may still happen.
    Unknown,
}

/// How a call of a model ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Whole: a plain answer of status 200, or a stream up to `[DONE]`.
    Well,
    /// With an error answer of this status.
    Status(u16),
    /// Refused at once: the node knows of nobody who could answer just now.
    NoTarget,
    /// A stream: with an event that tells an error.
    ErrorEvent,
    /// The connection broke.
    Broken,
    /// Nobody took the connection.
    Refused,
    /// The answer ended as if all were well, but was not whole.
    Truncated,
    /// Nothing came for longer than a client waits.
    Hung,
}

/// What was done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// A key of this name was created.
    Create {
        /// Its name, used once.
        name: String,
        /// How it ended.
        wrote: Wrote,
    },
    /// The key of this name was revoked.
    Revoke {
        /// Its name.
        name: String,
        /// How it ended.
        wrote: Wrote,
    },
    /// A register was written.
    Put {
        /// Its name.
        register: String,
        /// The value, used once.
        value: u64,
        /// How it ended.
        wrote: Wrote,
    },
    /// A register was read, with a linearizable read that was answered.
    Get {
        /// Its name.
        register: String,
        /// The value; `None` when it was never written.
        value: Option<u64>,
    },
    /// A model was asked for a whole answer.
    Chat {
        /// The model.
        model: String,
        /// How it ended.
        ended: Ended,
    },
    /// A model was asked for a stream.
    Stream {
        /// The model.
        model: String,
        /// How it ended.
        ended: Ended,
        /// How many pieces of text came.
        pieces: u32,
    },
    /// A model was asked for a whole answer with a key that has a limit.
    Limited {
        /// What its key's limit counts.
        by: Unit,
        /// How many tokens it wrote, where an answer came.
        tokens: u64,
        /// How it ended.
        ended: Ended,
    },
    /// A node was asked how it is, and for one thing of each kind.
    Probe(Probe),
    /// Any other request outlived its deadline.
    Hang {
        /// Its path.
        path: String,
    },
}

/// What a node declared of itself and what it did meanwhile. Answers are a status, and the error's code where there is one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Probe {
    /// Whether it was degraded all the time, by its own word.
    pub degraded: bool,
    /// What became of a chat with a model that it can serve alone.
    pub chat: String,
    /// What became of a read.
    pub read: String,
    /// What became of a change.
    pub change: String,
}

/// One thing a client did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The node that was asked; of several attempts the last.
    pub node: usize,
    /// When it began, on the driver's clock.
    pub start: Duration,
    /// When it ended.
    pub end: Duration,
    /// What it was.
    pub what: What,
}

/// The record of all clients.
#[derive(Debug, Default)]
pub struct History(Mutex<Vec<Entry>>);

impl History {
    /// Adds what a client did.
    pub fn add(&self, entry: Entry) {
        tracing::info!(node = entry.node, start = ?entry.start, what = ?entry.what, "client");
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(entry);
    }

    /// Everything so far.
    pub fn entries(&self) -> Vec<Entry> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How much there is.
    pub fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// When nodes were not there for clients, by no fault of theirs.
#[derive(Debug, Clone, Default)]
pub struct Outages(Vec<(usize, Duration, Option<Duration>)>);

impl Outages {
    /// The node is gone from now on.
    pub fn begin(&mut self, node: usize, now: Duration) {
        if !self.0.iter().any(|(n, _, end)| *n == node && end.is_none()) {
            self.0.push((node, now, None));
        }
    }

    /// The node is back.
    pub fn end(&mut self, node: usize, now: Duration) {
        for outage in self.0.iter_mut().filter(|(n, _, end)| *n == node && end.is_none()) {
            outage.2 = Some(now);
        }
    }

    /// Whether the node was there all the time.
    pub fn was_up(&self, node: usize, from: Duration, to: Duration) -> bool {
        !self.0.iter().any(|(n, start, end)| *n == node && *start <= to && end.is_none_or(|end| end >= from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::s;

    #[test]
    fn a_node_was_up_only_when_no_outage_touches_the_span() {
        let mut outages = Outages::default();
        outages.begin(1, s(5));
        outages.begin(1, s(6));
        assert!(!outages.was_up(1, s(4), s(5)));
        assert!(!outages.was_up(1, s(7), s(9)));
        outages.end(1, s(8));
        assert!(outages.was_up(1, s(9), s(10)));
        assert!(outages.was_up(1, s(1), s(4)));
        assert!(outages.was_up(0, s(1), s(9)));
    }
}
