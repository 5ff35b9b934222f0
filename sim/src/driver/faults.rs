//! Faults, done to the world. Whom a fault hits is found out when it happens; a fault that finds nobody is tried again a
//! little later, a few times, until the next one is due.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Duration;

use consensus::mem::Crash;

use super::Driver;
use super::watch::{caught_up, engine_of, host_of, leader};
use crate::scenario::{Fault, Who, ms};
use crate::world::{DISK_LATENCY, Power, lock};

/// How soon a fault that found nobody is tried again, and how often.
const AGAIN: Duration = ms(100);
const AGAIN_MAX: u32 = 50;
/// How long the service manager waits before it starts a node again.
pub(super) const RESTART_PAUSE: Duration = ms(1_000);
/// How long a rolling restart waits for one node before it goes on.
const ROLL_PATIENCE: Duration = ms(20_000);

/// Faults under way.
pub(super) struct Faults {
    /// Still to come: when, what, how often it found nobody.
    pub(super) plan: VecDeque<(Duration, Fault, u32)>,
    /// Whoever the last fault hit.
    victims: Vec<usize>,
    /// When frozen hosts thaw.
    thaw: BTreeMap<usize, Duration>,
    /// When dead hosts are started again by the service manager.
    due: BTreeMap<usize, Duration>,
    /// A rolling restart: who is next, who is at it since when.
    roll: VecDeque<usize>,
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
        self.roll(now);
    }

    /// Starts nodes again that ended by themselves, as a service manager does.
    pub(super) fn keep_up(&mut self, now: Duration) {
        for at in 0..self.world.hosts.len() {
            let host = self.world.hosts[at].clone();
            let ended = lock(&host.ended).take();
            if let Some(reason) = ended {
                tracing::info!(host = %host.name, %reason, "a node ended by itself");
                self.kill(at, Crash::KeepsAll, now);
                self.faults.due.insert(at, now + RESTART_PAUSE);
            }
            let stopping = host.stop.load(Ordering::Relaxed);
            if host.power() == Power::Up && !stopping && caught_up(&self.world, at) {
                self.outages.end(at, now);
            }
        }
        for host in due(&mut self.faults.due, now) {
            self.start(host);
        }
    }

    /// Does one fault; says whether it found somebody.
    fn strike(&mut self, fault: &Fault, now: Duration) -> bool {
        match fault {
            Fault::Heal => self.heal(),
            Fault::OneWay(from, to) => {
                let names = (self.name(*from), self.name(*to));
                self.sim.partition_oneway(names.0, names.1);
            }
            Fault::RollingRestart => self.faults.roll = (0..self.world.hosts.len()).collect(),
            Fault::KillEngine(name) | Fault::HangEngine(name) => {
                let Some(engine) = engine_of(&self.world, name) else { return false };
                if matches!(fault, Fault::KillEngine(_)) { engine.kill() } else { engine.hang() }
            }
            Fault::Kill(who)
            | Fault::PowerOff(who)
            | Fault::Restart(who)
            | Fault::Wipe(who)
            | Fault::Pause(who, _)
            | Fault::Isolate(who)
            | Fault::Delay(who, _)
            | Fault::Lose(who, _)
            | Fault::SlowDisk(who, _)
            | Fault::FillDisk(who)
            | Fault::ClockJump(who, _) => {
                let hit = self.find(who);
                if hit.is_empty() {
                    return false;
                }
                self.faults.victims = hit.clone();
                hit.iter().for_each(|host| self.hit(*host, fault, now));
            }
        }
        true
    }

    fn hit(&mut self, host: usize, fault: &Fault, now: Duration) {
        let others = self.others(host);
        let name = self.name(host);
        match fault {
            Fault::Kill(_) => self.crash(host, now),
            Fault::PowerOff(_) => {
                // Cut first, so that nobody hears the connections close.
                let everybody = self.everybody_but(host);
                everybody.iter().for_each(|other| self.sim.partition(name.as_str(), other.as_str()));
                self.crash(host, now);
                everybody.iter().for_each(|other| self.sim.repair(name.as_str(), other.as_str()));
                self.world.hosts[host].set_power(Power::Off);
            }
            Fault::Restart(_) => self.start(host),
            Fault::Wipe(_) => {
                self.crash(host, now);
                self.world.hosts[host].wipe();
                self.faults.due.insert(host, now + RESTART_PAUSE);
            }
            Fault::Pause(_, span) => {
                for other in self.everybody_but(host) {
                    self.sim.hold(name.as_str(), other.as_str());
                }
                self.faults.thaw.insert(host, now + *span);
            }
            Fault::Isolate(_) => {
                // A zone is cut off as a whole: its nodes still reach each other.
                let along: Vec<String> = self.faults.victims.iter().map(|v| self.name(*v)).collect();
                for other in others.iter().filter(|other| !along.contains(other)) {
                    self.sim.partition(name.as_str(), other.as_str());
                }
            }
            Fault::Delay(_, delay) => {
                for other in &others {
                    self.sim.set_link_max_message_latency(name.as_str(), other.as_str(), *delay);
                }
            }
            Fault::SlowDisk(_, latency) => self.world.hosts[host].platter.set_latency(*latency),
            Fault::FillDisk(_) => {
                let platter = &self.world.hosts[host].platter;
                platter.set_capacity(Some(platter.bytes()));
            }
            Fault::ClockJump(_, by) => {
                self.world.hosts[host].skew_ms.fetch_add(*by, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// The node dies; the seed says what its disk keeps of what was not durable.
    fn crash(&mut self, host: usize, now: Duration) {
        let crash = match self.dice.between(0, 3) {
            0 => Crash::KeepsAll,
            1 => Crash::LosesAll,
            _ => Crash::Tears(self.dice.draw()),
        };
        tracing::info!(host = %self.name(host), ?crash, "crash");
        self.kill(host, crash, now);
        self.faults.due.remove(&host);
    }

    fn kill(&mut self, at: usize, crash: Crash, now: Duration) {
        let host = self.world.hosts[at].clone();
        self.watch.forget(&self.world, at);
        self.outages.begin(at, now);
        host.set_power(Power::NoNode);
        self.sim.crash(host.name.as_str());
        host.platter.crash(crash);
        host.stop.store(false, Ordering::Relaxed);
        lock(&host.ended).take();
    }

    fn start(&mut self, at: usize) {
        let host = self.world.hosts[at].clone();
        if host.power() != Power::Up {
            tracing::info!(host = %host.name, "start");
            host.set_power(Power::Up);
            self.sim.bounce(host.name.as_str());
        }
    }

    fn heal(&mut self) {
        let most = ms(self.scenario.weather.latency_ms_max);
        for host in 0..self.world.hosts.len() {
            let name = self.name(host);
            if self.faults.thaw.remove(&host).is_some() {
                self.thaw(host);
            }
            for other in self.others(host) {
                self.sim.repair(name.as_str(), other.as_str());
                self.sim.set_link_max_message_latency(name.as_str(), other.as_str(), most);
            }
            self.world.hosts[host].platter.set_latency(DISK_LATENCY);
            self.world.hosts[host].platter.set_capacity(None);
        }
    }

    fn thaw(&mut self, host: usize) {
        let name = self.name(host);
        for other in self.everybody_but(host) {
            self.sim.release(name.as_str(), other.as_str());
        }
    }

    /// Goes on with a rolling restart: the next node stops when the one before has come back.
    fn roll(&mut self, now: Duration) {
        if let Some((host, since, lives)) = self.faults.rolling {
            let at = &self.world.hosts[host];
            let back = at.lives.load(Ordering::Relaxed) > lives && at.node().is_some();
            let well = back && super::watch::pending(&self.world, &self.scenario).is_empty();
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

    fn find(&self, who: &Who) -> Vec<usize> {
        match who {
            Who::Leader => leader(&self.world).into_iter().map(|(host, _)| host).collect(),
            Who::HostOf(name) => host_of(&self.world, name).into_iter().collect(),
            Who::Node(host) if *host < self.world.hosts.len() => vec![*host],
            Who::Node(_) => Vec::new(),
            Who::Zone(zone) => {
                (0..self.world.hosts.len()).filter(|host| self.scenario.zone_of(*host) == *zone).collect()
            }
            Who::Victim => self.faults.victims.clone(),
        }
    }

    fn name(&self, host: usize) -> String {
        self.world.hosts.get(host).map(|host| host.name.clone()).unwrap_or_default()
    }

    fn others(&self, host: usize) -> Vec<String> {
        self.world.hosts.iter().filter(|h| h.number != host).map(|h| h.name.clone()).collect()
    }

    fn everybody_but(&self, host: usize) -> Vec<String> {
        let mut everybody = self.others(host);
        everybody.push(super::CLIENTS.to_owned());
        everybody
    }
}

/// Takes out what is due.
fn due(times: &mut BTreeMap<usize, Duration>, now: Duration) -> Vec<usize> {
    let hosts: Vec<usize> = times.iter().filter(|(_, at)| **at <= now).map(|(host, _)| *host).collect();
    times.retain(|host, _| !hosts.contains(host));
    hosts
}
