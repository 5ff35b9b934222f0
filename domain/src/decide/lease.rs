//! Nodes' leases as the leader keeps them, on its own monotonic clock. A node that renewed within [`LEASE_MS`] keeps its
//! work whatever gossip says; one that did not is told lost once, and told returned once. A new leader knows of no
//! renewals, so it waits one whole lease before it takes anything from anyone.

use std::collections::BTreeMap;

use crate::ids::{Incarnation, Millis, NodeId};
use crate::limits::LEASE_MS;
use crate::node::{Node, Standing};

/// Nodes told lost at most in one tick: an error of the leader's own clock or link must not empty the cluster at once.
pub const LOSSES_PER_TICK_MAX: usize = 16;

/// What the leader should put into the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// This life of the node lost its lease.
    Lose(NodeId, Incarnation),
    /// The node renews again.
    Return(NodeId),
}

/// The leader's record of renewals. Made anew with each term it leads.
#[derive(Debug, Clone)]
pub struct Leases {
    since: Millis,
    renewed: BTreeMap<NodeId, (Incarnation, Millis)>,
    /// When each node was first seen in the table: one that joins has a whole lease to renew for the first time.
    seen: BTreeMap<NodeId, Millis>,
    ticked: bool,
}

impl Leases {
    /// A leader's record at the moment it began to lead. All times are of one monotonic clock, in milliseconds.
    pub fn new(now: Millis) -> Self {
        Self { since: now, renewed: BTreeMap::new(), seen: BTreeMap::new(), ticked: false }
    }

    /// A node renewed its lease.
    pub fn renew(&mut self, node: NodeId, incarnation: Incarnation, now: Millis) {
        self.renewed.insert(node, (incarnation, now));
    }

    /// When this node's lease ends, as far as this leader knows.
    pub fn ends(&self, node: NodeId) -> Millis {
        let renewed = self.renewed.get(&node).map_or(self.since, |(_, at)| *at);
        renewed.max(self.seen.get(&node).copied().unwrap_or(self.since)) + LEASE_MS
    }

    /// What is due. Forgets nodes that are not in the table any more.
    pub fn tick<'a>(&mut self, nodes: impl Iterator<Item = &'a Node>, now: Millis) -> Vec<Verdict> {
        let mut verdicts = Vec::new();
        let (mut known, mut seen) = (BTreeMap::new(), BTreeMap::new());
        let first_seen = if self.ticked { now } else { self.since };
        let mut losses = 0;
        for node in nodes {
            seen.insert(node.id, *self.seen.entry(node.id).or_insert(first_seen));
            if let Some(renewal) = self.renewed.get(&node.id) {
                known.insert(node.id, *renewal);
            }
            let fresh = self
                .renewed
                .get(&node.id)
                .is_some_and(|(life, at)| *life == node.incarnation && now < at + LEASE_MS);
            match node.standing {
                Standing::Lost if fresh => verdicts.push(Verdict::Return(node.id)),
                // What leaves is on its way out already; back from lost, it would be taken for one that stays.
                Standing::Active | Standing::Stopped
                    if !fresh && now >= self.ends(node.id) && losses < LOSSES_PER_TICK_MAX =>
                {
                    verdicts.push(Verdict::Lose(node.id, node.incarnation));
                    losses += 1;
                }
                _ => {}
            }
        }
        (self.renewed, self.seen, self.ticked) = (known, seen, true);
        verdicts
    }
}
