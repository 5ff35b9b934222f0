//! A false alarm costs latency, never the fleet: suspicion alone takes at most half of the nodes out of routing, as seen by
//! any node. Nodes that the cluster gave up, or that said that they stop, are no false alarms.

use std::collections::BTreeSet;

use domain::decide::routing::{self, Target};
use domain::node::Standing;
use domain::{NodeId, View};

/// The share of the nodes that may be left out, in percent.
const LEFT_OUT_PERCENT_MAX: usize = 50;

/// Looks at a node's view; tells when it leaves out more nodes with ready replicas than it may.
pub fn look(view: &View) -> Option<String> {
    let counted: BTreeSet<NodeId> = view
        .state
        .nodes
        .rows()
        .filter(|node| node.id == view.me || matches!(node.standing, Standing::Active | Standing::Leaving))
        .map(|node| node.id)
        .collect();
    let mut left_out = BTreeSet::new();
    for row in view.state.deployments.rows() {
        let ready = row.replicas.iter().filter(|replica| routing::is_ready(view, replica));
        let targets = routing::targets(view, &row.spec.name).unwrap_or_default();
        let targeted =
            |node| targets.iter().any(|t| matches!(t, Target::Replica { node: n, .. } if *n == node));
        let missing = ready.map(|replica| replica.node).filter(|node| !targeted(*node));
        left_out.extend(missing.filter(|node| counted.contains(node)));
    }
    (left_out.len() * 100 > counted.len() * LEFT_OUT_PERCENT_MAX).then(|| {
        let (me, all) = (view.me, counted.len());
        format!("{me} suspects so many that it leaves {left_out:?} out, of {all} nodes")
    })
}
