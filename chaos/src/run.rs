//! One run of one scenario: nodes start, models are deployed, clients work while faults happen, everything has to become
//! well again, and what is left is judged and measured.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail};
use sim::history::History;
use sim::invariants::Violation;
use sim::scenario::{Check, Load, Scenario};
use sim::workload::operator::{self, Held};
use sim::workload::{Ask, Clients};
use tokio::time::{Instant, sleep, timeout};

use crate::check::{Remains, verdict};
use crate::cluster::{Age, Cluster, Programs};
use crate::engine::Engine;
use crate::faults::Faults;
use crate::figures::{Figures, Strike, whole_without};
use crate::lab::Lab;
use crate::outside::RealOutside;
use crate::place::{self, Spread};
use crate::report::{Folder, Outcome};
use crate::soak::sample::Sampler;
use crate::stay::{Placement, disturbed, placement};

/// How often the driver looks after its nodes.
const TICK: Duration = Duration::from_millis(50);
/// How long the cluster may take to get ready, engines among it.
const SETUP_MAX: Duration = Duration::from_secs(90);
/// How long clients may take to finish: a change is tried several times, each with its own limit.
const FINISH_MAX: Duration = Duration::from_secs(120);
/// How long an answer to the driver's own looks may take.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
/// How many replicas that did not stay are told one by one.
const MOVED_TOLD_MAX: usize = 5;
/// How long a rolling restart waits for one node before it goes on.
const ROLL_PATIENCE: Duration = Duration::from_secs(20);

/// The same scenario with so many replicas. With one, chats cannot but fail while there is none.
pub(crate) fn with_replicas(mut scenario: Scenario, replicas: u32) -> Scenario {
    scenario.deployments.iter_mut().for_each(|(_, wanted)| *wanted = replicas);
    if replicas < 2 {
        scenario.always.retain(|check| *check != Check::NoChatFails);
    }
    scenario
}

/// What is looked at while a scenario runs, besides what is judged.
#[derive(Default)]
pub(crate) struct Watch {
    /// What nodes take of the machine.
    pub(crate) sampler: Option<Sampler>,
    /// Keep the logs even where all is well.
    pub(crate) keep: bool,
}

/// Runs a scenario on fresh nodes.
pub(crate) async fn run(
    scenario: &Scenario,
    programs: &Programs,
    engine: &Engine,
    round: u32,
    watch: Watch,
) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome::new(scenario, round);
    let folder = match Folder::new(scenario, round) {
        Ok(folder) => folder,
        Err(error) => {
            outcome.violations.push(failed(&error));
            return outcome;
        }
    };
    let keep = watch.keep;
    match Run::new(scenario, programs, engine, folder.path(), round) {
        Ok(mut run) => {
            run.watch = watch;
            Box::pin(run.all(&mut outcome)).await;
        }
        Err(error) => outcome.violations.push(failed(&error)),
    }
    outcome.took = began.elapsed();
    folder.close(&mut outcome, keep);
    outcome
}

fn failed(error: &anyhow::Error) -> Violation {
    Violation { check: Check::Converges, what: format!("{error:#}") }
}

struct Run<'a> {
    scenario: &'a Scenario,
    engine: Engine,
    cluster: Cluster,
    outside: Arc<RealOutside>,
    history: Arc<History>,
    /// Where replicas were before the first fault, and after the last.
    placements: Option<(Placement, Placement)>,
    watch: Watch,
    /// The longest that one turn of the driver took.
    held_up: Duration,
}

impl<'a> Run<'a> {
    fn new(
        scenario: &'a Scenario,
        programs: &Programs,
        engine: &Engine,
        folder: &Path,
        round: u32,
    ) -> anyhow::Result<Self> {
        let mut lab = Lab::new(scenario, folder, engine.model_root(), round.into())?;
        let spread = match lab.net() {
            Ok(_) => Spread::Namespaces,
            Err(_) => Spread::Ports(std::process::id().wrapping_add(round)),
        };
        let places = place::places(scenario, folder, spread)?;
        for place in &places {
            lab.prepare(place)?;
        }
        let age = if scenario.changes_program() { Age::Old } else { Age::New };
        let outside = RealOutside::new(places.iter().map(|place| place.http).collect(), round.into());
        let replicas = scenario.deployments.iter().map(|(_, replicas)| *replicas).max();
        Ok(Self {
            scenario,
            engine: engine.for_replicas(replicas.unwrap_or_default()),
            cluster: Cluster::new(programs, age, lab, places),
            outside: Arc::new(outside),
            history: Arc::default(),
            placements: None,
            watch: Watch::default(),
            held_up: Duration::ZERO,
        })
    }

    /// Everything, into `outcome`.
    async fn all(&mut self, outcome: &mut Outcome) {
        let mut held = Vec::new();
        let mut strikes = Vec::new();
        if let Err(error) = self.phases(&mut held, &mut strikes).await {
            outcome.violations.push(failed(&error));
        }
        let panics: Vec<String> =
            self.cluster.places().iter().flat_map(|place| panics_in(&place.log)).collect();
        let entries = self.history.entries();
        let remains = Remains {
            entries: &entries,
            outages: &self.cluster.outages,
            held: &held,
            surprises: &self.cluster.surprises,
            panics: &panics,
        };
        outcome.violations.extend(verdict(self.scenario, &remains));
        outcome.figures = Figures::of(&strikes, &entries, &self.cluster.outages);
        outcome.figures.held_up = self.held_up;
        self.judge_placements(&strikes, outcome);
        outcome.entries = entries;
        outcome.samples = self.watch.sampler.take().map(|sampler| sampler.samples).unwrap_or_default();
        for number in 0..self.cluster.len() {
            self.cluster.kill(number, Duration::MAX).await;
        }
    }

    /// Counts the replicas that did not stay, and complains where the scenario says that they must.
    fn judge_placements(&self, strikes: &[Strike], outcome: &mut Outcome) {
        let Some((before, after)) = &self.placements else { return };
        let taken = strikes.iter().filter(|strike| strike.sudden);
        let hit: Vec<String> = taken.flat_map(|strike| strike.hit.clone()).collect();
        let moved = disturbed(before, after, &hit);
        outcome.figures.healthy_moved = Some(moved.len());
        if self.scenario.always.contains(&Check::HealthyStay) {
            let tell = |what| Violation { check: Check::HealthyStay, what };
            outcome.violations.extend(moved.into_iter().take(MOVED_TOLD_MAX).map(tell));
        }
    }

    async fn phases(
        &mut self,
        held: &mut Vec<Option<Held>>,
        strikes: &mut Vec<Strike>,
    ) -> anyhow::Result<()> {
        let clients = self.set_up().await?;
        let mut faults = Faults::new(self.scenario, self.now());
        let before = self.placement(&clients).await;
        clients.start(&self.scenario.load);
        let disturbed = self.disturb(&clients, &mut faults).await;
        strikes.append(&mut faults.strikes);
        clients.enough.store(true, Ordering::Relaxed);
        disturbed?;
        let limit = self.now() + FINISH_MAX;
        while !clients.are_done() {
            if self.now() > limit {
                bail!("clients do not finish");
            }
            self.cluster.keep_up(&clients).await?;
            sleep(TICK).await;
        }
        // Clients went on for a while after the last fault: that time counts, but for a little to look again.
        let limit = (faults.last + self.scenario.converge_within).max(self.now() + Duration::from_secs(5));
        self.cluster.until_well(&clients, limit, "the cluster does not become well again").await?;
        if self.scenario.changes_program() {
            self.until_raised(&clients, limit).await?;
        }
        let after = self.placement(&clients).await;
        self.placements = before.zip(after);
        for number in 0..self.cluster.len() {
            held.push(self.read(&clients, number, limit).await);
        }
        Ok(())
    }

    /// Waits until the cluster uses what the newer program knows.
    async fn until_raised(&self, clients: &Clients, limit: Duration) -> anyhow::Result<()> {
        loop {
            let status = timeout(LOOK_PATIENCE, clients.ask(0, &Ask::get("/api/status"))).await;
            let status = status.ok().and_then(|reply| reply.ok().cloned()).unwrap_or_default();
            if status["level"] == domain::command::VERSION {
                return Ok(());
            }
            if self.now() > limit {
                bail!("every node was upgraded, and the cluster stays at feature level {}", status["level"]);
            }
            sleep(TICK * 4).await;
        }
    }

    /// Where replicas are, as some node tells; nothing where nothing is deployed.
    async fn placement(&self, clients: &Clients) -> Option<Placement> {
        let node = self.cluster.some_up(0).filter(|_| !self.scenario.deployments.is_empty())?;
        let ask = Ask::get("/api/deployments");
        let reply = timeout(LOOK_PATIENCE, clients.ask(node, &ask)).await.ok()?;
        reply.ok().map(placement)
    }

    /// Starts all nodes and deploys what the scenario wants.
    async fn set_up(&mut self) -> anyhow::Result<Clients> {
        let limit = self.now() + SETUP_MAX;
        let clients = self.cluster.assemble(self.outside.clone(), self.history.clone()).await?;
        for (name, replicas) in &self.scenario.deployments {
            let body = self.engine.deployment(name, *replicas);
            let deployed = timeout(SETUP_MAX, operator::deploy(&clients, &body)).await;
            deployed.with_context(|| format!("{name} cannot be deployed"))?;
        }
        self.cluster.until_well(&clients, limit, "the deployments do not get ready").await?;
        for model in self.models() {
            self.until_it_answers(&clients, &model, limit).await?;
        }
        Ok(clients)
    }

    /// Faults, while clients work.
    async fn disturb(&mut self, clients: &Clients, faults: &mut Faults) -> anyhow::Result<()> {
        let load_until = self.now() + self.scenario.load_for;
        let mut turned = self.now();
        while self.now() < load_until || !faults.are_over() || !self.cluster.is_settled() {
            self.cluster.keep_up(clients).await?;
            faults.due(self.scenario, &mut self.cluster, clients).await?;
            if !faults.roll.is_empty()
                && (self.cluster.pending(clients).await.is_empty()
                    || self.now() > faults.last + ROLL_PATIENCE)
            {
                faults.roll_on(&mut self.cluster, clients).await?;
            }
            self.look_for_replicas(clients, faults).await;
            let now = self.now();
            if let Some(sampler) = &mut self.watch.sampler {
                sampler.look(&self.cluster, now);
            }
            // Looks have limits of a few seconds: more than that is a machine that did not run this process.
            self.held_up = self.held_up.max(now.saturating_sub(turned));
            turned = now;
            sleep(TICK).await;
        }
        Ok(())
    }

    /// Notices when all replicas are ready elsewhere after nodes went suddenly.
    async fn look_for_replicas(&self, clients: &Clients, faults: &mut Faults) {
        let Some(strike) = faults.strikes.last_mut() else { return };
        if !strike.sudden || strike.whole_at.is_some() || self.scenario.deployments.is_empty() {
            return;
        }
        let Some(node) = self.cluster.some_up_but(&strike.hit, 0) else { return };
        let ask = Ask::get("/api/deployments");
        let Ok(reply) = timeout(LOOK_PATIENCE, clients.ask(node, &ask)).await else { return };
        if reply.ok().is_some_and(|body| whole_without(body, &strike.hit)) {
            strike.whole_at = Some(self.now());
        }
    }

    /// Waits until a model answers through every node.
    async fn until_it_answers(&self, clients: &Clients, model: &str, limit: Duration) -> anyhow::Result<()> {
        let body = serde_json::json!({
            "model": model, "max_tokens": 4, "messages": [{ "role": "user", "content": "hello" }],
        });
        let ask = Ask::post("/v1/chat/completions", body);
        for number in 0..self.cluster.len() {
            loop {
                let reply = clients.ask(number, &ask).await;
                if reply.ok().is_some() {
                    break;
                }
                if self.now() > limit {
                    bail!("{model} does not answer through node {number}: {reply:?}");
                }
                sleep(TICK * 4).await;
            }
        }
        Ok(())
    }

    async fn read(&self, clients: &Clients, number: usize, limit: Duration) -> Option<Held> {
        loop {
            match operator::read_all(clients, number).await {
                Some(held) => return Some(held),
                None if self.now() > limit => return None,
                None => sleep(TICK * 4).await,
            }
        }
    }

    /// Models that clients call.
    fn models(&self) -> Vec<String> {
        let called = |load: &Load| match load {
            Load::Chats(model, _) | Load::Streams(model, _) => Some(model.clone()),
            _ => None,
        };
        let mut models: Vec<String> = self.scenario.load.iter().filter_map(called).collect();
        models.dedup();
        models
    }

    /// Time on the clients' clock.
    fn now(&self) -> Duration {
        sim::workload::Outside::now(&*self.outside)
    }
}

/// Lines of a log that tell a panic.
fn panics_in(log: &Path) -> Vec<String> {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines = text.lines().filter(|line| line.contains("panicked at"));
    lines.map(|line| format!("{}: {line}", log.display())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::scenario::named;

    #[test]
    fn a_single_replica_may_fail_while_it_moves() {
        let scenario = named("replica_host_killed_mid_stream").unwrap();
        assert!(scenario.always.contains(&Check::NoChatFails));
        let one = with_replicas(scenario, 1);
        assert_eq!(one.deployments[0].1, 1);
        assert!(!one.always.contains(&Check::NoChatFails));
    }
}
