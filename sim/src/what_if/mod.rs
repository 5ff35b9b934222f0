//! What would happen to a cluster, given its exported view: the same decisions that its leader would take (leases, placement,
//! voters), on the same clock, in a few milliseconds and far away from it. Used by `sim what-if`; it asks no cluster, and
//! assumes that what is not hit goes on as it is.

mod course;
mod text;

use std::collections::BTreeSet;
use std::str::FromStr;

use domain::decide::{routing, voters};
use domain::export::{Export, Foreign};
use domain::limits::LEASE_MS;
use domain::node::{Node, Standing};
use domain::{Health, Millis, NodeId, View};
use serde::Serialize;

use course::Course;

/// How long a router takes to leave a dead node alone, as measured of gossip (see `docs/operations.md`), in milliseconds.
const SUSPECTED_MS: Millis = 1_000;

/// Something that is lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// All nodes of a zone.
    Zone(String),
    /// A node, by name or id.
    Node(String),
}

impl FromStr for Fault {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some(("zone", name)) if !name.is_empty() => Ok(Fault::Zone(name.to_owned())),
            Some(("node", name)) if !name.is_empty() => Ok(Fault::Node(name.to_owned())),
            _ => Err("write zone=NAME or node=NAME".to_owned()),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is of another version.
    #[error(transparent)]
    Foreign(#[from] Foreign),
    /// Nothing of that name.
    #[error("the view has no {kind} `{name}`: it has {known}")]
    Unknown {
        /// Zone or node.
        kind: &'static str,
        /// What was asked.
        name: String,
        /// What there is.
        known: String,
    },
}

/// A node as answers name it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Place {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its zone.
    pub zone: String,
}

/// Whether metadata can change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quorum {
    /// Nodes that vote.
    pub voters: usize,
    /// How many of them are left.
    pub left: usize,
    /// Whether that is a majority.
    pub survives: bool,
    /// Whether the leader is lost, so that another is elected first.
    pub leader_lost: bool,
    /// Who votes in the end, where that changes.
    pub voters_then: Option<Vec<String>>,
}

/// A replica that moves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Moved {
    /// The deployment's name.
    pub deployment: String,
    /// Which replica.
    pub ordinal: u32,
    /// Where it was.
    pub from: Option<Place>,
    /// Where it goes.
    pub to: Place,
    /// When that is decided, in milliseconds after the fault.
    pub decided_ms: Millis,
    /// When it answers.
    pub ready_ms: Millis,
    /// Why it moves.
    pub why: String,
}

/// A replica without a place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unplaced {
    /// The deployment's name.
    pub deployment: String,
    /// Which replica.
    pub ordinal: u32,
    /// Why.
    pub why: String,
}

/// A deployment before, at once after, and in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Served {
    /// Its name.
    pub deployment: String,
    /// Replicas wanted.
    pub wanted: usize,
    /// Replicas that answer before the fault.
    pub before: usize,
    /// Replicas that answer right after it.
    pub at_once: usize,
    /// Replicas that answer in the end.
    pub then: usize,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Answer {
    /// What is lost.
    pub faults: Vec<Fault>,
    /// The nodes that are lost by it.
    pub lost: Vec<Place>,
    /// Nodes that did not seem alive already.
    pub not_alive_before: Vec<Place>,
    /// Nodes and zones that are left.
    pub nodes_left: usize,
    /// Zones that have a node left.
    pub zones_left: usize,
    /// Whether metadata can change.
    pub quorum: Quorum,
    /// After how many milliseconds no router sends anything to what is lost.
    pub routed_around_ms: Millis,
    /// When the lost nodes' work is taken from them; `None` where nobody can.
    pub taken_ms: Option<Millis>,
    /// When the last replica answers again; `None` where none moves.
    pub settled_ms: Option<Millis>,
    /// How long an engine is taken to start, in milliseconds.
    pub start_ms: Millis,
    /// Replicas that move, in order of time.
    pub moves: Vec<Moved>,
    /// Replicas without a place in the end.
    pub unplaced: Vec<Unplaced>,
    /// Every deployment that is hit, or does not have all it wants.
    pub deployments: Vec<Served>,
    /// Providers, which go on as they are.
    pub providers: usize,
}

/// Tells what would happen if all of this were lost at once. An engine is taken to start in `start_ms` milliseconds.
///
/// # Errors
/// When the export is of another version, or a fault names nothing in it.
pub fn ask(export: &Export, faults: &[Fault], start_ms: Millis) -> Result<Answer, Error> {
    let before = export.view()?;
    let mut lost = BTreeSet::new();
    for fault in faults {
        lost.extend(hit(&before, fault)?);
    }
    let left = before.voters.iter().filter(|id| !lost.contains(id)).count();
    let survives = left * 2 > before.voters.len();
    let leader_lost = before.leader.is_some_and(|leader| lost.contains(&leader));
    let mut course = Course::new(&before, &lost, start_ms);
    if survives {
        course.run(leader_lost);
    }
    let after = course.view();
    let voters_then = survives.then(|| voters::choose(&candidates(after))).flatten();
    let up = || before.state.nodes.rows().filter(|node| !lost.contains(&node.id) && node.standing.counts());
    let moves = course.moves(&before);
    Ok(Answer {
        faults: faults.to_vec(),
        lost: lost.iter().map(|id| place(&before, *id)).collect(),
        not_alive_before: up().filter(|n| !is_alive(&before, n.id)).map(|n| place(&before, n.id)).collect(),
        nodes_left: up().count(),
        zones_left: up().map(|node| node.zone.as_str()).collect::<BTreeSet<_>>().len(),
        quorum: Quorum {
            voters: before.voters.len(),
            left,
            survives,
            leader_lost,
            voters_then: voters_then.map(|ids| ids.iter().map(|id| place(&before, *id).name).collect()),
        },
        routed_around_ms: SUSPECTED_MS,
        taken_ms: course.taken(),
        settled_ms: moves.iter().map(|moved| moved.ready_ms).max(),
        start_ms,
        moves,
        unplaced: course.unplaced(),
        deployments: served(&before, after, &lost),
        providers: export.providers.len(),
    })
}

/// The nodes that a fault hits.
fn hit(view: &View, fault: &Fault) -> Result<BTreeSet<NodeId>, Error> {
    let nodes = || view.state.nodes.rows();
    let (kind, name, hit): (_, _, BTreeSet<NodeId>) = match fault {
        Fault::Zone(zone) => ("zone", zone, nodes().filter(|n| n.zone == *zone).map(|n| n.id).collect()),
        Fault::Node(name) => {
            let is_it = |n: &Node| n.name == *name || n.id.to_string() == *name;
            ("node", name, nodes().filter(|n| is_it(n)).map(|n| n.id).collect())
        }
    };
    if !hit.is_empty() {
        return Ok(hit);
    }
    let known: BTreeSet<&str> = match fault {
        Fault::Zone(_) => nodes().map(|n| n.zone.as_str()).collect(),
        Fault::Node(_) => nodes().map(|n| n.name.as_str()).collect(),
    };
    let known = known.into_iter().collect::<Vec<_>>().join(", ");
    Err(Error::Unknown { kind, name: name.clone(), known })
}

fn is_alive(view: &View, node: NodeId) -> bool {
    node == view.me || view.liveness.of(node) == Health::Alive
}

fn place(view: &View, id: NodeId) -> Place {
    let row = view.state.nodes.get(&id);
    let text = |field: fn(&Node) -> &str| row.map_or("unknown", |row| field(row)).to_owned();
    Place { id: id.to_string(), name: text(|row| &row.name), zone: text(|row| &row.zone) }
}

/// The nodes as those who choose voters see them, with everybody who is up caught up.
fn candidates(view: &View) -> Vec<voters::Candidate> {
    let candidate = |node: &Node| voters::Candidate {
        id: node.id,
        zone: node.zone.clone(),
        live: node.standing == Standing::Active,
        leaving: node.standing == Standing::Leaving,
        votes: view.voters.contains(&node.id),
        leads: view.leader == Some(node.id),
        caught_up: true,
    };
    view.state.nodes.rows().map(|node| candidate(node)).collect()
}

fn served(before: &View, after: &View, lost: &BTreeSet<NodeId>) -> Vec<Served> {
    let mut served = Vec::new();
    for row in before.state.deployments.rows() {
        let ready = row.replicas.iter().filter(|replica| routing::is_ready(before, replica));
        let one = Served {
            deployment: row.spec.name.clone(),
            wanted: row.wanted() as usize,
            before: routing::ready(before, row),
            at_once: ready.filter(|replica| !lost.contains(&replica.node)).count(),
            then: after.state.deployments.get(&row.id).map_or(0, |row| answering(after, row, lost)),
        };
        if one.at_once < one.wanted || one.then < one.wanted {
            served.push(one);
        }
    }
    served
}

/// Replicas that answer; those of what is lost do not, whatever the tables still say.
fn answering(view: &View, row: &domain::deployment::Deployment, lost: &BTreeSet<NodeId>) -> usize {
    let ready = row.replicas.iter().filter(|replica| routing::is_ready(view, replica));
    ready.filter(|replica| !lost.contains(&replica.node)).count()
}

/// How long after its last renewal a node keeps its work, in seconds.
fn lease_s() -> f64 {
    LEASE_MS as f64 / 1000.0
}

#[cfg(test)]
mod tests;
