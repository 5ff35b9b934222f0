//! What a node does while no majority of the voters answers it, declared in one table: `/health`, `llmhub status` and the
//! documentation show it, tests hold it.

use crate::ids::Millis;

/// A node that no leader has answered for longer than this is degraded, in milliseconds: a lease is renewed every second, and
/// an election takes less than two.
pub const CONTACT_MAX_MS: Millis = 3_000;

/// When a leader last answered this node that a majority follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    /// So many milliseconds ago; where it never did, since the node started.
    pub age_ms: Millis,
    /// Whether it ever did since then.
    pub ever: bool,
}

/// How a node serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everything works.
    Normal,
    /// Without a majority: some of it does.
    Degraded,
}

impl Mode {
    /// The mode of a node with this contact.
    pub fn of(contact: Contact) -> Self {
        if contact.age_ms > CONTACT_MAX_MS { Mode::Degraded } else { Mode::Normal }
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Mode::Normal => "normal",
            Mode::Degraded => "degraded",
        }
    }
}

/// How far something works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Degree {
    /// As always.
    Works,
    /// In part.
    Limited,
    /// Not at all.
    Stops,
}

impl Degree {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Degree::Works => "works",
            Degree::Limited => "limited",
            Degree::Stops => "stops",
        }
    }
}

/// Something that a node does, and how far it does it while it is degraded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ability {
    /// What.
    pub name: &'static str,
    /// How far.
    pub degree: Degree,
    /// How that shows.
    pub how: &'static str,
}

const fn ability(name: &'static str, degree: Degree, how: &'static str) -> Ability {
    Ability { name, degree, how }
}

/// The table.
pub const DEGRADED: &[Ability] = &[
    ability(
        "inference",
        Degree::Works,
        "calls and streams to the providers and replicas within reach, with the keys, models and routes last known",
    ),
    ability(
        "replicas",
        Degree::Works,
        "those that run go on; an engine that dies is started again on its node",
    ),
    ability(
        "reads",
        Degree::Works,
        "`/api`, `/v1/models` and `/metrics` show what the node last heard; with `?consistent=true` they are refused as changes are",
    ),
    ability(
        "secrets",
        Degree::Limited,
        "providers' keys are opened by voters, and by others as long as one voter is within reach",
    ),
    ability(
        "revocation",
        Degree::Limited,
        "a key that is revoked where the majority is still opens this node until it hears of it",
    ),
    ability(
        "limits",
        Degree::Limited,
        "calls of keys with limits go on with what the node holds of them, then they are refused with 429 `rate_limit_unavailable`",
    ),
    ability(
        "changes",
        Degree::Stops,
        "keys, deployments, providers, configuration: refused with 503 `no_quorum` and `Retry-After`",
    ),
    ability(
        "failover",
        Degree::Stops,
        "what ran on lost nodes is not placed elsewhere, and nothing is moved",
    ),
    ability("membership", Degree::Stops, "no node joins, leaves or is removed, and no certificate is signed"),
];
