//! Limits of API keys: what each one's window has used over the whole cluster, and the leases on it that nodes hold. A node
//! admits calls from its leases alone, and all leases of a window together never exceed the limit: so it is exact, whoever
//! dies or is cut off. What to ask for and what to grant is decided in [`crate::decide::limiter`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Context;
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::decide::limiter;
use crate::ids::{Incarnation, KeyId, Millis, NodeId};
use crate::limits::{
    ASKS_MAX, LIMIT_AMOUNT_MAX, LIMIT_WINDOW_MAX_MS, LIMIT_WINDOW_MIN_MS, LIMITS_PER_KEY_MAX,
};
use crate::table::{Key as TableKey, Row};

/// The feature level from which keys have limits.
pub const LEVEL: u16 = 3;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Calls.
    Requests,
    /// Tokens read and written.
    Tokens,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 2] = [Unit::Requests, Unit::Tokens];

    /// Its name in messages, fields and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
        }
    }

    /// Its name in a limit that is written as text.
    fn short(self) -> &'static str {
        match self {
            Unit::Requests => "req",
            Unit::Tokens => "tok",
        }
    }

    fn number(self) -> u8 {
        match self {
            Unit::Requests => 1,
            Unit::Tokens => 2,
        }
    }
}

/// So much in each window. Windows are aligned to the Unix epoch on the cluster's clock: a day is one of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// How much of it a window has.
    pub amount: u64,
    /// How long a window is.
    pub window_ms: Millis,
}

/// As people write it: `100req/1m`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.amount, self.unit.short(), window_text(self.window_ms))
    }
}

/// How a limit's text should look.
const SHAPE: &str = "write an amount, `req` or `tok`, and a window, such as 100req/1m or 50000tok/1h";

impl FromStr for Limit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            |why: &str| format!("`{}` is not a limit: {why}", text.chars().take(40).collect::<String>());
        let (count, window) = text.split_once('/').ok_or_else(|| bad(SHAPE))?;
        let digits = count.find(|c: char| !c.is_ascii_digit()).unwrap_or(count.len());
        let (amount, unit) = count.split_at(digits);
        let unit = match unit {
            "req" | "requests" => Unit::Requests,
            "tok" | "tokens" => Unit::Tokens,
            _ => return Err(bad(SHAPE)),
        };
        let amount = amount.parse().map_err(|_| bad(SHAPE))?;
        let window_ms = parse_window(window).map_err(|why| bad(&why))?;
        let limit = Limit { unit, amount, window_ms };
        limit.check().map_err(|(_, hint)| bad(hint))?;
        Ok(limit)
    }
}

const AMOUNT_HINT: &str = "use an amount from 1 to 1000000000000";
const WINDOW_HINT: &str = "use a window from 1s to 31d";

impl Limit {
    /// Whether it can be.
    ///
    /// # Errors
    /// The field and what to do.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        if self.amount == 0 || self.amount > LIMIT_AMOUNT_MAX {
            return Err(("amount", AMOUNT_HINT));
        }
        if !(LIMIT_WINDOW_MIN_MS..=LIMIT_WINDOW_MAX_MS).contains(&self.window_ms) {
            return Err(("window", WINDOW_HINT));
        }
        Ok(())
    }

    /// Where it is counted for a key.
    pub fn counter(&self, key: KeyId) -> CounterId {
        CounterId { key, unit: self.unit, window_ms: self.window_ms }
    }
}

/// A window as people write it.
pub fn window_text(ms: Millis) -> String {
    const UNITS: [(Millis, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let found = UNITS.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    found.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

/// Reads a window such as `30s`, `1m`, `1h` or `1d`.
///
/// # Errors
/// How it should look.
pub fn parse_window(text: &str) -> Result<Millis, String> {
    let hint = || {
        format!("`{}` is not a window: write 30s, 1m, 1h or 1d", text.chars().take(20).collect::<String>())
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(hint)?;
    let (count, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(hint()),
    };
    let count: Millis = count.parse().map_err(|_| hint())?;
    match count.checked_mul(unit) {
        Some(ms) if (LIMIT_WINDOW_MIN_MS..=LIMIT_WINDOW_MAX_MS).contains(&ms) => Ok(ms),
        _ => Err(WINDOW_HINT.to_owned()),
    }
}

/// Whether a key can have these limits.
///
/// # Errors
/// The field and what to do.
pub fn check(limits: &[Limit]) -> Result<(), (&'static str, String)> {
    if limits.len() > LIMITS_PER_KEY_MAX {
        return Err(("the number of limits", format!("a key has {LIMITS_PER_KEY_MAX} at most")));
    }
    for (n, limit) in limits.iter().enumerate() {
        limit.check().map_err(|(field, hint)| (field, hint.to_owned()))?;
        if limits[..n].iter().any(|l| (l.unit, l.window_ms) == (limit.unit, limit.window_ms)) {
            let (unit, window) = (limit.unit.as_str(), window_text(limit.window_ms));
            return Err((
                "the list of limits",
                format!("{unit} per {window} are limited twice: give one of them"),
            ));
        }
    }
    Ok(())
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
    fn a_limit_reads_back_what_it_prints() {
        for text in ["100req/1m", "50000tok/1h", "1req/1s", "7tok/31d", "5req/90s"] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
        assert_eq!("100requests/60s".parse::<Limit>().unwrap().to_string(), "100req/1m");
    }

    #[test]
    fn what_is_wrong_with_a_limit_is_told_with_what_to_do() {
        for (text, told) in [
            ("100", SHAPE),
            ("100/1m", SHAPE),
            ("req/1m", SHAPE),
            ("100calls/1m", SHAPE),
            ("99999999999999999999req/1m", SHAPE),
            ("0req/1m", AMOUNT_HINT),
            ("100req/32d", WINDOW_HINT),
            ("100req/0s", WINDOW_HINT),
            ("100req/1w", "write 30s, 1m, 1h or 1d"),
            ("100req/m", "write 30s, 1m, 1h or 1d"),
        ] {
            let said = text.parse::<Limit>().unwrap_err();
            assert!(said.contains(told) && said.contains(text), "{said}");
        }
        let twice = ["1req/1m", "2req/60s"].map(|text| text.parse().unwrap());
        assert!(check(&twice).unwrap_err().1.contains("requests per 1m are limited twice"));
    }

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
            id(1, Unit::Requests, 86_400_000, 1),
        ];
        ids.sort();
        let mut bytes: Vec<Vec<u8>> = ids.iter().map(TableKey::encode).collect();
        bytes.sort();
        assert_eq!(bytes.iter().map(|b| LeaseId::decode(b).unwrap()).collect::<Vec<_>>(), ids);
        assert_eq!(LeaseId::decode(&bytes[0][..20]), None);
    }
}
