//! Looks into the nodes while they run: what must always hold, who leads, who hosts what, and what is not yet as it should
//! be. Borrows nodes between two moments of simulated time and lets go of them at once.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::View;
use domain::decide::{routing, voters};
use domain::deployment::Phase;
use domain::node::Standing;
use runtime::{Held, NodeHandle};

use crate::invariants::{
    Agreement, GoneForGood, Keys, Moves, OneHost, OneLeader, Placement, Restarts, Stay, Violation, bounded,
    keys, routable,
};
use crate::scenario::Check;
use crate::world::{Host, Place, World, boot};

/// The checks that look inside.
pub(super) struct Watch {
    checks: Vec<Check>,
    one_leader: OneLeader,
    agreement: Agreement,
    one_host: OneHost,
    gone: GoneForGood,
    keys: Keys,
    moves: Moves,
    placement: Placement,
    restarts: Restarts,
    stay: Stay,
    /// What was found, each kind once.
    found: Vec<Violation>,
    /// Who leads, and in which term.
    leader: Option<(usize, u64)>,
}

impl Watch {
    /// Looks for these.
    pub(super) fn new(checks: &[Check]) -> Self {
        Self {
            checks: checks.to_vec(),
            one_leader: OneLeader::default(),
            agreement: Agreement::default(),
            one_host: OneHost::default(),
            gone: GoneForGood::default(),
            keys: Keys::default(),
            moves: Moves::default(),
            placement: Placement::default(),
            restarts: Restarts::default(),
            stay: Stay::default(),
            found: Vec::new(),
            leader: None,
        }
    }

    /// The cluster has become ready: from now on a scenario may ask that what is well stays.
    pub(super) fn ready(&mut self, world: &World) {
        if let Some(view) = world.furthest() {
            self.stay.begin(&view);
        }
    }

    /// A fault takes a host's node away.
    pub(super) fn take_away(&mut self, host: &Host) {
        if let Some(node) = host.id() {
            self.stay.take_away(node);
        }
    }

    /// Looks at leaders, routes, replicas and engines: cheap, done often.
    pub(super) fn glance(&mut self, world: &World, now: Duration) {
        self.tell_leader(world);
        for host in &world.hosts {
            let life = host.lives.load(Ordering::Relaxed);
            for (at, label) in host.engines.take_starts() {
                let often = self.restarts.engine(host.number, life, &label, at);
                self.find(Check::RestartIntensity, often);
                let started = self.stay.holds(&label);
                let started = started.then(|| format!("the engine of {label} was started again"));
                self.find(Check::HealthyStay, started);
            }
            if let Some(node) = host.node() {
                self.glance_at(host, life, &node, now);
            }
        }
        if let Some(view) = world.furthest() {
            for moved in self.moves.look(&view, now) {
                tracing::info!(what = %moved.what, needless = moved.needless, "replica moved");
                self.find(Check::NoNeedlessMove, moved.needless.then(|| moved.what.clone()));
                self.find(Check::HealthyStay, self.stay.holds(&moved.label).then_some(moved.what));
            }
            let wrong = self.placement.look(&view, now);
            self.find(Check::Placement, wrong);
        }
    }

    fn glance_at(&mut self, host: &Host, life: u64, node: &NodeHandle, now: Duration) {
        let (view, directory) = (node.view().load(), node.directory());
        let two = self.one_leader.look(&node.status());
        self.find(Check::OneLeader, two);
        let still = self.gone.look(&view, now);
        self.find(Check::GoneForGood, still);
        self.find(Check::Routable, routable::look(&view));
        self.find(Check::Bounded, bounded::look(node.id(), &directory, boot::IN_FLIGHT_MAX));
        for (name, record) in directory.reconciler().observe().children {
            let often = self.restarts.actor(host.number, life, &name, record.restarts, now);
            self.find(Check::RestartIntensity, often);
        }
        for handle in directory.replicas().values() {
            let identity = handle.identity();
            if handle.observe().pid.is_some() {
                let two = self.one_host.look(host.number, identity.id, identity.ordinal, identity.epoch);
                self.find(Check::OneHostPerEpoch, two);
            }
        }
    }

    /// Tells of each change of the leader.
    fn tell_leader(&mut self, world: &World) {
        let leads = leader(world);
        if leads != self.leader {
            match leads {
                Some((host, term)) => tracing::info!(host = %world.hosts[host].name, term, "leads"),
                None => tracing::info!("nobody leads"),
            }
            self.leader = leads;
        }
    }

    /// Looks at all tables: costly, done now and then.
    pub(super) fn compare(&mut self, world: &World) {
        for host in &world.hosts {
            let Some(node) = host.node() else { continue };
            let view = node.view().load();
            let differ = self.agreement.look(&view);
            self.find(Check::Agreement, differ);
            let wrong = self.keys.look(&view, &node.held(&view));
            self.find(Check::Keys, wrong);
        }
    }

    /// Looks once more when all is well.
    pub(super) fn settle(&mut self, world: &World) {
        self.compare(world);
        for (view, held) in keys_of(world) {
            let known = self.keys.known_outside(&view, &held);
            self.find(Check::Keys, known);
        }
    }

    /// A host's node lost its memory.
    pub(super) fn forget(&mut self, world: &World, host: usize) {
        if let Some(node) = world.hosts[host].node() {
            self.agreement.forget(node.id());
        }
    }

    fn find(&mut self, check: Check, what: Option<String>) {
        if let Some(what) = what
            && self.checks.contains(&check)
            && !self.found.iter().any(|violation| violation.check == check)
        {
            tracing::error!(check = check.name(), %what, "violation");
            self.found.push(Violation { check, what });
        }
    }

    /// What was found so far.
    pub(super) fn found(&self) -> &[Violation] {
        &self.found
    }
}

/// Whether a node that was removed can still hear of it: with a certificate of an authority that was replaced since, nobody
/// talks to it any more, and that is what its operator wanted.
fn can_be_told(world: &World, removed: &NodeHandle) -> bool {
    let trusted = removed.held(&removed.view().load()).authorities;
    keys_of(world).iter().any(|(_, held)| held.authorities.iter().any(|ca| trusted.contains(ca)))
}

/// What each node that belongs to the cluster and runs knows, and which keys it has.
fn keys_of(world: &World) -> Vec<(Arc<View>, Held)> {
    let nodes = world.members().filter_map(|host| host.node());
    let seen = nodes.map(|node| {
        let view = node.view().load();
        let held = node.held(&view);
        (view, held)
    });
    seen.collect()
}

/// The host whose node leads, and its term; of two that think so the one of the later term.
pub(super) fn leader(world: &World) -> Option<(usize, u64)> {
    let statuses = world.hosts.iter().filter_map(|host| Some((host.number, host.node()?.status())));
    let leaders = statuses.filter(|(_, status)| status.role == consensus::Role::Leader);
    leaders.map(|(host, status)| (host, status.term)).max_by_key(|(_, term)| *term)
}

/// Whether a host's node runs and knows what the others know. One that has just started serves what it knew when it
/// died; clients that can choose do not ask it yet.
pub(super) fn caught_up(world: &World, host: usize) -> bool {
    let applied = |host: &crate::world::Host| host.node().map(|node| node.view().load().applied);
    let furthest = world.hosts.iter().filter_map(|host| applied(host)).max().unwrap_or(0);
    applied(&world.hosts[host]).is_some_and(|own| own >= furthest)
}

/// The host of a deployment's first ready replica, as any node knows.
pub(super) fn host_of(world: &World, deployment: &str) -> Option<usize> {
    let asked = world.hosts.iter().find_map(|host| host.node())?;
    let view = asked.view().load();
    let row = view.state.deployment_named(deployment)?;
    let ready = row.replicas.iter().find(|replica| replica.phase == Phase::Ready)?;
    host_named_by(world, ready.node)
}

fn host_named_by(world: &World, node: domain::NodeId) -> Option<usize> {
    world.hosts.iter().find(|host| host.node().is_some_and(|n| n.id() == node)).map(|host| host.number)
}

/// Engines of a deployment that run, by their labels: host and engine.
pub(super) fn engine_of(world: &World, deployment: &str) -> Option<crate::world::Running> {
    let asked = world.hosts.iter().find_map(|host| host.node())?;
    let id = asked.view().load().state.deployment_named(deployment)?.id.to_string();
    let running = world.hosts.iter().flat_map(|host| host.engines.running());
    running.into_iter().find(|engine| engine.label.starts_with(&id))
}

/// What the nodes' own state lacks to be well: every node that belongs to the cluster up, as far as the leader, the right
/// voters among them, every wanted replica running where the tables say; and nobody running who was removed. Empty when
/// nothing.
pub(super) fn pending(world: &World) -> Vec<String> {
    let mut pending = Vec::new();
    let mut applied = Vec::new();
    let wanted = voters::wanted(world.members().count());
    for host in &world.hosts {
        let node = host.node();
        match (host.place(), &node) {
            (Place::Member, None) => pending.push(format!("{} is not up", host.name)),
            (Place::Gone, Some(node)) if can_be_told(world, node) => {
                pending.push(format!("{} was removed and still runs", host.name))
            }
            _ => {}
        }
        let leaking = host.engines.running().into_iter().filter(|engine| engine.leaks());
        pending.extend(leaking.map(|engine| format!("the engine of {} goes on leaking", engine.label)));
        let Some(node) = node.filter(|_| host.place() == Place::Member) else { continue };
        let view = node.view().load();
        applied.push(view.applied);
        if view.voters.len() != wanted {
            pending.push(format!("{} sees {} of {wanted} voters", host.name, view.voters.len()));
        }
        if view.leader.is_none() {
            pending.push(format!("{} knows no leader", host.name));
        }
        let leaving = view.state.nodes.rows().filter(|row| row.standing == Standing::Leaving);
        pending.extend(leaving.map(|row| format!("{} sees {} still leaving", host.name, row.name)));
        for row in view.state.deployments.rows() {
            for replica in row.replicas.iter().filter(|replica| replica.phase == Phase::Ready) {
                let label = format!("{}/{}", row.id, replica.ordinal);
                let there = host_named_by(world, replica.node)
                    .is_some_and(|at| world.hosts[at].engines.running().iter().any(|e| e.label == label));
                if !there {
                    pending.push(format!("{} thinks {label} is ready, but no engine runs there", host.name));
                }
            }
            if routing::ready(&view, row) < row.wanted() as usize {
                let phases: Vec<_> = row.replicas.iter().map(|r| (r.node, r.phase.clone())).collect();
                pending.push(format!("{} sees replicas of {} at {phases:?}", host.name, row.spec.name));
            }
        }
    }
    pending.extend(keys::unsettled(&keys_of(world)));
    if applied.iter().max() != applied.iter().min() {
        pending.push(format!("nodes have applied up to {applied:?}"));
    }
    pending
}
