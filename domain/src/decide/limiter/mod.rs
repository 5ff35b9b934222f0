//! Limits over the whole cluster: what a window has left, what a node is granted of it, (in [`need`]) what a call takes of
//! it, and (in [`pool`]) what a node admits from its lease and asks for. All leases of a window together never exceed the limit, so nothing that happens to
//! nodes or to the network lets more through; what a lost node held counts as used until the window ends.

pub mod need;
pub mod pool;

use crate::ids::Millis;
use crate::limit::{Ask, Counter, Limit};
pub use need::{Need, Used};
pub use pool::{Hold, Pool};

/// The beginning of the window that a moment lies in.
pub fn window_at(now: Millis, window_ms: Millis) -> Millis {
    now - now % window_ms.max(1)
}

/// A counter as it is now: in a new window, only what was used beyond the limit before is counted.
pub fn turned(counter: Option<&Counter>, limit: &Limit, now: Millis) -> Counter {
    let window = window_at(now, limit.window_ms);
    match counter {
        Some(counter) if counter.window >= window => *counter,
        Some(counter) => {
            let windows = (window - counter.window) / limit.window_ms.max(1);
            Counter { window, given: counter.given.saturating_sub(limit.amount.saturating_mul(windows)) }
        }
        None => Counter { window, given: 0 },
    }
}

/// What can still be given out now.
pub fn room(counter: Option<&Counter>, limit: &Limit, now: Millis) -> u64 {
    limit.amount.saturating_sub(turned(counter, limit, now).given)
}

/// What a node has and asks for, in the window that is.
pub struct Wish<'a> {
    /// What it was given of this window.
    pub granted: u64,
    /// What it has used or reserved of it.
    pub used: u64,
    /// What it asks for.
    pub ask: &'a Ask,
    /// How many other nodes have a lease on the counter.
    pub others: usize,
}

/// What a node is given of this window from now on, altogether. What it used is counted even where the limit is exceeded;
/// what it does not want comes back; calls that wait come before what nodes like to have in hand, of which each gets a share
/// only, so that the last of a limit does not lie about.
pub fn grant(counter: &Counter, limit: &Limit, wish: Wish<'_>) -> u64 {
    let Wish { granted, used, ask, others } = wish;
    let needed = used.saturating_add(ask.need);
    let wanted = needed.saturating_add(ask.spare);
    if wanted <= granted {
        return wanted;
    }
    let base = granted.max(used);
    let given = counter.given.saturating_add(base - granted);
    let room = limit.amount.saturating_sub(given);
    if used.saturating_add(ask.least).saturating_sub(base) > room {
        // Nothing that waits could go on with it.
        return base;
    }
    let need = needed.saturating_sub(base).min(room);
    let share = (room - need) / (2 * (others as u64 + 1));
    base + need + wanted.saturating_sub(base + need).min(share)
}

/// How much of an answer there was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// None: the call was refused, or failed before its first byte.
    None,
    /// It comes in one piece: all of it may have been written, whether or not the client waited for it.
    Whole,
    /// A stream, of which so many parts passed before it ended, broke, or the client went away.
    Parts(u64),
}

/// The tokens that a call reads and writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tokens {
    /// Read.
    pub prompt: u64,
    /// Written.
    pub completion: u64,
}

impl Tokens {
    /// All of them.
    pub fn all(self) -> u64 {
        self.prompt.saturating_add(self.completion)
    }
}

/// The tokens that a call counts as, once it is over: what the answer told; else a token for each part that passed, beside
/// the question's. `None` is all that was reserved, so that nothing is used for nothing.
pub fn tokens_used(told: Option<Tokens>, answer: Answer, prompt: u64) -> Option<Tokens> {
    match (told, answer) {
        (Some(told), _) => Some(told),
        (None, Answer::None) => Some(Tokens::default()),
        (None, Answer::Whole) => None,
        (None, Answer::Parts(parts)) => Some(Tokens { prompt, completion: parts }),
    }
}
