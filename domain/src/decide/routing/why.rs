//! Why a target is where it is in a plan, or not in it, in words that fit into a header and that the console shows.

use super::plan::{LeftOut, Nothing, Planned};
use super::{Reason, Target};
use crate::ids::Millis;
use crate::money::Money;
use crate::route::Caller;

/// Why a target has its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Why {
    /// All that offer the model in question are asked, own replicas first, the least busy first.
    Offers {
        /// Whether it is the cluster's own.
        own: bool,
        /// Calls under way there.
        in_flight: u32,
    },
    /// It was drawn first by the weights.
    Drawn(Part),
    /// It comes first for this user by the weights.
    Sticky(Part),
    /// It follows by the weights.
    Follows(Part),
    /// Of those drawn, a further call costs the least time here.
    Faster(Time),
    /// It follows by the time a further call costs.
    Slower(Time),
    /// What the call is expected to cost, in millionths of a unit of money; unknown prices come last.
    Price(Option<u64>),
    /// It has most likely read already what the prompt begins with.
    Prefix {
        /// Which of the prompt's beginnings.
        which: usize,
    },
    /// The one that has read it is too busy.
    Spilled {
        /// Calls under way there.
        in_flight: u32,
        /// More than this is too busy.
        limit: u64,
    },
    /// It is preferred for who calls.
    Preferred(Caller),
}

/// A weight of all weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Its own.
    pub weight: u32,
    /// All that can be asked, together.
    pub of: u64,
}

/// What makes the time a further call costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// The smoothed latency, in microseconds; 0 when unknown.
    pub latency_us: u64,
    /// Calls under way.
    pub in_flight: u32,
}

/// Why a target is tried after all others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Late {
    /// It failed a moment ago, or asked for rest.
    Failed,
    /// Its breaker lets a few calls try it, and those are under way.
    Probed,
    /// Its breaker is open.
    Open {
        /// For how much longer.
        left_ms: Millis,
    },
}

/// What a target lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lack {
    /// It does not look at pictures.
    Vision,
    /// It calls no tools.
    Tools,
    /// It cannot be held to a schema.
    JsonSchema,
    /// The call is too long for it.
    Context {
        /// What it takes.
        tokens: u64,
        /// What the call needs.
        needed: u64,
    },
    /// There is nothing of this name just now.
    Nobody(Reason),
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "weight {} of {}", self.weight, self.of)
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.latency_us {
            0 => write!(f, "never answered yet, {} under way", self.in_flight),
            us => write!(f, "{}.{} ms, {} under way", us / 1_000, us % 1_000 / 100, self.in_flight),
        }
    }
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::Offers { own: true, in_flight } => write!(f, "own replica, {in_flight} under way"),
            Why::Offers { own: false, in_flight } => write!(f, "provider, {in_flight} under way"),
            Why::Drawn(part) => write!(f, "{part}, drawn"),
            Why::Sticky(part) => write!(f, "{part}, this user's"),
            Why::Follows(part) => write!(f, "{part}, follows"),
            Why::Faster(time) => write!(f, "drawn by latency, {time}"),
            Why::Slower(time) => write!(f, "follows by latency, {time}"),
            Why::Price(Some(cost)) => write!(f, "expected to cost {}", Money(*cost)),
            Why::Price(None) => write!(f, "price unknown"),
            Why::Prefix { which: 0 } => write!(f, "has read what it begins with"),
            Why::Prefix { which } => write!(f, "has read what it begins with, beginning {}", which + 1),
            Why::Spilled { in_flight, limit } => {
                write!(f, "the one that has read its beginning has {in_flight} under way, more than {limit}")
            }
            Why::Preferred(Caller::Key(key)) => write!(f, "preferred for {key}"),
            Why::Preferred(Caller::Label(label)) => write!(f, "preferred for label {label}"),
        }
    }
}

impl std::fmt::Display for Late {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Late::Failed => write!(f, "failed a moment ago"),
            Late::Probed => write!(f, "breaker half open, being tried"),
            Late::Open { left_ms } => {
                write!(f, "breaker open for {}.{} s", left_ms / 1_000, left_ms % 1_000 / 100)
            }
        }
    }
}

impl std::fmt::Display for Lack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Lack::Vision => write!(f, "no vision"),
            Lack::Tools => write!(f, "no tools"),
            Lack::JsonSchema => write!(f, "no JSON schema"),
            Lack::Context { tokens, needed } => write!(f, "takes {tokens} tokens, {needed} needed"),
            Lack::Nobody(reason) => write!(f, "{reason}"),
        }
    }
}

/// A target as people know it.
pub fn label(target: &Target, model: &str) -> String {
    match target {
        Target::Replica { ordinal, node, .. } => format!("{model}/{ordinal}@{node}"),
        Target::Provider(name) => format!("{name}/{model}"),
    }
}

impl std::fmt::Display for Planned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let label = label(&self.target, &self.model);
        match &self.late {
            Some(late) => write!(f, "{label} put last: {late}"),
            None => write!(f, "{label}: {}", self.why),
        }
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} left out: {}", self.name, self.lack)
    }
}

impl std::fmt::Display for Nothing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(reason) = &self.reason {
            return write!(f, "{reason}");
        }
        let left_out: Vec<String> = self.left_out.iter().map(LeftOut::to_string).collect();
        write!(f, "none that offers it can take this call: {}", left_out.join("; "))
    }
}
