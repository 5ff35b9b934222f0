//! Nodes that applied equally much of the log have equal tables, whether they applied it one by one, after a restart, or
//! from a snapshot.

use std::collections::BTreeMap;
use std::fmt::Write;

use domain::{NodeId, View};

/// Indexes remembered; older ones are forgotten.
const INDEXES_MAX: usize = 4_096;

/// Remembers the tables' digest at each index that was seen.
#[derive(Debug, Default)]
pub struct Agreement {
    seen: BTreeMap<u64, (NodeId, u64)>,
    last: BTreeMap<NodeId, u64>,
}

impl Agreement {
    /// Looks at a node's tables; tells when another node had different ones at the same index.
    pub fn look(&mut self, view: &View) -> Option<String> {
        let (me, index) = (view.me, view.applied);
        if self.last.insert(me, index) == Some(index) || index == 0 {
            return None;
        }
        let digest = digest(view);
        let (other, theirs) = *self.seen.entry(index).or_insert((me, digest));
        while self.seen.len() > INDEXES_MAX {
            self.seen.pop_first();
        }
        (theirs != digest).then(|| format!("{other} and {me} have different tables at index {index}"))
    }

    /// A node whose memory was lost starts again.
    pub fn forget(&mut self, node: NodeId) {
        self.last.remove(&node);
    }
}

/// A digest of everything in the tables. Their debug form shows every row in order of its key.
fn digest(view: &View) -> u64 {
    let mut fold = Fold(0xcbf2_9ce4_8422_2325);
    // Folding into a number cannot fail.
    let _ = write!(fold, "{:?}", view.state);
    fold.0
}

struct Fold(u64);

impl Write for Fold {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for chunk in text.as_bytes().chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.0 = (self.0 ^ u64::from_le_bytes(word)).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
        Ok(())
    }
}
