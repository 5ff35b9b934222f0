//! Runs one scenario under one seed: sets the world up, steps simulated time, does the faults, looks for what must hold,
//! and judges what clients recorded. Safety comes first, while faults happen; then all heals, and the cluster must become
//! well again.

mod desk;
mod faults;
mod links;
mod orders;
mod strike;
mod watch;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use crate::Dice;
use crate::history::{Outages, What};
use crate::invariants::{Evidence, Violation, judge};
use crate::scenario::{Check, Scenario, ms, s};
use crate::trace::Trace;
use crate::world::{EPOCH_MS, PROVIDER, Place, World, boot, lock};
use desk::Desk;
use faults::Faults;
use links::Links;
use watch::Watch;

/// The host of all clients.
const CLIENTS: &str = "clients";
/// How far simulated time goes in one step. Messages take at least as long.
const TICK: Duration = ms(2);
/// The shortest a message takes.
const LATENCY_MIN: Duration = ms(1);
/// How often the nodes are looked at, and how often their tables are compared.
const GLANCE: Duration = ms(20);
const COMPARE: Duration = ms(500);
/// How long the cluster may take to get ready.
const SETUP_MAX: Duration = s(60);
/// How long clients may take to finish.
const FINISH_MAX: Duration = s(180);
/// Segments under way on a connection: turmoil drops what is beyond, and nothing sends it again.
const TCP_CAPACITY: usize = 16_384;
const UDP_CAPACITY: usize = 4_096;

/// What became of a run.
#[derive(Debug, Clone)]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// How much time was simulated.
    pub simulated: Duration,
    /// How many things clients did.
    pub done: usize,
    /// How many faults happened.
    pub faults: usize,
    /// What should not be.
    pub violations: Vec<Violation>,
}

struct Driver<'a> {
    sim: turmoil::Sim<'a>,
    world: Arc<World>,
    desk: Arc<Desk>,
    scenario: Scenario,
    faults: Faults,
    links: Links,
    watch: Watch,
    outages: Outages,
    dice: Dice,
    trace: Trace,
    /// When the nodes were looked at last, and when their tables were compared.
    glanced: Duration,
    compared: Duration,
}

/// Runs a scenario under a seed. Everything it logs goes to `trace`.
pub fn run(seed: u64, scenario: &Scenario, trace: &Trace) -> Report {
    trace.record(|| {
        tracing::info!(?scenario, seed, "run");
        let mut driver = Driver::new(seed, scenario, trace);
        let violations = driver.run();
        let report = Report {
            scenario: scenario.name.clone(),
            seed,
            simulated: driver.sim.elapsed(),
            done: driver.desk.history.len(),
            faults: scenario.steps.len() - driver.faults.plan.len(),
            violations,
        };
        tracing::info!(violations = ?report.violations, "over");
        // The process ends with this run; taking a world apart costs a twentieth of it.
        std::mem::forget(driver);
        report
    })
}

impl Driver<'_> {
    fn new(seed: u64, scenario: &Scenario, trace: &Trace) -> Self {
        let mut sim = turmoil::Builder::new()
            .epoch(UNIX_EPOCH + ms(EPOCH_MS))
            .rng_seed(seed)
            .simulation_duration(Duration::MAX)
            .tick_duration(TICK)
            .min_message_latency(LATENCY_MIN)
            .max_message_latency(ms(scenario.weather.latency_ms_max))
            .tcp_capacity(TCP_CAPACITY)
            .udp_capacity(UDP_CAPACITY)
            .enable_random_order()
            .build();
        let world = World::new(seed, scenario);
        for host in &world.hosts {
            let (world, host) = (world.clone(), host.clone());
            sim.host(host.name.clone(), move || boot::host(world.clone(), host.clone()));
        }
        let upstream = world.clone();
        sim.host(PROVIDER, move || upstream.upstream.clone().serve());
        let desk = Desk::new(world.clone(), scenario.clone());
        let clients = desk.clone();
        sim.host(CLIENTS, move || clients.clone().run());
        let mut outages = Outages::default();
        for spare in world.hosts.iter().filter(|host| host.place() == Place::Spare) {
            outages.begin(spare.number, Duration::ZERO);
        }
        Driver {
            sim,
            world,
            desk,
            scenario: scenario.clone(),
            faults: Faults::new(&scenario.steps),
            links: Links::default(),
            watch: Watch::new(&scenario.always),
            outages,
            dice: Dice::of(seed, "faults"),
            trace: trace.clone(),
            glanced: Duration::ZERO,
            compared: Duration::ZERO,
        }
    }

    fn run(&mut self) -> Vec<Violation> {
        let mut violations = match self.phases() {
            Ok(()) => Vec::new(),
            Err(violation) => vec![violation],
        };
        violations.extend_from_slice(self.watch.found());
        let entries = self.desk.history.entries();
        let held = lock(&self.desk.held).clone();
        let evidence = Evidence { entries: &entries, outages: &self.outages, held: held.as_ref() };
        violations.extend(judge(&self.scenario.always, &evidence));
        let calls = entries.iter().filter(|e| matches!(e.what, What::Chat { .. } | What::Stream { .. }));
        tracing::info!(entries = entries.len(), calls = calls.count(), "judged");
        violations
    }

    /// Set-up, safety, liveness.
    fn phases(&mut self) -> Result<(), Violation> {
        self.until(SETUP_MAX, "the cluster does not get ready", |driver, _| {
            driver.desk.ready.load(Ordering::Relaxed) && watch::pending(&driver.world).is_empty()
        })?;
        let began = self.sim.elapsed();
        self.watch.ready(&self.world);
        tracing::info!("ready");
        let load_until = began + self.scenario.load_for;
        self.until(s(600), "the faults do not come to an end", |driver, now| {
            driver.faults(began, now);
            now >= load_until && driver.faults.are_over() && driver.desk.orders.are_done()
        })?;
        self.finish_clients();
        self.until(FINISH_MAX, "clients do not finish", |driver, _| {
            lock(&driver.desk.clients).as_ref().is_none_or(|clients| clients.are_done())
        })?;
        *lock(&self.desk.pending) = None;
        self.desk.finish.store(true, Ordering::Relaxed);
        // Clients went on for a while after the last fault: that time counts.
        let deadline = self.faults.last + self.scenario.converge_within;
        let left = deadline.saturating_sub(self.sim.elapsed()).max(s(5));
        self.until(left, "the cluster does not become well again", |driver, _| {
            let read = lock(&driver.desk.held).is_some();
            read && watch::pending(&driver.world).is_empty()
        })?;
        self.watch.settle(&self.world);
        Ok(())
    }

    fn finish_clients(&self) {
        if let Some(clients) = lock(&self.desk.clients).as_ref() {
            clients.enough.store(true, Ordering::Relaxed);
        }
    }

    /// Steps until `done`, or tells what is still awaited.
    fn until(
        &mut self,
        limit: Duration,
        complaint: &str,
        mut done: impl FnMut(&mut Self, Duration) -> bool,
    ) -> Result<(), Violation> {
        let end = self.sim.elapsed() + limit;
        let mut looked = Duration::ZERO;
        loop {
            let now = self.sim.elapsed();
            self.trace.set_now(now);
            if looked + GLANCE <= now || looked.is_zero() {
                looked = now;
                self.keep_up(now);
                self.look(now);
                if done(self, now) {
                    return Ok(());
                }
            }
            if now > end {
                let pending = self.pending();
                return Err(Violation { check: Check::Converges, what: format!("{complaint}: {pending:?}") });
            }
            if let Err(error) = self.sim.step() {
                let what = format!("a host failed: {error}");
                return Err(Violation { check: Check::NoPanic, what });
            }
        }
    }

    /// What is still awaited, as the nodes show it and as they tell it over HTTP.
    fn pending(&self) -> Vec<String> {
        let mut pending = watch::pending(&self.world);
        pending.extend(lock(&self.desk.pending).clone().unwrap_or_default());
        pending
    }

    fn look(&mut self, now: Duration) {
        if self.glanced + GLANCE <= now {
            self.glanced = now;
            self.watch.glance(&self.world, now);
        }
        if self.compared + COMPARE <= now {
            self.compared = now;
            self.watch.compare(&self.world);
        }
    }
}
