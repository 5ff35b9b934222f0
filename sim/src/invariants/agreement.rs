//! Nodes that applied equally much of the log have equal tables, whether they applied it one by one, after a restart, or
//! from a snapshot.

use std::collections::BTreeMap;

use domain::{NodeId, State, View};

/// Indexes remembered; older ones are forgotten.
const INDEXES_MAX: usize = 4_096;

/// Remembers the tables at each index that was seen. They share most of their rows, so that this costs little.
#[derive(Debug, Default)]
pub struct Agreement {
    seen: BTreeMap<u64, (NodeId, State)>,
    last: BTreeMap<NodeId, u64>,
}

impl Agreement {
    /// Looks at a node's tables; tells when another node had different ones at the same index.
    pub fn look(&mut self, view: &View) -> Option<String> {
        let (me, index) = (view.me, view.applied);
        if self.last.insert(me, index) == Some(index) || index == 0 {
            return None;
        }
        let differ = match self.seen.get(&index) {
            Some((other, theirs)) => (*theirs != view.state)
                .then(|| format!("{other} and {me} have different tables at index {index}")),
            None => {
                self.seen.insert(index, (me, view.state.clone()));
                None
            }
        };
        while self.seen.len() > INDEXES_MAX {
            self.seen.pop_first();
        }
        differ
    }

    /// A node whose memory was lost starts again.
    pub fn forget(&mut self, node: NodeId) {
        self.last.remove(&node);
    }
}
