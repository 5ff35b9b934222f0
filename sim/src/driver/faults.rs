//! Faults, done to the world. Whom a fault hits is found out when it happens; a fault that finds nobody is tried again a
//! little later, a few times, until the next one is due.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use consensus::mem::Crash;

use super::Driver;
use super::watch::{caught_up, host_of, leader};
use crate::scenario::{Fault, Who, ms};
use crate::world::{Ended, Place, Power, lock};

/// How soon a fault that found nobody is tried again, and how often.
const AGAIN: Duration = ms(100);
const AGAIN_MAX: u32 = 50;
/// How long the service manager waits before it starts a node again.
pub(super) const RESTART_PAUSE: Duration = ms(1_000);
/// The words with which a node tells that it can never go on with what its disk holds.
const WANTS_EMPTY_DISK: [&str; 2] = ["let it join anew", "wipe the directory and join as a new node"];
/// How long a rolling restart waits for one node before it goes on.
const ROLL_PATIENCE: Duration = ms(20_000);

/// Faults under way.
pub(super) struct Faults {
    /// Still to come: when, what, how often it found nobody.
    pub(super) plan: VecDeque<(Duration, Fault, u32)>,
    /// Whoever the last fault hit.
    pub(super) victims: Vec<usize>,
    /// When frozen hosts thaw.
    pub(super) thaw: BTreeMap<usize, Duration>,
    /// When dead hosts are started again by the service manager.
    pub(super) due: BTreeMap<usize, Duration>,
    /// Hosts whose disk does not hold what it held: their nodes may ask for an empty one.
    pub(super) harmed: BTreeSet<usize>,
    /// A rolling restart: who is next, who is at it since when.
    pub(super) roll: VecDeque<usize>,
    rolling: Option<(usize, Duration, u64)>,
    /// When the last fault happened or ended.
    pub(super) last: Duration,
}

impl Faults {
    pub(super) fn new(steps: &[(Duration, Fault)]) -> Self {
        Self {
            plan: steps.iter().map(|(when, fault)| (*when, fault.clone(), 0)).collect(),
            victims: Vec::new(),
            thaw: BTreeMap::new(),
            due: BTreeMap::new(),
            harmed: BTreeSet::new(),
            roll: VecDeque::new(),
            rolling: None,
            last: Duration::ZERO,
        }
    }

    /// Whether the plan goes on only later. A fault is not put off past the next step, which may be meant to end it.
    fn nothing_before(&self, when: Duration) -> bool {
        self.plan.front().is_none_or(|(next, ..)| *next > when)
    }

    /// Whether all have happened and ended.
    pub(super) fn are_over(&self) -> bool {
        self.plan.is_empty() && self.thaw.is_empty() && self.roll.is_empty() && self.rolling.is_none()
    }
}

impl Driver<'_> {
    /// Does what is due. Times of the plan count from `began`.
    pub(super) fn faults(&mut self, began: Duration, now: Duration) {
        while let Some((when, fault, tries)) =
            self.faults.plan.pop_front_if(|(when, ..)| began + *when <= now)
        {
            if self.strike(&fault, now) {
                let victims: Vec<String> = self.faults.victims.iter().map(|host| self.name(*host)).collect();
                tracing::info!(?fault, victims = victims.join(","), "fault");
                self.faults.last = now;
            } else if tries < AGAIN_MAX && self.faults.nothing_before(when + AGAIN) {
                let again = (when + AGAIN, fault, tries + 1);
                let at = self.faults.plan.partition_point(|(other, ..)| *other <= again.0);
                self.faults.plan.insert(at, again);
            } else {
                tracing::warn!(?fault, "fault left out: it found nobody");
            }
        }
        let thawed: Vec<usize> = due(&mut self.faults.thaw, now);
        for host in thawed {
            self.thaw(host);
            self.faults.last = now;
        }
        self.disturb(now);
        self.roll(now);
    }

    /// Looks after nodes that ended by themselves, as a service manager does, and an operator who reads what they say.
    pub(super) fn keep_up(&mut self, now: Duration) {
        let furthest = self.world.furthest();
        let is_gone = |id| furthest.as_ref().is_some_and(|view| view.state.gone.contains(&id));
        for at in 0..self.world.hosts.len() {
            let host = self.world.hosts[at].clone();
            if host.platter.tripped() {
                tracing::info!(host = %host.name, "crash at a write");
                self.kill(at, Crash::KeepsAll, now);
                self.faults.due.insert(at, now + RESTART_PAUSE);
                self.faults.last = now;
            }
            let ended = lock(&host.ended).take();
            if let Some(ended) = ended {
                self.ended(at, &ended, now);
            }
            if host.place() == Place::Member && host.id().is_some_and(is_gone) {
                tracing::info!(host = %host.name, "its node was removed");
                host.stand(Place::Gone);
                self.outages.begin(at, now);
                self.faults.last = now;
            }
            if host.stop.load(Ordering::Relaxed) {
                self.outages.begin(at, now);
            } else if host.place() == Place::Member && host.power() == Power::Up && caught_up(&self.world, at)
            {
                self.outages.end(at, now);
            }
        }
        for host in due(&mut self.faults.due, now) {
            self.start(host);
        }
    }

    fn ended(&mut self, at: usize, ended: &Ended, now: Duration) {
        tracing::info!(host = at, why = %ended.why, removed = ended.removed, "a node ended by itself");
        self.kill(at, Crash::KeepsAll, now);
        let wants_empty_disk = WANTS_EMPTY_DISK.iter().any(|words| ended.why.contains(words));
        if ended.removed {
            self.world.hosts[at].stand(Place::Gone);
        } else if wants_empty_disk && self.faults.harmed.contains(&at) {
            self.replace_disk(at, now);
            self.faults.last = now;
        } else {
            self.faults.due.insert(at, now + RESTART_PAUSE);
        }
    }

    /// Goes on with a rolling restart: the next node stops when the one before has come back.
    fn roll(&mut self, now: Duration) {
        if let Some((host, since, lives)) = self.faults.rolling {
            let at = &self.world.hosts[host];
            let back = at.lives.load(Ordering::Relaxed) > lives && at.node().is_some();
            let well = back && super::watch::pending(&self.world).is_empty();
            if !well && now < since + ROLL_PATIENCE {
                return;
            }
            self.faults.rolling = None;
            self.faults.last = now;
        }
        if let Some(next) = self.faults.roll.pop_front() {
            let host = &self.world.hosts[next];
            if host.node().is_some() {
                tracing::info!(host = %host.name, "graceful stop");
                host.stop.store(true, Ordering::Relaxed);
                self.outages.begin(next, now);
                self.faults.rolling = Some((next, now, host.lives.load(Ordering::Relaxed)));
            }
        }
    }

    pub(super) fn find(&self, who: &Who) -> Vec<usize> {
        match who {
            Who::Leader => leader(&self.world).into_iter().map(|(host, _)| host).collect(),
            Who::HostOf(name) => host_of(&self.world, name).into_iter().collect(),
            Who::Node(host) if *host < self.world.hosts.len() => vec![*host],
            Who::Node(_) => Vec::new(),
            Who::Zone(zone) => {
                let members = self.world.members().map(|host| host.number);
                members.filter(|host| self.scenario.zone_of(*host) == *zone).collect()
            }
            Who::Victim => self.faults.victims.clone(),
        }
    }
}

/// Takes out what is due.
fn due(times: &mut BTreeMap<usize, Duration>, now: Duration) -> Vec<usize> {
    let hosts: Vec<usize> = times.iter().filter(|(_, at)| **at <= now).map(|(host, _)| *host).collect();
    times.retain(|host, _| !hosts.contains(host));
    hosts
}
