//! Joins the leases to the log: one command for all keys at a time, at once when a call waits, now and then otherwise.

use std::sync::Arc;
use std::time::Duration;

use domain::{Command, Millis, RequestId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::handle::{Handle, Round};
use crate::aside;
use crate::monotonic::millis;
use crate::ports::{Entropy, ProposeError, Proposer};

/// How often leases are looked at without a call that waits.
const TICK_MS: Millis = 250;
/// Between two commands, so that what comes meanwhile goes together.
const GAP_MS: Millis = 10;
/// Between two commands while the cluster takes none.
const RETRY_MS: Millis = 200;
/// How long one command may take at most.
const PROPOSAL_TIMEOUT: Duration = Duration::from_secs(12);

/// What the limiter takes in.
pub(crate) enum Msg {
    /// Something may have to be asked for.
    Look,
    /// Time passed.
    Tick,
    /// A command is over.
    Over(Box<Round>, Result<(), String>),
    /// The work on a command failed.
    Lost,
    /// The pause of this number, after a command, is over.
    Resume(u64),
    /// The node stops; tells when everything was given back.
    Stop(oneshot::Sender<()>),
}

impl ractor::Message for Msg {}

/// What the limiter is started with.
#[derive(Clone)]
pub(crate) struct Arguments {
    pub(crate) proposer: Arc<dyn Proposer>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) handle: Handle,
}

/// The actor.
pub(crate) struct Limiter;

/// The actor's state.
pub(crate) struct Running {
    start: Arguments,
    /// The command under way.
    round: Option<AbortOnDropHandle<()>>,
    /// A pause before the next one, by its number.
    pause: Option<u64>,
    pauses: u64,
    /// The node stops: everything is given back, and then this is told.
    stops: Option<oneshot::Sender<()>>,
}

impl Actor for Limiter {
    type Msg = Msg;
    type State = Running;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        start: Arguments,
    ) -> Result<Running, ActorProcessingErr> {
        start.handle.open(myself.clone());
        myself.send_message(Msg::Tick)?;
        Ok(Running { start, round: None, pause: None, pauses: 0, stops: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        message: Msg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            Msg::Tick => {
                drop(myself.send_after(millis(TICK_MS), || Msg::Tick));
            }
            Msg::Look => {}
            Msg::Resume(number) => {
                if running.pause != Some(number) {
                    return Ok(());
                }
                running.pause = None;
                if !running.start.handle.is_waited_for() && running.stops.is_none() {
                    return Ok(());
                }
            }
            Msg::Stop(stops) => {
                running.stops = Some(stops);
                running.pause = None;
            }
            Msg::Over(round, outcome) => {
                let pause = if outcome.is_ok() { GAP_MS } else { RETRY_MS };
                if let Err(reason) = &outcome {
                    tracing::debug!(reason, "limits could not be refilled");
                }
                running.start.handle.over(*round, outcome);
                running.pause(pause, &myself);
            }
            Msg::Lost => running.pause(RETRY_MS, &myself),
        }
        running.look(&myself);
        Ok(())
    }
}

impl Running {
    /// The next command comes after a pause: when a call waits, no later; otherwise with a tick.
    fn pause(&mut self, ms: Millis, myself: &ActorRef<Msg>) {
        self.pauses += 1;
        let number = self.pauses;
        (self.round, self.pause) = (None, Some(number));
        drop(myself.send_after(millis(ms), move || Msg::Resume(number)));
    }

    fn look(&mut self, myself: &ActorRef<Msg>) {
        if self.round.is_some() || self.pause.is_some() {
            return;
        }
        let Some(round) = self.start.handle.round(self.stops.is_some()) else {
            if let Some(stops) = self.stops.take() {
                // Who waited may have given up.
                let _ = stops.send(());
            }
            return;
        };
        let (proposer, id) = (self.start.proposer.clone(), self.draw_id());
        let work = async move {
            let outcome = propose(&*proposer, id, round.command.clone()).await;
            Msg::Over(Box::new(round), outcome)
        };
        let work = tokio::spawn(aside::tell(myself.clone(), work, |_| Msg::Lost));
        self.round = Some(AbortOnDropHandle::new(work));
    }

    fn draw_id(&self) -> RequestId {
        let mut bytes = [0; 16];
        self.start.entropy.fill(&mut bytes);
        RequestId(u128::from_le_bytes(bytes))
    }
}

/// Proposes once: a command whose outcome is not known is not repeated, the next one says all that it said.
async fn propose(proposer: &dyn Proposer, id: RequestId, command: Command) -> Result<(), String> {
    match tokio::time::timeout(PROPOSAL_TIMEOUT, proposer.propose_as(id, command)).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(ProposeError::Unavailable { reason, .. } | ProposeError::Unknown { reason })) => Err(reason),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err("no leader has answered in time".to_owned()),
    }
}
