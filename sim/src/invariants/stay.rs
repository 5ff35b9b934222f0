//! What runs where it is well stays there: once the cluster is ready, no replica moves or starts again but those of nodes
//! that were taken away.

use std::collections::{BTreeMap, BTreeSet};

use domain::{NodeId, View};

use super::label;

/// Remembers where each replica was when the cluster was ready, and which nodes were taken away since.
#[derive(Debug, Default)]
pub struct Stay {
    /// By label: the deployment and the replica's number.
    placed: BTreeMap<String, NodeId>,
    taken: BTreeSet<NodeId>,
}

impl Stay {
    /// From now on what this view places has to stay.
    pub fn begin(&mut self, view: &View) {
        let rows = view.state.deployments.rows();
        self.placed = rows
            .flat_map(|row| row.replicas.iter().map(|replica| (label(row.id, replica.ordinal), replica.node)))
            .collect();
    }

    /// A node is taken away: what it had may go.
    pub fn take_away(&mut self, node: NodeId) {
        self.taken.insert(node);
    }

    /// Whether the replica of this label has to stay where it is, and as it is.
    pub fn holds(&self, label: &str) -> bool {
        self.placed.get(label).is_some_and(|node| !self.taken.contains(node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_replicas_of_nodes_that_were_taken_away_may_go() {
        let placed = [("d/0", 1), ("d/1", 2)].map(|(label, node)| (label.to_owned(), NodeId(node)));
        let mut stay = Stay { placed: placed.into(), ..Stay::default() };
        assert!(stay.holds("d/0") && stay.holds("d/1"));
        stay.take_away(NodeId(1));
        assert!(!stay.holds("d/0") && stay.holds("d/1"));
        assert!(!stay.holds("d/2"), "what came later is not held");
    }
}
