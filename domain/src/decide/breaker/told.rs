//! What nodes tell each other of their breakers. Only what a node's own calls showed is told, never what it heard: so no two
//! nodes can keep each other from a target that is well. What is heard is kept apart from what was seen; own success is
//! believed over it, and it ends by itself.

use serde::{Deserialize, Serialize};

use super::{Breaker, Phase};
use crate::ids::{Incarnation, Millis, NodeId};

/// How long nothing more is believed of a node about a target that answered here while that node said it does not: the
/// trouble seems to be its own.
const DOUBT_MS: Millis = 30_000;

/// What a node says of a target it calls. It is on its way for a while: whoever passes it on adds to `age_ms`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Who says it.
    pub node: NodeId,
    /// In which of its lives.
    pub incarnation: Incarnation,
    /// Counts that node's statements about the target: later ones replace earlier ones.
    pub number: u64,
    /// How long ago what it tells of happened.
    pub age_ms: Millis,
    /// What happened.
    pub told: Told,
}

/// What happened to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Told {
    /// It opened by failures the node itself saw.
    Open {
        /// For so long, from when it opened.
        for_ms: Millis,
    },
    /// It closed by successes the node itself saw.
    Closed,
}

/// What another node's word spares this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spared {
    /// Whose word.
    node: NodeId,
    /// Which of its words.
    version: (Incarnation, u64),
    /// Until when it holds.
    pub(super) until: Millis,
}

/// Whose word was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doubt {
    node: NodeId,
    until: Millis,
}

impl Doubt {
    pub(super) fn of(spared: &Spared, now: Millis) -> Self {
        Self { node: spared.node, until: now.saturating_add(DOUBT_MS) }
    }
}

impl Breaker {
    /// What this node tells the others about the target, if its own calls showed anything worth telling.
    pub fn statement(&self, node: NodeId, incarnation: Incarnation, now: Millis) -> Option<Statement> {
        let (age_ms, told) = match self.phase {
            Phase::Open { since, until } if now < until => {
                (now.saturating_sub(since), Told::Open { for_ms: until - since })
            }
            // Told for as long as what it takes back may still be believed.
            Phase::Closed if self.trips > 0 => {
                let age = now.saturating_sub(self.closed_at);
                (age <= self.config.open.max_ms).then_some((age, Told::Closed))?
            }
            _ => return None,
        };
        Some(Statement { node, incarnation, number: self.number, age_ms, told })
    }

    /// Takes in what another node tells; says whether that changes anything here.
    pub fn merge(&mut self, heard: &Statement, now: Millis) -> bool {
        self.settle(now);
        let version = (heard.incarnation, heard.number);
        match heard.told {
            Told::Open { for_ms } => {
                // Nobody's word holds for longer than this node would hold back by itself.
                let left_ms = for_ms.min(self.config.open.max_ms).saturating_sub(heard.age_ms);
                let until = now.saturating_add(left_ms);
                if left_ms == 0 || self.knows_better(heard, now) {
                    return false;
                }
                if self.spared.is_some_and(|spared| {
                    spared.until >= until || (spared.node == heard.node && spared.version >= version)
                }) {
                    return false;
                }
                self.spared = Some(Spared { node: heard.node, version, until });
                true
            }
            Told::Closed => {
                let takes_back = |spared: Spared| spared.node == heard.node && spared.version < version;
                if !self.spared.is_some_and(takes_back) {
                    return false;
                }
                self.spared = None;
                if self.phase == Phase::Closed {
                    self.turn(Phase::HalfOpen { under_way: 0, succeeded: 0, asked: now });
                }
                true
            }
        }
    }

    /// Whether this node's own calls speak against what it hears.
    fn knows_better(&self, heard: &Statement, now: Millis) -> bool {
        let happened = now.saturating_sub(heard.age_ms);
        self.answered_at.is_some_and(|at| at >= happened)
            || self.doubt.is_some_and(|doubt| doubt.node == heard.node && now < doubt.until)
    }
}
