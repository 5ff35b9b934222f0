//! The next step that brings Raft's membership in line with the nodes table. Pure, and idempotent: with the step done it
//! yields the next one, and none when all is in order. Run by the leader's membership actor, one step at a time, in an
//! order that never leaves the group smaller before a successor has caught up, nor lets a node vote that cannot open the
//! cluster's secrets. Keys are replaced last, once everyone has what they should have.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::rotation;
use domain::decide::voters::{self, Candidate};
use domain::node::{Node, Standing};
use domain::{NodeId, State, level};

use crate::ports::{Member, Members};

/// One step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Let a node learn, or tell Raft its new address.
    Learn {
        /// Which node.
        node: NodeId,
        /// Where Raft reaches it.
        addr: String,
    },
    /// Give the data key to a node that is to vote.
    Grant(NodeId),
    /// Make exactly these the voters.
    Vote(BTreeSet<NodeId>),
    /// Forget a learner that left the cluster.
    Forget(NodeId),
    /// Take the data key from a node that votes no more.
    Withdraw(NodeId),
    /// Raise the cluster's feature level, now that every node knows it.
    Raise(u16),
    /// Take a step of replacing a key of the cluster.
    Rotate(rotation::Step),
}

impl std::fmt::Display for Step {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Step::Learn { node, addr } => write!(f, "node {node} learns the log at {addr}"),
            Step::Grant(node) => write!(f, "node {node} gets the data key"),
            Step::Vote(voters) => write!(f, "voters are {voters:?}"),
            Step::Forget(node) => write!(f, "node {node} is forgotten"),
            Step::Withdraw(node) => write!(f, "node {node} gives the data key back"),
            Step::Raise(level) => write!(f, "the cluster uses feature level {level}"),
            Step::Rotate(step) => step.fmt(f),
        }
    }
}

/// The next step, if one is needed, as the leader sees it.
pub fn next(leader: NodeId, state: &State, members: &Members) -> Option<Step> {
    let by_id: BTreeMap<NodeId, &Member> = members.nodes.iter().map(|m| (m.node, m)).collect();
    let present: BTreeSet<NodeId> = members.nodes.iter().filter(|m| m.votes).map(|m| m.node).collect();
    if present.is_empty() {
        // Raft is not initialised, or its membership is not known here.
        return None;
    }
    learn(state, &by_id).or_else(|| vote(leader, state, members, &by_id, &present)).or_else(|| {
        let gone = members.nodes.iter().find(|m| !m.votes && !state.nodes.contains(&m.node));
        gone.map(|m| Step::Forget(m.node)).or_else(|| {
            // Who leads keeps the key, or nobody could give it to the next voter.
            let is_idle = |id: &NodeId| !present.contains(id) && *id != leader;
            let idle = state.wraps.rows().find(|wrap| is_idle(&wrap.node));
            idle.map(|wrap| Step::Withdraw(wrap.node))
                .or_else(|| level::next(state).map(Step::Raise))
                .or_else(|| rotation::next(state).map(Step::Rotate))
        })
    })
}

fn learn(state: &State, by_id: &BTreeMap<NodeId, &Member>) -> Option<Step> {
    let differs = |node: &Node| match by_id.get(&node.id) {
        None => node.standing == Standing::Active,
        Some(member) => member.addr != node.cluster_addr,
    };
    let node = state.nodes.rows().find(|node| differs(node))?;
    Some(Step::Learn { node: node.id, addr: node.cluster_addr.clone() })
}

fn vote(
    leader: NodeId,
    state: &State,
    members: &Members,
    by_id: &BTreeMap<NodeId, &Member>,
    present: &BTreeSet<NodeId>,
) -> Option<Step> {
    let candidates: Vec<Candidate> = state
        .nodes
        .rows()
        .filter_map(|node| {
            let member = by_id.get(&node.id)?;
            Some(Candidate {
                id: node.id,
                zone: node.zone.clone(),
                live: node.standing.counts(),
                leaving: node.standing == Standing::Leaving,
                votes: member.votes,
                leads: node.id == leader,
                caught_up: member.caught_up,
            })
        })
        .collect();
    let wanted = voters::choose(&candidates).or_else(|| without_gone(state, &candidates, present));
    let wanted = wanted.filter(|w| !w.is_empty());
    // Whoever votes, or is about to, must be able to open the cluster's secrets first.
    let voting = wanted.as_ref().unwrap_or(present);
    let locked_out = voting.iter().find(|id| !state.wraps.contains(id) && state.nodes.contains(id));
    match locked_out {
        Some(node) => Some(Step::Grant(*node)),
        // Whoever began the change died or gave up before it was whole, and nobody else ends it.
        None if members.joint => Some(Step::Vote(voting.clone())),
        None => wanted.filter(|w| w != present).map(Step::Vote),
    }
}

/// The present voters without those that left the cluster, unless a live node is still catching up to succeed them: a
/// dead voter that waits for its successor harms no more than a smaller group.
fn without_gone(
    state: &State,
    candidates: &[Candidate],
    present: &BTreeSet<NodeId>,
) -> Option<BTreeSet<NodeId>> {
    let staying: BTreeSet<NodeId> = present.iter().filter(|id| state.nodes.contains(id)).copied().collect();
    let catching_up = candidates.iter().any(|c| c.live && !c.votes && !c.caught_up);
    (staying.len() < present.len() && !catching_up).then_some(staying)
}
