//! Joins the scheduler's machine to the view, the log and the nodes that renew.

use std::sync::Arc;
use std::time::Duration;

use domain::decide::placement::{Problem, explain};
use domain::{Incarnation, Millis, NodeId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::handle::{Handle, Observed, RECENT_MAX};
use super::machine::{Machine, Proposal};
use crate::aside::{self, Gather};
use crate::config::Ports;
use crate::monotonic::{Monotonic, millis};
use crate::ports::{ProposeError, Proposer};

/// How often leases and placement are looked at without any change.
const TICK_MS: Millis = 500;
/// Changes of the view are gathered for this long.
const GATHER_MS: Millis = 50;
/// How long one proposal may take before its round is given up; the next round sees what became of it.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Replicas without a place that are shown at most.
const UNPLACED_MAX: usize = 64;

/// What the scheduler takes in.
pub(crate) enum Msg {
    /// The view changed.
    Look,
    /// Time passed.
    Tick,
    /// A node renews its lease.
    Renew {
        /// Which node.
        node: NodeId,
        /// Which life of it.
        incarnation: Incarnation,
        /// Takes the term, or `None` where this node does not lead.
        reply: oneshot::Sender<Option<u64>>,
    },
    /// A round of proposals is over.
    Done,
}

impl ractor::Message for Msg {}

/// What the scheduler is started with.
#[derive(Clone)]
pub(crate) struct Arguments {
    pub(crate) ports: Ports,
    pub(crate) clock: Monotonic,
    pub(crate) handle: Handle,
}

/// The actor.
pub(crate) struct Scheduler;

/// The actor's state.
pub(crate) struct Running {
    machine: Machine,
    start: Arguments,
    observed: Observed,
    round: Option<AbortOnDropHandle<()>>,
    _watch: AbortOnDropHandle<()>,
}

impl Actor for Scheduler {
    type Msg = Msg;
    type State = Running;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        start: Arguments,
    ) -> Result<Running, ActorProcessingErr> {
        start.handle.shared.mailbox.store(Some(Arc::new(myself.clone())));
        let gather = Gather { before: millis(GATHER_MS), after: Duration::ZERO };
        let watching = aside::watch(start.ports.view.clone(), myself.clone(), gather, || Msg::Look);
        let _watch = AbortOnDropHandle::new(tokio::spawn(watching));
        myself.send_message(Msg::Tick)?;
        let (machine, observed) = (Machine::default(), Observed::default());
        Ok(Running { machine, start, observed, round: None, _watch })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        message: Msg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let now = running.start.clock.now();
        running.machine.lead(running.start.ports.electorate.leading(), now);
        match message {
            Msg::Renew { node, incarnation, reply } => {
                // Who asked may have given up.
                let _ = reply.send(running.machine.renew(node, incarnation, now));
                return Ok(());
            }
            Msg::Done => {
                running.round = None;
                if running.machine.done() {
                    drop(myself.send_after(millis(GATHER_MS), || Msg::Look));
                }
                return Ok(());
            }
            Msg::Tick => {
                drop(myself.send_after(millis(TICK_MS), || Msg::Tick));
                running.show_unplaced(now);
            }
            Msg::Look => {}
        }
        running.look(now, &myself);
        Ok(())
    }
}

impl Running {
    fn look(&mut self, now: Millis, myself: &ActorRef<Msg>) {
        let term = self.machine.term();
        if term.is_some() {
            let view = self.start.ports.view.load();
            let wall = self.start.ports.clock.now();
            let proposals = self.machine.look(&view, now, wall);
            if !proposals.is_empty() {
                self.start_round(proposals, myself);
            }
        }
        self.observed.term = term;
        self.start.handle.shared.shown.store(Arc::new(self.observed.clone()));
    }

    /// What has no place, and why: with the ticks only, since it looks at everything.
    fn show_unplaced(&mut self, now: Millis) {
        self.observed.unplaced.clear();
        if self.machine.term().is_none() {
            return;
        }
        let view = self.start.ports.view.load();
        let time = self.machine.time(&view, now, self.start.ports.clock.now());
        let unplaced = explain(&Problem::of(&view, time)).into_iter().take(UNPLACED_MAX);
        self.observed.unplaced =
            unplaced.map(|(id, ordinal, why)| format!("replica {id}/{ordinal}: {why}")).collect();
    }

    fn start_round(&mut self, proposals: Vec<Proposal>, myself: &ActorRef<Msg>) {
        for proposal in &proposals {
            tracing::info!(reason = proposal.why, "the scheduler proposes a change");
            if self.observed.recent.len() == RECENT_MAX {
                self.observed.recent.pop_front();
            }
            self.observed.recent.push_back(proposal.why.clone());
        }
        let proposer = self.start.ports.proposer.clone();
        let round = async move {
            propose(&*proposer, proposals).await;
            Msg::Done
        };
        let round = tokio::spawn(aside::tell(myself.clone(), round, |_| Msg::Done));
        self.round = Some(AbortOnDropHandle::new(round));
    }
}

/// Proposes one after the other. A refusal means that the tables have changed since: the next round sees how.
async fn propose(proposer: &dyn Proposer, proposals: Vec<Proposal>) {
    for Proposal { command, why } in proposals {
        match tokio::time::timeout(PROPOSAL_TIMEOUT, proposer.propose(command)).await {
            Ok(Ok(_)) => {}
            Ok(Err(ProposeError::Rejected(reject))) => {
                tracing::debug!(reason = why, %reject, "a proposal is not needed any more");
            }
            Ok(Err(error)) => {
                tracing::debug!(reason = why, %error, "the cluster takes no proposals just now");
                return;
            }
            Err(_) => return,
        }
    }
}
