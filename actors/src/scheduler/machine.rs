//! What the leader proposes: first leases that ended or came back, then moves of replicas, then the end of what is done.
//! Keeps the record of renewals of one term; forgets it with the term. One round of proposals at a time.

use std::collections::BTreeMap;

use domain::decide::lease::{Leases, Verdict};
use domain::decide::pace::Pace;
use domain::decide::placement::{self, Problem};
use domain::{Command, Epoch, Incarnation, Millis, NodeId, View, node, setting};

/// A verdict that was proposed is not proposed again for this long, in milliseconds: the tables may not show it yet.
pub const SETTLE_MS: Millis = 2_000;

/// A change to propose, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Proposal {
    /// The change.
    pub command: Command,
    /// Why it is proposed.
    pub why: String,
}

/// The scheduler's machine.
#[derive(Debug, Default)]
pub struct Machine {
    reign: Option<Reign>,
    time: Pace,
    busy: bool,
    /// Whether something was to be looked at while a round was under way.
    missed: bool,
}

#[derive(Debug)]
struct Reign {
    term: u64,
    leases: Leases,
    said: BTreeMap<NodeId, (Verdict, Millis)>,
}

impl Machine {
    /// The term this node leads in, if it does.
    pub fn term(&self) -> Option<u64> {
        self.reign.as_ref().map(|reign| reign.term)
    }

    /// This node leads in this term, or does not lead.
    pub fn lead(&mut self, term: Option<u64>, now: Millis) {
        if self.term() != term {
            self.reign = term.map(|term| Reign { term, leases: Leases::new(now), said: BTreeMap::new() });
        }
    }

    /// A node renews its lease; the answer is the term, or `None` where this node does not lead.
    pub fn renew(&mut self, node: NodeId, incarnation: Incarnation, now: Millis) -> Option<u64> {
        let reign = self.reign.as_mut()?;
        reign.leases.renew(node, incarnation, now);
        Some(reign.term)
    }

    /// The next round of proposals; none while one is under way. `now` is the monotonic clock, `wall` the time of day.
    pub fn look(&mut self, view: &View, now: Millis, wall: Millis) -> Vec<Proposal> {
        self.missed = self.busy;
        let time = self.time(view, now, wall);
        let Some(reign) = self.reign.as_mut().filter(|_| !self.busy) else { return Vec::new() };
        let mut proposals = reign.verdicts(view, now);
        if proposals.is_empty() {
            let moves = placement::solve(&Problem::of(view, time)).into_iter();
            proposals = moves.map(propose_move).collect();
        }
        if proposals.is_empty() {
            proposals = departures(view);
        }
        if proposals.is_empty() {
            proposals.extend(placement::rebalanced(&Problem::of(view, time)).map(end_rebalance));
        }
        self.busy = !proposals.is_empty();
        proposals
    }

    /// The time as commands are stamped, in milliseconds since the Unix epoch; what the domain takes as `now`.
    pub fn time(&mut self, view: &View, now: Millis, wall: Millis) -> Millis {
        self.time.reach(wall.max(view.state.clock()), now)
    }

    /// The round is over; the answer is whether to look again soon. Where nothing changed since, looking at once would
    /// only propose the same again.
    pub fn done(&mut self) -> bool {
        self.busy = false;
        std::mem::take(&mut self.missed)
    }
}

impl Reign {
    fn verdicts(&mut self, view: &View, now: Millis) -> Vec<Proposal> {
        self.said.retain(|_, (_, at)| now.saturating_sub(*at) < SETTLE_MS);
        let verdicts = self.leases.tick(view.state.nodes.rows().map(|node| &**node), now);
        let mut proposals = Vec::new();
        for verdict in verdicts {
            let (command, why, id) = match verdict {
                Verdict::Lose(id, incarnation) => {
                    (node::Command::Lose { id, incarnation }, "its lease ran out", id)
                }
                Verdict::Return(id) => (node::Command::Return { id }, "it renews its lease again", id),
            };
            if self.said.get(&id).is_some_and(|(said, _)| *said == verdict) {
                continue;
            }
            self.said.insert(id, (verdict, now));
            proposals.push(Proposal { command: Command::Node(command), why: format!("node {id}: {why}") });
        }
        proposals
    }
}

/// Nodes that were told to leave and have nothing left to do: no replica, no vote.
fn departures(view: &View) -> Vec<Proposal> {
    let busy = |id: NodeId| {
        view.voters.contains(&id)
            || view.state.deployments.rows().any(|d| d.replicas.iter().any(|r| r.node == id))
    };
    let leaving = view.state.nodes.rows().filter(|n| n.standing == node::Standing::Leaving && !busy(n.id));
    leaving
        .map(|n| Proposal {
            command: Command::Node(node::Command::Remove { id: n.id }),
            why: format!("node {}: it was told to leave and has nothing left to do", n.id),
        })
        .collect()
}

fn propose_move((command, why): placement::Move) -> Proposal {
    let of = command.replica().map(|(id, ordinal)| format!("replica {id}/{ordinal}: ")).unwrap_or_default();
    Proposal { command: Command::Deployment(command), why: format!("{of}{why}") }
}

fn end_rebalance(since: Epoch) -> Proposal {
    let command = setting::Command::EndRebalance { since: Some(since) };
    let why = "no replica can be spread better any more".to_owned();
    Proposal { command: Command::Setting(command), why }
}
