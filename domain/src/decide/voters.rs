//! Who should vote in Raft: an odd number spread over zones, the present voters preferred, none given up before a
//! caught-up successor is there.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::NodeId;

/// A node that could vote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Who.
    pub id: NodeId,
    /// Its zone.
    pub zone: String,
    /// Whether its lease is good and it means to stay.
    pub live: bool,
    /// Whether it was told to leave for good.
    pub leaving: bool,
    /// Whether it votes now.
    pub votes: bool,
    /// Whether it leads now.
    pub leads: bool,
    /// Whether its log is close behind.
    pub caught_up: bool,
}

/// How many voters a cluster of `nodes` nodes should have: 1–2 → 1, 3–4 → 3, 5 and more → 5.
pub fn wanted(nodes: usize) -> usize {
    match nodes {
        0..=2 => 1,
        3..=4 => 3,
        _ => 5,
    }
}

/// The voters there should be now, or `None` when the present ones may stay. A change replaces dead voters by live,
/// caught-up ones, grows towards [`wanted`], and shrinks only by voters that are lost or that are too many. Most of those it
/// ends with are there now, as their logs show: a lease may be good for a while after its node died, and a group that dead nodes
/// can outvote could never be changed again.
pub fn choose(candidates: &[Candidate]) -> Option<BTreeSet<NodeId>> {
    let present: BTreeSet<NodeId> = candidates.iter().filter(|c| c.votes).map(|c| c.id).collect();
    let live = candidates.iter().filter(|c| c.live).count();
    // A lost node still counts for the size while it votes: losing one of three must not shrink the group to one. One that
    // leaves does not: three nodes of which one leaves are two.
    let staying = candidates.iter().filter(|c| c.votes && !c.leaving).count();
    let size = wanted(live.max(staying));
    let mut chosen: BTreeSet<NodeId> = BTreeSet::new();
    let mut zones: BTreeMap<&str, usize> = BTreeMap::new();
    let mut pool: Vec<&Candidate> =
        candidates.iter().filter(|c| c.live && (c.votes || c.caught_up)).collect();
    while chosen.len() < size {
        // Fewest voters in the zone first, then present voters, the leader before all, then who is there, then the lowest id.
        pool.sort_by_key(|c| {
            let in_zone = zones.get(c.zone.as_str()).copied().unwrap_or(0);
            (in_zone, !c.votes, !c.leads, !c.caught_up, c.id)
        });
        if pool.is_empty() {
            break;
        }
        let next = pool.remove(0);
        *zones.entry(next.zone.as_str()).or_insert(0) += 1;
        chosen.insert(next.id);
    }
    // No caught-up successor yet: dead voters stay in rather than shrink the group.
    for dead in candidates.iter().filter(|c| c.votes && !c.live) {
        if chosen.len() >= size {
            break;
        }
        chosen.insert(dead.id);
    }
    // An even group is no safer than the odd one below it.
    if chosen.len().is_multiple_of(2) && !present.is_empty() && chosen.len() > present.len() {
        return None;
    }
    let there = candidates.iter().filter(|c| c.live && c.caught_up && chosen.contains(&c.id)).count();
    (there * 2 > chosen.len() && chosen != present).then_some(chosen)
}
