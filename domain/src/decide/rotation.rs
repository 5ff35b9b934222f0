//! Which step of a rotation may come next, given what each node says it has taken in. Pure and idempotent: with a step
//! taken it yields the next, and none when nothing is left. The leader's membership actor takes them one at a time.

use serde::{Deserialize, Serialize};

use crate::State;
use crate::ids::NodeId;
use crate::node::{Node, Standing};
use crate::tables::restore;
use crate::tables::rotation::{Kind, Place, Rotation, Stage, pending};

/// Values sealed anew with one command.
pub const RESEAL_MAX: usize = 64;

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// Make the new key.
    Begin(Kind),
    /// Use it.
    Switch(Kind),
    /// Seal these values under it.
    Reseal(Vec<Place>),
    /// Let the old one go.
    End(Kind),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Begin(kind) => write!(f, "a new {} is made", kind.noun()),
            Step::Switch(kind) => write!(f, "the new {} is used", kind.noun()),
            Step::Reseal(places) => write!(f, "{} secrets are sealed anew", places.len()),
            Step::End(kind) => write!(f, "the old {} goes", kind.noun()),
        }
    }
}

/// What a rotation waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wait {
    /// Nodes that have not said that they have taken in the last step.
    Nodes(Vec<NodeId>),
    /// A restore, whose rows open with keys that would go.
    Restore,
}

/// The next step of any rotation.
pub fn next(state: &State) -> Option<Step> {
    Kind::ALL.into_iter().find_map(|kind| of(state, kind).ok().flatten())
}

/// The next step of one kind's rotation: none when it is over or was never begun, or what it waits for.
pub fn of(state: &State, kind: Kind) -> Result<Option<Step>, Wait> {
    let Some(row) = state.rotation(kind) else { return Ok(None) };
    let step = match (row.stage, kind) {
        (Stage::Idle, _) => return Ok(None),
        (Stage::Asked, _) => return Ok(Some(Step::Begin(kind))),
        (Stage::Spread, _) => Step::Switch(kind),
        (Stage::Switched, Kind::Data) => {
            let places: Vec<Place> = pending(state).map(|(place, _)| place).take(RESEAL_MAX).collect();
            if !places.is_empty() {
                return Ok(Some(Step::Reseal(places)));
            }
            if restore::under_way(state).is_some() {
                return Err(Wait::Restore);
            }
            return Ok(Some(Step::End(kind)));
        }
        (Stage::Switched, _) => Step::End(kind),
    };
    let behind = behind(state, row);
    if behind.is_empty() { Ok(Some(step)) } else { Err(Wait::Nodes(behind)) }
}

/// The nodes that count and have not taken in the last step.
pub fn behind(state: &State, row: &Rotation) -> Vec<NodeId> {
    let has = |node: &Node| {
        let holding = state.holdings.get(&node.id);
        holding.map_or(0, |holding| match row.kind {
            Kind::Data => row.version,
            Kind::Gossip => holding.gossip,
            Kind::Authority => holding.authority,
        }) >= row.version
    };
    let rows = state.nodes.rows().filter(|node| counts(row, node) && !has(node));
    rows.map(|node| node.id).collect()
}

/// Who is waited for. The data key reaches whoever needs it with the log. A node that is away finds the gossip keys when it
/// is back, over connections that do without them. But a node that did not trust a new authority in time could not be
/// talked to any more: it is waited for until it is back, removed or forgotten.
fn counts(row: &Rotation, node: &Node) -> bool {
    match row.kind {
        Kind::Data => false,
        Kind::Gossip => matches!(node.standing, Standing::Active | Standing::Leaving),
        Kind::Authority => !row.forgotten.contains(&node.id),
    }
}
