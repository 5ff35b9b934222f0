//! How each fault is done to the world. Nothing here decides when; whom a fault hits is found out as it happens.

use std::sync::atomic::Ordering;
use std::time::Duration;

use consensus::disk::Family;
use consensus::mem::Crash;
use domain::node::Standing;

use super::Driver;
use super::faults::RESTART_PAUSE;
use super::orders::Order;
use super::watch::engine_of;
use crate::scenario::{Fault, ms};
use crate::workload::operator::Parting;
use crate::world::{DISK_LATENCY, Place, Power, World, lock};

/// Nobody is told to go where fewer nodes than this would stay.
const STAY_MIN: usize = 2;
/// A group of so many voters bears the loss of one's disk.
const VOTERS_SAFE: usize = 3;

impl Driver<'_> {
    /// Does one fault; says whether it found somebody: a run may have fewer nodes than its scenario.
    pub(super) fn strike(&mut self, fault: &Fault, now: Duration) -> bool {
        match fault {
            Fault::Heal => self.heal(),
            Fault::OneWay(one, other) | Fault::Cut(one, other) | Fault::Flap(one, other, _)
                if *one.max(other) >= self.world.hosts.len() =>
            {
                return false;
            }
            Fault::OneWay(from, to) => {
                let names = (self.name(*from), self.name(*to));
                self.sim.partition_oneway(names.0, names.1);
            }
            Fault::Cut(one, other) => {
                let names = (self.name(*one), self.name(*other));
                self.sim.partition(names.0, names.1);
            }
            Fault::Flap(one, other, period) => self.links.flap(*one, *other, *period),
            Fault::RollingRestart => {
                self.faults.roll = self.world.members().map(|host| host.number).collect();
            }
            Fault::Rotate(kind) => self.desk.orders.give(Order::Rotate(*kind)),
            Fault::KillEngine(name)
            | Fault::HangEngine(name)
            | Fault::GarbleEngine(name)
            | Fault::LeakEngine(name) => return strike_engine(&self.world, name, fault),
            Fault::BreakEngines(name) => {
                let Some(engine) = engine_of(&self.world, name) else { return false };
                self.world.hosts.iter().for_each(|host| host.engines.break_down(engine.deployment()));
                engine.kill();
            }
            // A simulated node is this very program.
            Fault::RollingUpgrade | Fault::Upgrade(_) | Fault::RollBack(_) => return false,
            Fault::Provider(ailment) => self.world.upstream.ail(Some(*ailment)),
            Fault::Kill(who)
            | Fault::PowerOff(who)
            | Fault::Restart(who)
            | Fault::Wipe(who)
            | Fault::Pause(who, _)
            | Fault::Leave(who)
            | Fault::Remove(who)
            | Fault::Join(who)
            | Fault::Copy(who)
            | Fault::OldCopy(who)
            | Fault::CrashAtWrite(who, _)
            | Fault::BitRot(who)
            | Fault::FillDisk(who)
            | Fault::SlowDisk(who, _)
            | Fault::Isolate(who)
            | Fault::Delay(who, _)
            | Fault::Lose(who, _)
            | Fault::HeavyTail(who)
            | Fault::Slow(who, _)
            | Fault::ClockJump(who, _)
            | Fault::LoseGpus(who) => {
                let mut hit = self.find(who);
                hit.retain(|host| self.can_hit(*host, fault));
                if hit.is_empty() {
                    return false;
                }
                self.faults.victims = hit.clone();
                hit.iter().for_each(|host| self.hit(*host, fault, now));
            }
        }
        true
    }

    /// Whether a fault makes sense for a host, and harms no more than a cluster may be asked to bear.
    fn can_hit(&self, host: usize, fault: &Fault) -> bool {
        let at = &self.world.hosts[host];
        match fault {
            Fault::Join(_) => at.place() != Place::Member,
            // Who was removed is started again too, by mistake: it must be turned away.
            Fault::Restart(_) => at.place() != Place::Spare,
            _ if at.place() != Place::Member => false,
            Fault::Leave(_) | Fault::Remove(_) => {
                at.id().is_some() && self.desk.orders.are_done() && self.staying() > STAY_MIN
            }
            Fault::OldCopy(_) => lock(&at.copy).is_some() && self.can_lose_disk(host),
            Fault::Wipe(_) | Fault::BitRot(_) => self.can_lose_disk(host),
            Fault::LoseGpus(_) => at.gpus.count() > 0,
            _ => true,
        }
    }

    /// How many nodes belong to the cluster and mean to stay.
    fn staying(&self) -> usize {
        let Some(view) = self.world.furthest() else { return 0 };
        let stays = |standing| standing != Standing::Leaving;
        view.state.nodes.rows().filter(|row| stays(row.standing)).count()
    }

    /// A cluster whose only voter loses its disk is lost, and rightly so.
    fn can_lose_disk(&self, host: usize) -> bool {
        let Some(view) = self.world.furthest() else { return false };
        let votes = self.world.hosts[host].id().is_some_and(|id| view.voters.contains(&id));
        !votes || view.voters.len() >= VOTERS_SAFE
    }

    fn hit(&mut self, host: usize, fault: &Fault, now: Duration) {
        let name = self.name(host);
        let at = self.world.hosts[host].clone();
        if fault.takes_away() {
            self.watch.take_away(&at);
        }
        match fault {
            Fault::Kill(_) => self.crash(host, now),
            Fault::PowerOff(_) => {
                // Cut first, so that nobody hears the connections close.
                let everybody = self.everybody_but(host);
                everybody.iter().for_each(|other| self.sim.partition(name.as_str(), other.as_str()));
                self.crash(host, now);
                everybody.iter().for_each(|other| self.sim.repair(name.as_str(), other.as_str()));
                at.set_power(Power::Off);
            }
            Fault::Restart(_) => self.start(host),
            Fault::Wipe(_) => self.replace_disk(host, now),
            Fault::Join(_) => {
                at.stand(Place::Member);
                self.replace_disk(host, now);
            }
            Fault::Leave(_) | Fault::Remove(_) => {
                let how = if matches!(fault, Fault::Leave(_)) { Parting::Leave } else { Parting::Remove };
                if let Some(node) = at.id() {
                    self.desk.orders.give(Order::Part(node, how));
                }
            }
            Fault::Copy(_) => at.keep_copy(),
            Fault::OldCopy(_) => {
                self.crash(host, now);
                at.put_copy_back();
                self.faults.harmed.insert(host);
                self.faults.due.insert(host, now + RESTART_PAUSE);
            }
            Fault::CrashAtWrite(_, count) => at.platter.crash_at_write(*count, self.draw_crash()),
            Fault::BitRot(_) => {
                self.crash(host, now);
                let family = [Family::Log, Family::Meta, Family::Tables][self.dice.between(0, 3) as usize];
                let bent = at.platter.corrupt(family, self.dice.draw());
                tracing::info!(host, ?family, ?bent, "a bit flipped");
                self.faults.harmed.insert(host);
                self.faults.due.insert(host, now + RESTART_PAUSE);
            }
            Fault::FillDisk(_) => at.platter.set_capacity(Some(at.platter.bytes())),
            Fault::SlowDisk(_, latency) => at.platter.set_latency(*latency),
            Fault::ClockJump(_, by) => {
                at.skew_ms.fetch_add(*by, Ordering::Relaxed);
            }
            Fault::LoseGpus(_) => {
                at.gpus.fall_off();
                at.engines.running().iter().filter(|engine| engine.on_gpu).for_each(|engine| engine.kill());
            }
            _ => self.hit_links(host, fault, now),
        }
    }

    fn hit_links(&mut self, host: usize, fault: &Fault, now: Duration) {
        let (name, others) = (self.name(host), self.others(host));
        match fault {
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
            Fault::HeavyTail(_) => self.links.heavy_tail(host),
            Fault::Slow(_, frozen) => self.links.slow(host, *frozen),
            _ => {}
        }
    }

    fn draw_crash(&mut self) -> Crash {
        match self.dice.between(0, 3) {
            0 => Crash::KeepsAll,
            1 => Crash::LosesAll,
            _ => Crash::Tears(self.dice.draw()),
        }
    }

    /// The node dies; the seed says what its disk keeps of what was not durable.
    fn crash(&mut self, host: usize, now: Duration) {
        let crash = self.draw_crash();
        tracing::info!(host, ?crash, "crash");
        self.kill(host, crash, now);
        self.faults.due.remove(&host);
    }

    /// The node dies with its disk, and a new one is started on an empty disk.
    pub(super) fn replace_disk(&mut self, host: usize, now: Duration) {
        self.crash(host, now);
        self.world.hosts[host].wipe();
        self.faults.harmed.remove(&host);
        self.faults.due.insert(host, now + RESTART_PAUSE);
    }

    pub(super) fn kill(&mut self, at: usize, crash: Crash, now: Duration) {
        let host = self.world.hosts[at].clone();
        self.watch.forget(&self.world, at);
        self.outages.begin(at, now);
        host.set_power(Power::NoNode);
        self.sim.crash(host.name.as_str());
        host.platter.crash(crash);
        host.stop.store(false, Ordering::Relaxed);
        lock(&host.ended).take();
    }

    pub(super) fn start(&mut self, at: usize) {
        let host = self.world.hosts[at].clone();
        if host.power() != Power::Up {
            tracing::info!(host = %host.name, "start");
            host.set_power(Power::Up);
            self.sim.bounce(host.name.as_str());
        }
    }

    fn heal(&mut self) {
        let most = ms(self.scenario.weather.latency_ms_max);
        for host in self.links.heal() {
            self.thaw(host);
        }
        for host in 0..self.world.hosts.len() {
            let name = self.name(host);
            if self.faults.thaw.remove(&host).is_some() {
                self.thaw(host);
            }
            for other in self.others(host) {
                self.sim.repair(name.as_str(), other.as_str());
                self.sim.set_link_max_message_latency(name.as_str(), other.as_str(), most);
            }
            let host = &self.world.hosts[host];
            host.platter.set_latency(DISK_LATENCY);
            host.platter.set_capacity(None);
            host.platter.call_crash_off();
            host.gpus.come_back();
            host.engines.mend();
        }
        self.world.upstream.ail(None);
    }

    pub(super) fn thaw(&mut self, host: usize) {
        let name = self.name(host);
        for other in self.everybody_but(host) {
            self.sim.release(name.as_str(), other.as_str());
        }
    }

    pub(super) fn name(&self, host: usize) -> String {
        self.world.hosts.get(host).map(|host| host.name.clone()).unwrap_or_default()
    }

    pub(super) fn others(&self, host: usize) -> Vec<String> {
        self.world.hosts.iter().filter(|h| h.number != host).map(|h| h.name.clone()).collect()
    }

    pub(super) fn everybody_but(&self, host: usize) -> Vec<String> {
        let mut everybody = self.others(host);
        everybody.push(super::CLIENTS.to_owned());
        everybody
    }
}

/// Does a fault to the engine of a replica of this deployment; says whether there is one.
fn strike_engine(world: &World, deployment: &str, fault: &Fault) -> bool {
    let Some(engine) = engine_of(world, deployment) else { return false };
    match fault {
        Fault::HangEngine(_) => engine.hang(),
        Fault::GarbleEngine(_) => engine.garble(),
        Fault::LeakEngine(_) => engine.leak(),
        _ => engine.kill(),
    }
    true
}
