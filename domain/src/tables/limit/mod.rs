//! Limits of API keys: what each one's window has used over the whole cluster, and the leases on it that nodes hold. A node
//! admits calls from its leases alone, and all leases of a window together never exceed the limit: so it is exact, whoever
//! dies or is cut off. What to ask for and what to grant is decided in [`crate::decide::limiter`].

mod shape;

use serde::{Deserialize, Serialize};

use super::{Context, level};
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::decide::limiter;
use crate::ids::{Incarnation, KeyId, Millis, NodeId};
use crate::limits::ASKS_MAX;
use crate::table::{Key as TableKey, Row};

pub use shape::{Limit, Unit, check, parse_window, window_text};

/// The feature level from which keys have limits.
pub const LEVEL: u16 = 3;

/// The feature level that these limits take.
pub(crate) fn level_of(limits: &[Limit]) -> u16 {
    limits.iter().map(|limit| limit.unit.level()).fold(level::FIRST, u16::max)
}

/// Where a limit is counted. Another amount goes on counting, another window counts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CounterId {
    /// Whose limit it is.
    pub key: KeyId,
    /// What is counted.
    pub unit: Unit,
    /// How long its windows are.
    pub window_ms: Millis,
}

impl CounterId {
    const LEN: usize = 17;

    /// The first and the last that a key can have.
    fn all_of(key: KeyId) -> [Self; 2] {
        [
            Self { key, unit: Unit::ALL[0], window_ms: 0 },
            Self { key, unit: Unit::ALL[Unit::ALL.len() - 1], window_ms: Millis::MAX },
        ]
    }
}

impl TableKey for CounterId {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Self::LEN);
        bytes.extend(self.key.0.to_be_bytes());
        bytes.push(self.unit.number());
        bytes.extend(self.window_ms.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (key, rest) = bytes.split_first_chunk::<8>()?;
        let (unit, window) = rest.split_first()?;
        let unit = Unit::ALL.into_iter().find(|u| u.number() == *unit)?;
        let window_ms = Millis::from_be_bytes(window.try_into().ok()?);
        Some(Self { key: KeyId(u64::from_be_bytes(*key)), unit, window_ms })
    }
}

/// What a window of a limit has given out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counter {
    /// When its window began, in milliseconds since the Unix epoch.
    pub window: Millis,
    /// What nodes have used or may still use of it. More than the limit only where answers took more tokens than was
    /// reserved for them, or the limit was lowered.
    pub given: u64,
}

impl Row for Counter {
    const TABLE: u8 = 15;
    type Key = CounterId;
}

/// Which node's lease on which counter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LeaseId {
    /// What it is a lease on.
    pub counter: CounterId,
    /// Who holds it.
    pub node: NodeId,
}

impl TableKey for LeaseId {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = self.counter.encode();
        bytes.extend(self.node.0.to_be_bytes());
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (counter, node) = bytes.split_at_checked(CounterId::LEN)?;
        let node = NodeId(u64::from_be_bytes(node.try_into().ok()?));
        Some(Self { counter: CounterId::decode(counter)?, node })
    }
}

/// A node's lease on a limit: good for one window. What a node that died had of it counts as used until that ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// Which life of the node holds it.
    pub incarnation: Incarnation,
    /// The last of the node's commands that changed it; older ones change nothing any more.
    pub seq: u64,
    /// The window it is good for, by its beginning.
    pub window: Millis,
    /// All that the node was given of this window.
    pub granted: u64,
    /// What of it the node said it had used or reserved.
    pub used: u64,
    /// When it was changed.
    pub at: Millis,
}

impl Row for Lease {
    const TABLE: u8 = 16;
    type Key = LeaseId;
}

/// What a node asks of one counter. It states what it has and wants altogether, so that asking twice changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Which counter.
    pub counter: CounterId,
    /// The window of the lease that the node has; 0 if it has none.
    pub window: Millis,
    /// What it has used or reserved of that window.
    pub used: u64,
    /// How much of that is more than its lease: answers took more than was reserved. A later window pays it.
    pub over: u64,
    /// What it needs besides, for calls that wait.
    pub need: u64,
    /// The least with which one of them could go on.
    pub least: u64,
    /// What it would like to have in hand besides.
    pub spare: u64,
    /// It wants nothing, and forgets the lease: what is left of it comes back.
    pub done: bool,
}

/// Changes of limits' counters and leases.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A node tells what it used, gives back what it does not need, and asks for more.
    Refill {
        /// Who asks.
        node: NodeId,
        /// Which life of it.
        incarnation: Incarnation,
        /// Numbers the life's commands.
        seq: u64,
        /// One for each counter.
        asks: Vec<Ask>,
    },
}

impl Command {
    /// The feature level it takes.
    pub(crate) fn level(&self) -> u16 {
        let Command::Refill { asks, .. } = self;
        asks.iter().map(|ask| ask.counter.unit.level()).fold(LEVEL, u16::max)
    }
}

/// Why a command about limits was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// It comes from a life of a node that is over, or from a stranger.
    #[error("node {0} has started again since, or is not in the cluster: its leases of limits are over")]
    Stale(NodeId),
    /// It asks for too much at once.
    #[error("{0} counters were asked for at once, and may be {ASKS_MAX}: ask for fewer")]
    TooMany(usize),
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::Stale(_) => RejectClass::Conflict,
            Reject::TooMany(_) => RejectClass::Invalid,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    let Command::Refill { node, incarnation, seq, asks } = command;
    if asks.len() > ASKS_MAX {
        return Err(Reject::TooMany(asks.len()).into());
    }
    if state.nodes.get(node).is_none_or(|row| row.incarnation != *incarnation) {
        return Err(Reject::Stale(*node).into());
    }
    for ask in asks {
        // A key may lose a limit while a node asks for more of it: then there is nothing to give.
        let key = state.keys.get(&ask.counter.key);
        let limit = key.and_then(|key| key.limits.iter().find(|l| l.counter(key.id) == ask.counter)).copied();
        if let Some(limit) = limit {
            refill(state, &limit, ask, Asker { node: *node, incarnation: *incarnation, seq: *seq }, ctx);
        }
    }
    Ok(Reply::Done)
}

/// Who asks, and by which command.
struct Asker {
    node: NodeId,
    incarnation: Incarnation,
    seq: u64,
}

fn refill(state: &mut State, limit: &Limit, ask: &Ask, asker: Asker, ctx: &mut Context<'_>) {
    let id = LeaseId { counter: ask.counter, node: asker.node };
    let known = state.limit_leases.get(&id).map(|lease| **lease);
    let mine = known.filter(|lease| lease.incarnation == asker.incarnation);
    if mine.is_some_and(|lease| lease.seq >= asker.seq) {
        return;
    }
    let before = state.limit_counters.get(&ask.counter).map(|counter| **counter);
    let mut counter = limiter::turned(before.as_ref(), limit, ctx.now);
    if before.is_some_and(|before| before.window != counter.window) {
        forget_leases(state, ask.counter, ctx);
    }
    // A node that does not know what it was given in this window may have used all of it.
    let same = |lease: &Lease| lease.window == counter.window && lease.window == ask.window;
    let granted = mine.filter(same).map_or(0, |lease| lease.granted);
    let others = state.limit_leases.range(leases_of(ask.counter)).count();
    let others = others - usize::from(state.limit_leases.contains(&id));
    // What was used of a window that is over is forgiven but for what was used beyond its lease.
    let used = if ask.window == counter.window { ask.used } else { ask.over };
    let next = limiter::grant(&counter, limit, limiter::Wish { granted, used, ask, others });
    counter.given = counter
        .given
        .saturating_sub(granted.saturating_sub(next))
        .saturating_add(next.saturating_sub(granted));
    state.limit_counters.put(ctx.out, ask.counter, counter);
    if ask.done {
        state.limit_leases.remove(ctx.out, &id);
        return;
    }
    let Asker { incarnation, seq, .. } = asker;
    let lease = Lease { incarnation, seq, window: counter.window, granted: next, used, at: ctx.now };
    state.limit_leases.put(ctx.out, id, lease);
}

fn leases_of(counter: CounterId) -> std::ops::RangeInclusive<LeaseId> {
    LeaseId { counter, node: NodeId(0) }..=LeaseId { counter, node: NodeId(u64::MAX) }
}

/// The leases on a counter, by node.
pub fn leases(state: &State, counter: CounterId) -> impl Iterator<Item = &Lease> {
    state.limit_leases.range(leases_of(counter)).map(|lease| &**lease)
}

fn forget_leases(state: &mut State, counter: CounterId, ctx: &mut Context<'_>) {
    let old: Vec<LeaseId> = state.limit_leases.keys(leases_of(counter)).copied().collect();
    for id in old {
        state.limit_leases.remove(ctx.out, &id);
    }
}

/// Forgets what was counted of a key for limits that it does not have any more.
pub(crate) fn forget(state: &mut State, key: KeyId, kept: &[Limit], ctx: &mut Context<'_>) {
    let [first, last] = CounterId::all_of(key);
    let old: Vec<CounterId> = state.limit_counters.keys(first..=last).copied().collect();
    for counter in old.into_iter().filter(|id| !kept.iter().any(|limit| limit.counter(key) == *id)) {
        forget_leases(state, counter, ctx);
        state.limit_counters.remove(ctx.out, &counter);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_as_their_bytes_do() {
        let id = |key, unit, window_ms, node| LeaseId {
            counter: CounterId { key: KeyId(key), unit, window_ms },
            node: NodeId(node),
        };
        let mut ids = vec![
            id(2, Unit::Requests, 1_000, 1),
            id(1, Unit::Tokens, 1_000, 9),
            id(1, Unit::Tokens, 1_000, 1),
            id(1, Unit::Money, 1_000, 1),
            id(1, Unit::Requests, 86_400_000, 1),
        ];
        ids.sort();
        let mut bytes: Vec<Vec<u8>> = ids.iter().map(TableKey::encode).collect();
        bytes.sort();
        assert_eq!(bytes.iter().map(|b| LeaseId::decode(b).unwrap()).collect::<Vec<_>>(), ids);
        assert_eq!(LeaseId::decode(&bytes[0][..20]), None);
    }
}
