//! Joins the lease's machine and Raft's next step to the doorway, to Raft and to the log.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::{Command, Millis, NodeId, level, secret};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio_util::task::AbortOnDropHandle;

use super::handle::{Handle, Observed, RECENT_MAX};
use super::machine::{Effect, Event, Machine};
use super::raft::{self, Step};
use super::{Renew, Renewed};
use crate::aside::{self, Gather};
use crate::config::{Config, Ports};
use crate::monotonic::{Monotonic, millis};
use crate::ports::PeerLink;
use crate::service;

/// How often leader and membership are looked at without any change.
const TICK_MS: Millis = 1_000;
/// Changes of the view are gathered for this long.
const GATHER_MS: Millis = 100;
/// How long a renewal may take.
const RENEWAL_DEADLINE: Duration = Duration::from_millis(800);
/// How long one step of Raft's membership may take before it is looked at anew.
const STEP_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after a step, so that what it changed is seen.
const STEP_GAP_MS: Millis = 200;
/// Pause after a step that failed.
const STEP_PAUSE_MS: Millis = 1_000;

/// What the membership actor takes in.
pub(crate) enum Msg {
    /// The view changed, or the machine asked to look.
    Look,
    /// Time passed.
    Tick,
    /// The leader answered.
    Answered(Event),
    /// A step of Raft's membership is over.
    Stepped {
        /// Which step.
        step: Step,
        /// Whether it was done, or why not.
        result: Result<(), String>,
    },
}

impl ractor::Message for Msg {}

/// What the membership actor is started with.
#[derive(Clone)]
pub(crate) struct Arguments {
    pub(crate) config: Arc<Config>,
    pub(crate) ports: Ports,
    pub(crate) clock: Monotonic,
    pub(crate) handle: Handle,
}

/// The actor.
pub(crate) struct Membership;

/// The actor's state.
pub(crate) struct Running {
    machine: Machine,
    start: Arguments,
    observed: Observed,
    step: Option<AbortOnDropHandle<()>>,
    step_not_before: Millis,
    _watch: AbortOnDropHandle<()>,
}

impl Actor for Membership {
    type Msg = Msg;
    type State = Running;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        start: Arguments,
    ) -> Result<Running, ActorProcessingErr> {
        let gather = Gather { before: Duration::ZERO, after: millis(GATHER_MS) };
        let watching = aside::watch(start.ports.view.clone(), myself.clone(), gather, || Msg::Look);
        let _watch = AbortOnDropHandle::new(tokio::spawn(watching));
        myself.send_message(Msg::Tick)?;
        let (machine, observed) = (Machine::default(), Observed::default());
        Ok(Running { machine, start, observed, step: None, step_not_before: 0, _watch })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        message: Msg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let now = running.start.clock.now();
        let event = match message {
            Msg::Answered(event) => event,
            Msg::Look => Event::Look(running.leader()),
            Msg::Tick => {
                drop(myself.send_after(millis(TICK_MS), || Msg::Tick));
                Event::Look(running.leader())
            }
            Msg::Stepped { step, result } => {
                let pause = if result.is_ok() { STEP_GAP_MS } else { STEP_PAUSE_MS };
                running.step_not_before = now + pause;
                drop(myself.send_after(millis(pause), || Msg::Look));
                running.stepped(&step, result);
                Event::Look(running.leader())
            }
        };
        for effect in running.machine.step(event, now) {
            running.carry_out(effect, now, &myself);
        }
        running.keep_membership(now, &myself);
        running.publish();
        Ok(())
    }
}

impl Running {
    fn leader(&self) -> Option<NodeId> {
        self.start.ports.view.peek().leader
    }

    fn carry_out(&self, effect: Effect, now: Millis, myself: &ActorRef<Msg>) {
        let me = myself.clone();
        match effect {
            Effect::LookAfter(ms) => drop(me.send_after(millis(ms), || Msg::Look)),
            Effect::Ask(leader) => {
                let peers = self.start.ports.peers.clone();
                let renew = Renew { incarnation: self.start.config.incarnation };
                let answered = move |answer| Msg::Answered(Event::Answered { leader, sent: now, answer });
                let asking = async move { answered(renew_with(&*peers, leader, &renew).await) };
                drop(tokio::spawn(aside::tell(me, asking, move |reason| answered(Err(reason)))));
            }
        }
    }

    /// On the leader: one step towards the membership that the nodes table wants.
    fn keep_membership(&mut self, now: Millis, myself: &ActorRef<Msg>) {
        let ports = &self.start.ports;
        if self.step.is_some() || now < self.step_not_before || ports.electorate.leading().is_none() {
            return;
        }
        let view = ports.view.load();
        let Some(step) = raft::next(view.me, &view.state, &ports.electorate.members()) else { return };
        tracing::info!(step = %step, "raft's membership changes");
        let ports = ports.clone();
        let me = myself.clone();
        let lost = step.clone();
        let stepping = async move {
            let result = tokio::time::timeout(STEP_TIMEOUT, carry_out_step(&ports, &step)).await;
            let result = result.unwrap_or_else(|_| Err("it took too long".to_owned()));
            Msg::Stepped { step, result }
        };
        let lost = move |reason| Msg::Stepped { step: lost, result: Err(reason) };
        self.step = Some(AbortOnDropHandle::new(tokio::spawn(aside::tell(me, stepping, lost))));
    }

    fn stepped(&mut self, step: &Step, result: Result<(), String>) {
        self.step = None;
        let told = match result {
            Ok(()) => step.to_string(),
            Err(reason) => {
                tracing::warn!(step = %step, reason, "raft's membership could not be changed");
                format!("{step}: failed: {reason}")
            }
        };
        if self.observed.recent.len() == RECENT_MAX {
            self.observed.recent.pop_front();
        }
        self.observed.recent.push_back(told);
    }

    fn publish(&mut self) {
        // Where one actor follows another, a lease already granted stays good.
        self.start.handle.ends.fetch_max(self.machine.ends(), Ordering::AcqRel);
        self.observed.leader = self.machine.leader();
        self.observed.failure = self.machine.failure().map(str::to_owned);
        self.start.handle.shown.store(Arc::new(self.observed.clone()));
    }
}

/// Asks the leader to renew the lease; the answer is its term.
async fn renew_with(peers: &dyn PeerLink, leader: NodeId, renew: &Renew) -> Result<u64, String> {
    let asking = async {
        let body = service::encode(renew)?;
        let answer = peers.ask(leader, service::LEASE_RENEW, body, RENEWAL_DEADLINE).await;
        let answer: Renewed = service::decode(&answer.map_err(|e| e.to_string())?)?;
        Ok(answer.term)
    };
    // The link keeps the deadline; this keeps the lease alive should it not.
    let answer = tokio::time::timeout(RENEWAL_DEADLINE * 2, asking).await;
    answer.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

async fn carry_out_step(ports: &Ports, step: &Step) -> Result<(), String> {
    let told = |e: crate::ports::ProposeError| e.to_string();
    match step {
        Step::Learn { node, addr } => ports.electorate.add_learner(*node, addr).await.map_err(told),
        Step::Vote(voters) => ports.electorate.set_voters(voters.clone()).await.map_err(told),
        Step::Forget(node) => ports.electorate.remove_learner(*node).await.map_err(told),
        Step::Grant(node) => {
            let wrap = ports.custodian.wrap_for(*node).await.map_err(|e| e.to_string())?;
            propose(ports, Command::Secret(secret::Command::Grant(wrap))).await
        }
        Step::Withdraw(node) => propose(ports, Command::Secret(secret::Command::Withdraw(*node))).await,
        Step::Rotate(step) => {
            let command = ports.custodian.prepare(step).await.map_err(|e| e.to_string())?;
            propose(ports, Command::Rotation(command)).await
        }
        Step::Raise(level) => propose(ports, Command::Level(level::Command::Raise(*level))).await,
    }
}

async fn propose(ports: &Ports, command: Command) -> Result<(), String> {
    ports.proposer.propose(command).await.map(drop).map_err(|e| e.to_string())
}
