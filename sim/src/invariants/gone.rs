//! Who was removed is out for ever: it is not back in the tables, nothing is routed to it, and once it has heard of it, it
//! ends. Whether one that never hears ends too shows in the end, when all links are well.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::decide::routing::{self, Target};
use domain::{NodeId, View};

/// How long a node may go on that knows that it was removed, before it begins to stop.
const GRACE: Duration = Duration::from_secs(2);

/// Remembers since when nodes know that they were removed.
#[derive(Debug, Default)]
pub struct GoneForGood(BTreeMap<NodeId, Duration>);

impl GoneForGood {
    /// Looks at a running node's view; tells what it still has of nodes that were removed, itself among them.
    pub fn look(&mut self, view: &View, now: Duration) -> Option<String> {
        let (me, state) = (view.me, &view.state);
        if !state.gone.contains(&me) {
            self.0.remove(&me);
        } else if *self.0.entry(me).or_insert(now) + GRACE < now {
            return Some(format!("{me} has known for {GRACE:?} that it was removed, and goes on"));
        }
        if let Some(back) = state.gone.rows().find(|gone| state.nodes.contains(&gone.id)) {
            return Some(format!("{me} has {} among the nodes and among those removed", back.id));
        }
        if state.gone.is_empty() {
            return None;
        }
        state.deployments.rows().find_map(|row| {
            let targets = routing::targets(view, &row.spec.name).unwrap_or_default();
            let gone = |target: &Target| match target {
                Target::Replica { node, .. } if state.gone.contains(node) => Some(*node),
                _ => None,
            };
            let node = targets.iter().find_map(gone)?;
            Some(format!("{me} routes {} to {node}, which was removed", row.spec.name))
        })
    }
}
