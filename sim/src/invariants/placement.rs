//! Replicas are placed where they may be: on nodes that stand and offer the engine, as evenly over zones as the nodes allow,
//! with GPUs that are there and that nobody else has. Looked at in the view of the node that is furthest.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::deployment::{Deployment, Phase, Replica};
use domain::node::{Node, Standing};
use domain::{DeploymentId, Epoch, NodeId, View};

/// A node must have stood, and a replica have been gone from its zone, for so long before that is held against a placement: the
/// scheduler decides on what it knew a moment ago.
const KNOWN_MIN: Duration = Duration::from_secs(3);

/// Which replica: the deployment and its number there.
type Which = (DeploymentId, u32);

/// Remembers which assignments were looked at, and since when each node stands.
#[derive(Debug, Default)]
pub struct Placement {
    known: BTreeSet<Epoch>,
    stands_since: BTreeMap<NodeId, Duration>,
    /// Standings at the last look.
    before: BTreeMap<NodeId, Standing>,
    /// The zone that each replica was last seen in, and when.
    lately: BTreeMap<Which, (String, Duration)>,
}

impl Placement {
    /// Looks at the furthest view; tells what is placed where it may not be.
    pub fn look(&mut self, view: &View, now: Duration) -> Option<String> {
        self.stands_since.retain(|id, _| view.state.nodes.get(id).is_some_and(|node| stands(node)));
        for node in view.state.nodes.rows().filter(|node| stands(node)) {
            self.stands_since.entry(node.id).or_insert(now);
        }
        self.note_zones(view, now);
        let mut wrong = gpu_twice(view);
        for row in view.state.deployments.rows() {
            for replica in &row.replicas {
                // One that is ready already was given away a while ago: the view jumped.
                if self.known.insert(replica.epoch) && replica.phase != Phase::Ready {
                    wrong = wrong.or_else(|| self.misplaced(view, row, replica, now));
                }
            }
        }
        self.before = view.state.nodes.rows().map(|node| (node.id, node.standing)).collect();
        wrong
    }

    fn note_zones(&mut self, view: &View, now: Duration) {
        self.lately.retain(|_, (_, seen)| *seen + KNOWN_MIN > now);
        for row in view.state.deployments.rows() {
            for replica in row.replicas.iter().filter(|replica| holds(view, replica)) {
                if let Some(node) = view.state.nodes.get(&replica.node) {
                    self.lately.insert((row.id, replica.ordinal), (node.zone.clone(), now));
                }
            }
        }
    }

    /// Replicas of a deployment but this one that are in a zone, or were a moment ago and are in no other.
    fn lately_in(&self, row: &Deployment, but: u32, zone: &str) -> usize {
        let all = self.lately.range((row.id, 0)..=(row.id, u32::MAX));
        all.filter(|((_, ordinal), (at, _))| *ordinal != but && at == zone).count()
    }

    /// What is wrong with a new assignment.
    fn misplaced(&self, view: &View, row: &Deployment, replica: &Replica, now: Duration) -> Option<String> {
        let which = format!("replica {}/{} was given to {}", row.id, replica.ordinal, replica.node);
        let Some(node) = view.state.nodes.get(&replica.node) else {
            let was_there = self.before.contains_key(&replica.node);
            return (!was_there).then(|| format!("{which}, which is no node"));
        };
        if !stands(node) && self.before.get(&node.id).is_some_and(|before| *before != Standing::Active) {
            return Some(format!("{which}, which is {:?}", node.standing));
        }
        if !node.capacity.engines.contains(&row.spec.engine) {
            return Some(format!("{which}, which does not offer {}", row.spec.engine));
        }
        let here = others_in(view, row, replica.ordinal, &node.zone);
        let emptier = view.state.nodes.rows().find(|other| {
            let stood = self.stands_since.get(&other.id).is_some_and(|since| *since + KNOWN_MIN <= now);
            let fits = row.spec.resources.gpus == 0 && other.capacity.engines.contains(&row.spec.engine);
            let free = stood && fits && !row.refusals.contains_key(&other.id);
            free && self.lately_in(row, replica.ordinal, &other.zone) < here
        })?;
        let (zone, other) = (&node.zone, &emptier.zone);
        Some(format!("{which} in {zone}, though {other} has fewer of them and {} stands", emptier.id))
    }
}

fn stands(node: &Node) -> bool {
    node.standing == Standing::Active
}

/// Whether it keeps what it was given.
fn holds(view: &View, replica: &Replica) -> bool {
    let node = view.state.nodes.get(&replica.node);
    let kept = node.is_some_and(|node| matches!(node.standing, Standing::Active | Standing::Stopped));
    kept && !matches!(replica.phase, Phase::Failed { .. })
}

/// Replicas of a deployment but this one in a zone.
fn others_in(view: &View, row: &Deployment, but: u32, zone: &str) -> usize {
    let there = |replica: &&Replica| {
        replica.ordinal != but
            && holds(view, replica)
            && view.state.nodes.get(&replica.node).is_some_and(|node| node.zone == zone)
    };
    row.replicas.iter().filter(there).count()
}

fn gpu_twice(view: &View) -> Option<String> {
    let mut given: BTreeMap<(NodeId, u32), String> = BTreeMap::new();
    for row in view.state.deployments.rows() {
        for replica in row.replicas.iter().filter(|replica| holds(view, replica)) {
            let which = format!("replica {}/{}", row.id, replica.ordinal);
            if replica.gpus.len() != row.spec.resources.gpus as usize {
                return Some(format!("{which} has {:?} of {} GPUs", replica.gpus, row.spec.resources.gpus));
            }
            for gpu in &replica.gpus {
                if let Some(other) = given.insert((replica.node, *gpu), which.clone()) {
                    return Some(format!("GPU {gpu} of {} is given to {other} and to {which}", replica.node));
                }
            }
        }
    }
    None
}
