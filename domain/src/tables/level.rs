//! The cluster's feature level: which commands may go into the log. Every program knows the commands of its own level and
//! all below; a command above the cluster's level is refused until every node runs a program that knows it, and then the
//! leader raises the level. Until that moment a program can be rolled back; afterwards older ones are refused. What level a
//! node's program has stands in its version, as build metadata (`0.2.0+level.2`), because programs of level 1 keep that
//! text and no other new field.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::NodeId;

/// The level of programs that name none, and of a cluster that was never raised.
pub const FIRST: u16 = 1;

const MARK: &str = "level.";

/// The level of a program, from its version.
pub fn of(version: &str) -> u16 {
    let named = version.split_once('+').and_then(|(_, build)| build.strip_prefix(MARK));
    named.and_then(|level| level.parse().ok()).unwrap_or(FIRST)
}

/// A program's version that names its level.
pub fn stamp(version: &str, level: u16) -> String {
    format!("{version}+{MARK}{level}")
}

/// The level the cluster can be raised to now, if it can: what every node knows, those that are away included, for they
/// come back with the program they have.
pub fn next(state: &State) -> Option<u16> {
    let lowest = state.nodes.rows().map(|node| of(&node.version)).min()?;
    (lowest > state.level()).then_some(lowest)
}

/// Changes of the level.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The leader saw that every node knows this level.
    Raise(u16),
}

/// Why the level was not changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// A node does not know it.
    #[error(
        "node {node} runs version {version}, which does not know feature level {level}: upgrade it first"
    )]
    Behind {
        /// Which node.
        node: NodeId,
        /// What it runs.
        version: String,
        /// The level asked for.
        level: u16,
    },
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        RejectClass::Conflict
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    let Command::Raise(level) = command;
    if let Some(node) = state.nodes.rows().find(|node| of(&node.version) < *level) {
        return Err(Reject::Behind { node: node.id, version: node.version.clone(), level: *level }.into());
    }
    state.raise(*level, ctx);
    Ok(Reply::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_tells_its_level_and_an_old_one_has_the_first() {
        assert_eq!(of("0.1.0"), FIRST);
        assert_eq!(of("0.1.0+git.abc"), FIRST);
        assert_eq!(of("0.1.0+level.x"), FIRST);
        assert_eq!(of(&stamp("0.2.0", 7)), 7);
    }
}
