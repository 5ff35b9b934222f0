//! A scenario's faults, done to real processes and what surrounds them. Whom a fault hits is found out when it happens, by asking a node that
//! is up; a fault that finds nobody is tried again a little later, a few times.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use anyhow::bail;
use sim::scenario::{Fault, Scenario, Who};
use sim::workload::{Clients, operator};
use tokio::time::timeout;

use crate::cluster::{Age, Cluster};
use crate::figures::Strike;

/// How often a fault that found nobody is tried again, each time that [`Faults::due`] is called.
const AGAIN_MAX: u32 = 100;
/// How long a node may take to say who leads or hosts.
const ASK_PATIENCE: Duration = Duration::from_secs(3);

/// Faults still to come, and what those that came did.
pub(crate) struct Faults {
    plan: VecDeque<(Duration, Fault, u32)>,
    victims: Vec<usize>,
    /// How far nodes' wall clocks are ahead, in milliseconds.
    ahead_ms: BTreeMap<usize, i64>,
    /// How often a key was to be replaced.
    rotations: u32,
    /// Nodes that are still to be stopped gracefully and started again, last first, and which program they then run.
    pub(crate) roll: Vec<(usize, Option<Age>)>,
    /// When nodes were taken away.
    pub(crate) strikes: Vec<Strike>,
    /// When the last fault happened.
    pub(crate) last: Duration,
}

impl Faults {
    /// The faults of a scenario whose time began at `began`.
    pub(crate) fn new(scenario: &Scenario, began: Duration) -> Self {
        let plan = scenario.steps.iter().map(|(when, fault)| (began + *when, fault.clone(), 0));
        Self {
            plan: plan.collect(),
            victims: Vec::new(),
            ahead_ms: BTreeMap::new(),
            rotations: 0,
            roll: Vec::new(),
            strikes: Vec::new(),
            last: began,
        }
    }

    /// Whether all have happened.
    pub(crate) fn are_over(&self) -> bool {
        self.plan.is_empty() && self.roll.is_empty()
    }

    /// Does what is due.
    ///
    /// # Errors
    /// When the system cannot, or a fault found nobody for long.
    pub(crate) async fn due(
        &mut self,
        scenario: &Scenario,
        cluster: &mut Cluster,
        clients: &Clients,
    ) -> anyhow::Result<()> {
        while let Some((when, fault, tries)) =
            self.plan.pop_front_if(|(when, ..)| *when <= clients.outside.now())
        {
            if self.strike(&fault, scenario, cluster, clients).await? {
                self.last = clients.outside.now();
            } else if tries < AGAIN_MAX {
                self.plan.push_front((when, fault, tries + 1));
                return Ok(());
            } else {
                bail!("{fault:?} found nobody");
            }
        }
        Ok(())
    }

    /// Does one fault; says whether it found somebody.
    async fn strike(
        &mut self,
        fault: &Fault,
        scenario: &Scenario,
        cluster: &mut Cluster,
        clients: &Clients,
    ) -> anyhow::Result<bool> {
        match fault {
            Fault::Heal => cluster.heal()?,
            Fault::RollingRestart => self.roll = (0..cluster.len()).rev().map(|node| (node, None)).collect(),
            Fault::RollingUpgrade => {
                self.roll = (0..cluster.len()).rev().map(|node| (node, Some(Age::New))).collect();
            }
            Fault::Upgrade(who) | Fault::RollBack(who) => {
                let age = if matches!(fault, Fault::Upgrade(_)) { Age::New } else { Age::Old };
                let hit = self.find(who, scenario, cluster, clients).await;
                self.roll = hit.into_iter().map(|node| (node, Some(age))).collect();
            }
            Fault::Rotate(kind) => {
                self.rotations += 1;
                return Ok(operator::rotate(clients, *kind, self.rotations).await);
            }
            Fault::OneWay(from, to) => {
                cluster.lab.net()?.rules().change(*from, *to, |link| link.cut = true);
                let what = format!("not heard by {}", cluster.names(&[*to]).join(""));
                let hit = cluster.names(&[*from]);
                self.strikes.push(Strike::new(&what, clients.outside.now(), hit, false));
            }
            Fault::KillEngine(name) | Fault::HangEngine(name) => {
                let Some(host) = host_of(name, cluster, clients).await else { return Ok(false) };
                let Some(engine) = cluster.pid(host).and_then(child_of) else { return Ok(false) };
                let signal =
                    if matches!(fault, Fault::KillEngine(_)) { libc::SIGKILL } else { libc::SIGSTOP };
                // SAFETY: takes no pointers. The engine is a child of a node of ours that was alive just now.
                unsafe { libc::kill(engine, signal) };
            }
            Fault::Kill(who)
            | Fault::Restart(who)
            | Fault::Wipe(who)
            | Fault::Pause(who, _)
            | Fault::Isolate(who)
            | Fault::Delay(who, _)
            | Fault::Lose(who, _)
            | Fault::FillDisk(who)
            | Fault::ClockJump(who, _) => {
                let hit = self.find(who, scenario, cluster, clients).await;
                if hit.is_empty() {
                    return Ok(false);
                }
                let now = clients.outside.now();
                if let Some(what) = verb(fault) {
                    self.strikes.push(Strike::new(what, now, cluster.names(&hit), fault.takes_away()));
                }
                self.hit(&hit, fault, cluster, now).await?;
                self.victims = hit;
            }
            _ => bail!("{fault:?} needs the simulator"),
        }
        Ok(true)
    }

    /// Does a fault to those whom it hits.
    async fn hit(
        &mut self,
        hit: &[usize],
        fault: &Fault,
        cluster: &mut Cluster,
        now: Duration,
    ) -> anyhow::Result<()> {
        let nodes: Vec<usize> = (0..cluster.len()).collect();
        // A zone is hit as a whole: its nodes still reach each other.
        let others: Vec<usize> = nodes.into_iter().filter(|node| !hit.contains(node)).collect();
        match fault {
            Fault::Isolate(_) => {
                cluster.lab.net()?.rules().between(hit, &others, |link| link.cut = true);
            }
            Fault::Delay(_, delay) => {
                cluster.lab.net()?.rules().between(hit, &others, |link| link.delay = *delay);
            }
            Fault::Lose(_, permille) => {
                cluster.lab.net()?.rules().between(hit, &others, |link| link.lost_permille = *permille);
            }
            _ => {}
        }
        for number in hit {
            match fault {
                Fault::Kill(_) => cluster.kill(*number, now).await,
                Fault::Restart(_) => cluster.start(*number)?,
                Fault::Wipe(_) => cluster.wipe(*number, now).await?,
                Fault::Pause(_, span) => cluster.pause(*number, *span, now),
                Fault::FillDisk(_) => cluster.fill_disk(*number)?,
                Fault::ClockJump(_, by) => {
                    let ahead = self.ahead_ms.entry(*number).or_default();
                    *ahead += by;
                    cluster.lab.set_clock(*number, *ahead)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Goes on with a rolling restart: stops the next node gracefully and starts it again.
    ///
    /// # Errors
    /// When the system cannot start it.
    pub(crate) async fn roll_on(&mut self, cluster: &mut Cluster, clients: &Clients) -> anyhow::Result<()> {
        let Some((next, age)) = self.roll.pop() else { return Ok(()) };
        let now = clients.outside.now();
        let what = match age {
            None => "stopped",
            Some(Age::New) => "upgraded",
            Some(Age::Old) => "rolled back",
        };
        self.strikes.push(Strike::new(what, now, cluster.names(&[next]), false));
        cluster.stop(next, now).await;
        age.into_iter().for_each(|age| cluster.choose(next, age));
        cluster.start(next)?;
        self.last = clients.outside.now();
        Ok(())
    }

    async fn find(&self, who: &Who, scenario: &Scenario, cluster: &Cluster, clients: &Clients) -> Vec<usize> {
        match who {
            Who::Leader => leader(cluster, clients).await.into_iter().collect(),
            Who::HostOf(name) => host_of(name, cluster, clients).await.into_iter().collect(),
            Who::Node(number) => (0..cluster.len()).filter(|n| n == number).collect(),
            Who::Zone(zone) => (0..cluster.len()).filter(|n| scenario.zone_of(*n) == *zone).collect(),
            Who::Victim => self.victims.clone(),
        }
    }
}

/// What is told of a fault; nothing of one that ends another.
fn verb(fault: &Fault) -> Option<&'static str> {
    match fault {
        Fault::Kill(Who::Leader) => Some("leader killed"),
        Fault::Kill(_) => Some("killed"),
        Fault::Wipe(_) => Some("wiped"),
        Fault::Pause(..) => Some("frozen"),
        Fault::Isolate(_) => Some("cut off"),
        Fault::Delay(..) => Some("far away"),
        Fault::Lose(..) => Some("hard to reach"),
        Fault::FillDisk(_) => Some("out of disk"),
        Fault::ClockJump(..) => Some("given another time"),
        _ => None,
    }
}

/// The node that leads, as one that is up knows.
async fn leader(cluster: &Cluster, clients: &Clients) -> Option<usize> {
    let ask = cluster.some_up(clients.outside.draw())?;
    let name = timeout(ASK_PATIENCE, operator::leader(clients, ask)).await.ok()??;
    cluster.named(&name).filter(|number| cluster.is_up(*number))
}

/// The node that runs a deployment's first ready replica.
async fn host_of(deployment: &str, cluster: &Cluster, clients: &Clients) -> Option<usize> {
    let name = timeout(ASK_PATIENCE, operator::host_of(clients, deployment)).await.ok()??;
    cluster.named(&name).filter(|number| cluster.is_up(*number))
}

/// A child of a process.
fn child_of(parent: libc::pid_t) -> Option<libc::pid_t> {
    let tasks = std::fs::read_dir(format!("/proc/{parent}/task")).ok()?;
    tasks.flatten().find_map(|task| {
        let children = std::fs::read_to_string(task.path().join("children")).ok()?;
        children.split_whitespace().next()?.parse().ok()
    })
}
