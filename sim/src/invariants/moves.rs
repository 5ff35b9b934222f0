//! No replica moves without a reason that the tables show: its host failed it, lost its lease, leaves or is gone. And none
//! moves again and again. Looked at in the view of the node that is furthest, which jumps when that one dies: so a reason
//! counts that shows before or after.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use domain::deployment::{Deployment, Phase, Replica};
use domain::node::Standing;
use domain::{DeploymentId, Epoch, Millis, NodeId, View};

use super::label;

/// How often one replica may move within a minute: more than there are faults in a run, far less than a loop would.
const MOVES_PER_MINUTE_MAX: usize = 12;
const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Seen {
    epoch: Epoch,
    node: NodeId,
    failed: bool,
    /// Since when its node's standing was what it was; `None` when its node could not keep it anyway.
    stood_since: Option<Millis>,
}

/// A replica that moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Which, by its label.
    pub label: String,
    /// In words.
    pub what: String,
    /// Whether the tables do not show why.
    pub needless: bool,
}

/// Remembers where each replica was, and when it moved.
#[derive(Debug, Default)]
pub struct Moves {
    seen: BTreeMap<(DeploymentId, u32), Seen>,
    times: BTreeMap<(DeploymentId, u32), VecDeque<Duration>>,
    applied: u64,
}

impl Moves {
    /// Looks at the furthest view; tells which replicas moved since the last look.
    pub fn look(&mut self, view: &View, now: Duration) -> Vec<Moved> {
        if view.applied <= self.applied {
            return Vec::new();
        }
        self.applied = view.applied;
        let mut moved = Vec::new();
        let mut seen = BTreeMap::new();
        for row in view.state.deployments.rows() {
            for replica in &row.replicas {
                let which = (row.id, replica.ordinal);
                let was = self.seen.get(&which).filter(|was| was.epoch != replica.epoch);
                if let Some(was) = was {
                    let often = count(self.times.entry(which).or_default(), now);
                    let reason = has_reason(view, row, was);
                    let label = label(row.id, replica.ordinal);
                    let (from, to) = (was.node, replica.node);
                    let what = match reason {
                        true => {
                            format!("replica {label} moved from {from} to {to}, {often} times in a minute")
                        }
                        false => format!("replica {label} moved from {from} to {to}, though {from} stands"),
                    };
                    moved.push(Moved { label, what, needless: !reason || often > MOVES_PER_MINUTE_MAX });
                }
                seen.insert(which, remember(view, replica));
            }
        }
        self.seen = seen;
        moved
    }
}

fn count(times: &mut VecDeque<Duration>, now: Duration) -> usize {
    times.push_back(now);
    times.retain(|at| *at + MINUTE > now);
    times.len()
}

/// Since when a node stands that can keep what it has.
fn stands(view: &View, node: NodeId) -> Option<Millis> {
    let row = view.state.nodes.get(&node)?;
    matches!(row.standing, Standing::Active | Standing::Stopped).then_some(row.since)
}

fn remember(view: &View, replica: &Replica) -> Seen {
    let failed = matches!(replica.phase, Phase::Failed { .. });
    Seen { epoch: replica.epoch, node: replica.node, failed, stood_since: stands(view, replica.node) }
}

fn has_reason(view: &View, row: &Deployment, was: &Seen) -> bool {
    let refused = row.refusals.contains_key(&was.node);
    // A standing that changed meanwhile was something else in between.
    was.failed || refused || was.stood_since.is_none() || stands(view, was.node) != was.stood_since
}
