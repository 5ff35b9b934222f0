//! At most one node leads in each term.

use std::collections::BTreeMap;

use consensus::{Role, Status};
use domain::NodeId;

/// Remembers who led each term.
#[derive(Debug, Default)]
pub struct OneLeader(BTreeMap<u64, NodeId>);

impl OneLeader {
    /// Looks at a node; tells a second leader of a term.
    pub fn look(&mut self, status: &Status) -> Option<String> {
        if status.role != Role::Leader {
            return None;
        }
        let first = *self.0.entry(status.term).or_insert(status.id);
        (first != status.id).then(|| format!("{first} and {} both led term {}", status.id, status.term))
    }

    /// How many terms had a leader.
    pub fn terms(&self) -> usize {
        self.0.len()
    }
}
