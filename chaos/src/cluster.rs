//! The real nodes of one run: started, signalled, wiped, and started again when they end by themselves, as a service
//! manager does. Whoever ends without having been told to is remembered as a surprise.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use domain::decide::voters;
use sim::history::{History, Outages};
use sim::workload::{Ask, Clients, Outside, Reply, operator};
use tokio::time::{Instant, sleep, timeout};

use crate::lab::Lab;
use crate::place::Place;
use crate::process::{Join, Process};

/// How long a first node may take until it has printed its key.
const KEY_PATIENCE: Duration = Duration::from_secs(60);
/// How long a node may take to end after SIGTERM: its own drain, and a little.
const STOP_PATIENCE: Duration = Duration::from_secs(45);
/// How long the service manager waits before it starts a node again.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// How long a node may take to say whether it is ready.
const READY_PATIENCE: Duration = Duration::from_secs(2);
/// How long the nodes may take to become a cluster.
const SETUP_MAX: Duration = Duration::from_secs(90);
/// How long an answer to the driver's own looks may take, and the pause between two.
const LOOK_PATIENCE: Duration = Duration::from_secs(2);
const LOOK: Duration = Duration::from_millis(200);
/// How many surprises are remembered.
const SURPRISES_MAX: usize = 20;

/// What nodes run.
#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// The program under test.
    pub(crate) new: PathBuf,
    /// An older one, for scenarios that begin with it.
    pub(crate) old: Option<PathBuf>,
}

impl From<PathBuf> for Programs {
    fn from(new: PathBuf) -> Self {
        Self { new, old: None }
    }
}

/// Which of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Age {
    Old,
    #[default]
    New,
}

/// A node's process, if it has one, and what is to become of it.
#[derive(Default)]
struct Slot {
    process: Option<Process>,
    /// What it runs, or will.
    age: Age,
    /// It has been ready since it last started from an empty disk.
    joined: bool,
    /// It is ready.
    up: bool,
    /// It is frozen until then.
    thaw_at: Option<Instant>,
    /// It is to be started then.
    start_at: Option<Instant>,
    /// Something was done to it that it may well end from.
    may_end: bool,
}

/// The nodes of a run. Dropping it ends them.
pub(crate) struct Cluster {
    programs: Programs,
    /// What surrounds the nodes, beyond their own places.
    pub(crate) lab: Lab,
    places: Vec<Place>,
    slots: Vec<Slot>,
    token: Option<String>,
    /// When nodes were not there for clients.
    pub(crate) outages: Outages,
    /// Ends that nobody asked for.
    pub(crate) surprises: Vec<String>,
}

impl Cluster {
    /// Nodes at these places, none started, with programs of this age.
    pub(crate) fn new(programs: &Programs, age: Age, lab: Lab, places: Vec<Place>) -> Self {
        Self {
            programs: programs.clone(),
            lab,
            slots: places.iter().map(|_| Slot { age, ..Slot::default() }).collect(),
            places,
            token: None,
            outages: Outages::default(),
            surprises: Vec::new(),
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.places.len()
    }

    /// Makes a cluster of all nodes and waits until it is well; answers clients with its admin key.
    ///
    /// # Errors
    /// When it does not get there.
    pub(crate) async fn assemble(
        &mut self,
        outside: Arc<dyn Outside>,
        history: Arc<History>,
    ) -> anyhow::Result<Clients> {
        let limit = outside.now() + SETUP_MAX;
        let key = self.found().await?;
        let clients = Clients::new(outside, &key, history);
        let token = timeout(SETUP_MAX, operator::make_token(&clients, || 0)).await;
        self.token = Some(token.context("the first node makes no join token")?);
        for number in 1..self.len() {
            self.start(number)?;
        }
        self.until_well(&clients, limit, "the nodes do not get ready").await?;
        Ok(clients)
    }

    /// Looks after the nodes until all is well.
    ///
    /// # Errors
    /// When that takes until `limit`, with the complaint and what is pending.
    pub(crate) async fn until_well(
        &mut self,
        clients: &Clients,
        limit: Duration,
        complaint: &str,
    ) -> anyhow::Result<()> {
        loop {
            self.keep_up(clients).await?;
            let pending = self.pending(clients).await;
            if pending.is_empty() {
                return Ok(());
            }
            if clients.outside.now() > limit {
                bail!("{complaint}: {}", pending.join("; "));
            }
            sleep(LOOK).await;
        }
    }

    /// What is not well yet, as every node tells; asks no further when one is not there.
    pub(crate) async fn pending(&self, clients: &Clients) -> Vec<String> {
        let mut pending = Vec::new();
        for number in 0..self.len() {
            if !self.is_up(number) {
                return vec![format!("node {number} is not ready")];
            }
            let told = timeout(LOOK_PATIENCE, operator::pending(clients, number, self.len())).await;
            pending.extend(told.unwrap_or_else(|_| vec![format!("node {number} does not answer")]));
            let status = timeout(LOOK_PATIENCE, clients.ask(number, &Ask::get("/api/status"))).await;
            let status = status.ok().and_then(|reply| reply.ok().cloned()).unwrap_or_default();
            let voting = status["voters"].as_array().map_or(0, Vec::len);
            if voting != voters::wanted(self.len()) || status["leader"].is_null() {
                pending.push(format!("node {number} sees {voting} voters, leader {}", status["leader"]));
            }
        }
        pending
    }

    /// Starts the first node, which makes the cluster, and answers the admin key.
    ///
    /// # Errors
    /// When it ends or says nothing.
    async fn found(&mut self) -> anyhow::Result<String> {
        let mut process = Process::start(self.program(0), &self.places[0], &self.lab.around(0), None)?;
        let key = timeout(KEY_PATIENCE, process.admin_key()).await;
        self.slots[0].process = Some(process);
        match key.context("the first node does not print its admin key")?? {
            Some(key) => Ok(key),
            None => bail!("the first node ended before it printed its admin key"),
        }
    }

    /// Starts a node unless it runs: from its disk, or joining where that is empty.
    ///
    /// # Errors
    /// When the system cannot.
    pub(crate) fn start(&mut self, number: usize) -> anyhow::Result<()> {
        self.slots[number].start_at = None;
        if self.slots[number].process.is_some() {
            return Ok(());
        }
        let others = self.places.iter().filter(|place| place.number != number);
        let seeds: Vec<String> = others.map(|place| place.cluster.to_string()).collect();
        let join = match &self.token {
            Some(token) if !self.slots[number].joined => Some(Join { seeds: &seeds, token }),
            _ => None,
        };
        let process =
            Process::start(self.program(number), &self.places[number], &self.lab.around(number), join)?;
        self.slots[number].process = Some(process);
        Ok(())
    }

    /// What a node runs.
    fn program(&self, number: usize) -> &Path {
        match (self.slots[number].age, &self.programs.old) {
            (Age::Old, Some(old)) => old,
            _ => &self.programs.new,
        }
    }

    /// The node runs a program of this age from its next start on.
    pub(crate) fn choose(&mut self, number: usize, age: Age) {
        self.slots[number].age = age;
    }

    /// SIGKILL, and its end.
    pub(crate) async fn kill(&mut self, number: usize, now: Duration) {
        self.gone(number, now);
        if let Some(mut process) = self.slots[number].process.take() {
            process.signal(libc::SIGKILL);
            // It cannot refuse; an error here means that it was waited for already.
            let _ = process.wait().await;
        }
    }

    /// SIGTERM, and its end; SIGKILL, and a surprise, when it does not end.
    pub(crate) async fn stop(&mut self, number: usize, now: Duration) {
        self.gone(number, now);
        let Some(mut process) = self.slots[number].process.take() else { return };
        process.signal(libc::SIGTERM);
        match timeout(STOP_PATIENCE, process.wait()).await {
            Ok(Ok(status)) if status.success() => {}
            Ok(Ok(status)) => self.surprise(number, &format!("answered SIGTERM with {status}")),
            Ok(Err(error)) => self.surprise(number, &format!("cannot be waited for: {error}")),
            Err(_) => {
                self.surprise(number, &format!("had not ended {} s after SIGTERM", STOP_PATIENCE.as_secs()));
                process.signal(libc::SIGKILL);
                let _ = process.wait().await;
            }
        }
    }

    /// SIGKILL, an empty disk, and a new start as a newcomer a little later.
    ///
    /// # Errors
    /// When its data cannot be removed.
    pub(crate) async fn wipe(&mut self, number: usize, now: Duration) -> anyhow::Result<()> {
        self.kill(number, now).await;
        let data = &self.places[number].data;
        std::fs::remove_dir_all(data).with_context(|| format!("remove {}", data.display()))?;
        self.slots[number].joined = false;
        self.slots[number].start_at = Some(Instant::now() + RESTART_PAUSE);
        Ok(())
    }

    /// SIGSTOP, and SIGCONT after that time.
    pub(crate) fn pause(&mut self, number: usize, span: Duration, now: Duration) {
        self.gone(number, now);
        if let Some(process) = &self.slots[number].process {
            process.signal(libc::SIGSTOP);
            self.slots[number].thaw_at = Some(Instant::now() + span);
        }
    }

    /// Fills a node's disk.
    ///
    /// # Errors
    /// When its disk is not a small one of its own.
    pub(crate) fn fill_disk(&mut self, number: usize) -> anyhow::Result<()> {
        self.slots[number].may_end = true;
        self.lab.fill_disk(&self.places[number].data)
    }

    /// Links are whole again, and disks have space.
    ///
    /// # Errors
    /// When that cannot be done.
    pub(crate) fn heal(&mut self) -> anyhow::Result<()> {
        self.lab.heal(&self.places)
    }

    /// Whether a node runs, is ready, and is not frozen.
    pub(crate) fn is_up(&self, number: usize) -> bool {
        self.slots[number].up
    }

    /// Whether nothing is due any more that a fault began.
    pub(crate) fn is_settled(&self) -> bool {
        self.slots.iter().all(|slot| slot.thaw_at.is_none() && slot.start_at.is_none())
    }

    /// A node that is up; a draw chooses.
    pub(crate) fn some_up(&self, draw: u64) -> Option<usize> {
        self.some_up_but(&[], draw)
    }

    /// A node that is up and none of these.
    pub(crate) fn some_up_but(&self, names: &[String], draw: u64) -> Option<usize> {
        let is_out = |number: &usize| names.contains(&self.places[*number].name);
        let up: Vec<usize> =
            (0..self.len()).filter(|number| self.is_up(*number) && !is_out(number)).collect();
        up.get((draw % up.len().max(1) as u64) as usize).copied()
    }

    /// The node of this name.
    pub(crate) fn named(&self, name: &str) -> Option<usize> {
        self.places.iter().find(|place| place.name == name).map(|place| place.number)
    }

    /// Names of nodes.
    pub(crate) fn names(&self, numbers: &[usize]) -> Vec<String> {
        numbers.iter().map(|number| self.places[*number].name.clone()).collect()
    }

    /// A node's process id.
    pub(crate) fn pid(&self, number: usize) -> Option<libc::pid_t> {
        self.slots[number].process.as_ref().and_then(Process::pid)
    }

    /// Where the nodes are.
    pub(crate) fn places(&self) -> &[Place] {
        &self.places
    }

    /// Starts and thaws what is due, starts nodes again that ended by themselves, and notices who has become ready.
    ///
    /// # Errors
    /// When the system cannot start a node.
    pub(crate) async fn keep_up(&mut self, clients: &Clients) -> anyhow::Result<()> {
        for number in 0..self.len() {
            self.notice_end(number, clients.outside.now());
            let slot = &mut self.slots[number];
            if slot.thaw_at.is_some_and(|at| at <= Instant::now()) {
                slot.thaw_at = None;
                slot.process.iter().for_each(|process| process.signal(libc::SIGCONT));
            }
            if slot.start_at.is_some_and(|at| at <= Instant::now()) {
                self.start(number)?;
            }
            let slot = &self.slots[number];
            let asked = slot.process.is_some() && !slot.up && slot.thaw_at.is_none();
            if asked && is_ready(clients, number).await {
                self.slots[number].up = true;
                self.slots[number].joined = true;
                self.outages.end(number, clients.outside.now());
            }
        }
        Ok(())
    }

    fn notice_end(&mut self, number: usize, now: Duration) {
        let slot = &mut self.slots[number];
        let Some(status) = slot.process.as_mut().and_then(Process::ended) else { return };
        slot.process = None;
        slot.start_at = Some(Instant::now() + RESTART_PAUSE);
        // A newcomer is refused as long as others think that the node whose name it has is alive; and one that something was
        // done to may end, but in order.
        let expected = (!slot.joined || slot.may_end) && status.code() == Some(1);
        self.gone(number, now);
        if !expected {
            self.surprise(number, &format!("ended by itself with {status}"));
        }
    }

    fn gone(&mut self, number: usize, now: Duration) {
        self.slots[number].up = false;
        self.slots[number].thaw_at = None;
        self.outages.begin(number, now);
    }

    fn surprise(&mut self, number: usize, what: &str) {
        if self.surprises.len() < SURPRISES_MAX {
            self.surprises.push(format!("{} {what}", self.places[number].name));
        }
    }
}

async fn is_ready(clients: &Clients, number: usize) -> bool {
    let asked = timeout(READY_PATIENCE, clients.ask(number, &Ask::get("/ready"))).await;
    matches!(asked, Ok(Reply::Answer(200, _)))
}
