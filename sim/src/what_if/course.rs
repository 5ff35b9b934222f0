//! The course of events after the fault: the scheduler's own machine looks at the tables as the leader's would, what it
//! proposes is applied, and what is assigned answers after a while. Time jumps from one event to the next.

use std::collections::{BTreeMap, BTreeSet};

use actors::scheduler::machine::Machine;
use domain::decide::placement::{Problem, explain};
use domain::deployment::{self, Phase};
use domain::node::Standing;
use domain::{Command, DeploymentId, Envelope, Epoch, Millis, NodeId, RequestId, View};

use super::{Moved, Unplaced, is_alive, place};

/// The monotonic clock at the fault: any time by which the leases of the past do not matter.
const FAULT: Millis = 100_000;
/// How often the leader looks at leases, and how soon it looks again after a round, in milliseconds.
const TICK_MS: Millis = 500;
const ROUND_MS: Millis = 50;
/// After this time without an end the course is cut off, in milliseconds.
const LONGEST_MS: Millis = 3_600_000;

/// A replica under the epoch it has.
type Key = (DeploymentId, u32, Epoch);

pub(super) struct Course {
    view: View,
    machine: Machine,
    lost: BTreeSet<NodeId>,
    /// Nodes that renew their leases.
    up: BTreeSet<NodeId>,
    start_ms: Millis,
    now: Millis,
    /// The cluster's time at the fault.
    time: Millis,
    /// When replicas that were assigned answer.
    starting: BTreeMap<Key, Millis>,
    /// What was decided: why and when.
    decided: BTreeMap<Key, (String, Millis)>,
    taken: Option<Millis>,
}

impl Course {
    pub(super) fn new(view: &View, lost: &BTreeSet<NodeId>, start_ms: Millis) -> Self {
        let alive = view.state.nodes.rows().filter(|n| is_alive(view, n.id) && !lost.contains(&n.id));
        Self {
            machine: Machine::default(),
            lost: lost.clone(),
            up: alive.map(|node| node.id).collect(),
            start_ms,
            now: FAULT,
            time: view.state.clock(),
            starting: BTreeMap::new(),
            decided: BTreeMap::new(),
            taken: None,
            view: view.clone(),
        }
    }

    /// Runs until nothing happens any more.
    pub(super) fn run(&mut self, leader_lost: bool) {
        if leader_lost {
            // The lost leader's own lease, then the longest wait before an election; its successor waits a whole lease.
            let usual = consensus::Config::new(self.view.me, "", 0);
            self.now += 2 * usual.election_max_ms;
            self.machine.lead(Some(2), self.now);
        } else {
            self.machine.lead(Some(1), 0);
            // The worst case: they renewed a moment before.
            let lost = self.lost.clone();
            self.renew(&lost);
        }
        self.gather(|_| "it was starting".to_owned());
        while self.now < FAULT + LONGEST_MS {
            let up = self.up.clone();
            self.renew(&up);
            self.answer();
            let busy = self.round();
            let waits = !self.starting.is_empty() || self.holds_work();
            if !busy && !waits {
                return;
            }
            self.now += if busy { ROUND_MS } else { TICK_MS };
        }
    }

    fn wall(&self) -> Millis {
        self.time + (self.now - FAULT)
    }

    fn renew(&mut self, nodes: &BTreeSet<NodeId>) {
        for id in nodes {
            if let Some(node) = self.view.state.nodes.get(id) {
                self.machine.renew(*id, node.incarnation, self.now);
            }
        }
    }

    /// Whether a node that is gone still counts as one that holds its work.
    fn holds_work(&self) -> bool {
        let rows = self.view.state.nodes.rows();
        rows.filter(|node| !self.up.contains(&node.id)).any(|node| node.standing.counts())
    }

    /// One look of the leader; whether it proposed anything.
    fn round(&mut self) -> bool {
        let proposals = self.machine.look(&self.view, self.now, self.wall());
        let mut reasons = BTreeMap::new();
        let mut changed = false;
        for proposal in proposals {
            if let Command::Deployment(deployment::Command::Assign { id, ordinal, .. }) = &proposal.command {
                // `replica dep-…/0: why`
                let why = proposal.why.split_once(": ").map_or(proposal.why.as_str(), |(_, why)| why);
                reasons.insert((*id, *ordinal), why.to_owned());
            }
            changed |= self.apply(proposal.command);
        }
        self.machine.done();
        let gone =
            |id: &NodeId| self.view.state.nodes.get(id).is_none_or(|node| node.standing == Standing::Lost);
        if self.taken.is_none() && self.lost.iter().all(gone) {
            self.taken = Some(self.now - FAULT);
        }
        self.gather(|(id, ordinal, _)| reasons.get(&(*id, *ordinal)).cloned().unwrap_or_default());
        changed
    }

    /// Takes in what was assigned since.
    fn gather(&mut self, why: impl Fn(&Key) -> String) {
        for row in self.view.state.deployments.rows() {
            for replica in row.replicas.iter().filter(|replica| self.up.contains(&replica.node)) {
                let key = (row.id, replica.ordinal, replica.epoch);
                let starts =
                    matches!(replica.phase, Phase::Assigned | Phase::Starting | Phase::Restarting { .. });
                if starts && !self.starting.contains_key(&key) {
                    self.starting.insert(key, self.now + self.start_ms);
                    self.decided.insert(key, (why(&key), self.now - FAULT));
                }
            }
        }
    }

    /// What has started by now answers.
    fn answer(&mut self) {
        let due: Vec<Key> =
            self.starting.iter().filter(|(_, at)| **at <= self.now).map(|(key, _)| *key).collect();
        for key in due {
            self.starting.remove(&key);
            let (id, ordinal, epoch) = key;
            let report = deployment::Command::Report { id, ordinal, epoch, phase: Phase::Ready };
            self.apply(Command::Deployment(report));
        }
    }

    /// Whether the tables took it.
    fn apply(&mut self, command: Command) -> bool {
        self.view.applied += 1;
        let id = RequestId(u128::from(self.view.applied));
        let envelope = Envelope { at: self.wall(), ..Envelope::new(id, command) };
        let mut changes = Vec::new();
        self.view.state.apply(self.view.applied, &envelope, &mut changes).is_ok()
    }

    pub(super) fn view(&self) -> &View {
        &self.view
    }

    /// When the last lost node's work was taken from it.
    pub(super) fn taken(&self) -> Option<Millis> {
        self.taken
    }

    /// Replicas that are elsewhere than before, in order of time.
    pub(super) fn moves(&self, before: &View) -> Vec<Moved> {
        let mut moves = Vec::new();
        for row in self.view.state.deployments.rows() {
            for replica in &row.replicas {
                let was = before.state.deployments.get(&row.id);
                let was = was.and_then(|old| old.replica(replica.ordinal));
                let decided = self.decided.get(&(row.id, replica.ordinal, replica.epoch));
                let Some((why, at)) = decided.filter(|_| was.is_none_or(|w| w.epoch != replica.epoch)) else {
                    continue;
                };
                moves.push(Moved {
                    deployment: row.spec.name.clone(),
                    ordinal: replica.ordinal,
                    from: was.map(|was| place(before, was.node)),
                    to: place(before, replica.node),
                    decided_ms: *at,
                    ready_ms: at + self.start_ms,
                    why: why.clone(),
                });
            }
        }
        moves.sort_by(|a, b| {
            (a.decided_ms, &a.deployment, a.ordinal).cmp(&(b.decided_ms, &b.deployment, b.ordinal))
        });
        moves
    }

    /// Replicas without a place in the end.
    pub(super) fn unplaced(&self) -> Vec<Unplaced> {
        let found = explain(&Problem::of(&self.view, self.wall())).into_iter();
        let name = |id: DeploymentId| self.view.state.deployments.get(&id).map(|row| row.spec.name.clone());
        found
            .map(|(id, ordinal, why)| Unplaced {
                deployment: name(id).unwrap_or_else(|| id.to_string()),
                ordinal,
                why: why.to_string(),
            })
            .collect()
    }
}
