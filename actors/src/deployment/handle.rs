//! All that others see of a replica: slots for calls, its state, its last log lines. Cheap to clone; works without asking
//! the actor, and goes on answering after it is over.

use std::sync::Arc;

use arc_swap::ArcSwap;
use domain::Millis;
use domain::decide::routing::Load;
use domain::deployment::Phase;
use ractor::ActorRef;
use serde::{Deserialize, Serialize};

use super::actor::Msg;
use super::events::Event;
use super::log_ring::LogRing;
use super::{Identity, State};
use crate::gate::{Gate, Refused, Slot};

/// A replica as it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Which.
    pub identity: Identity,
    /// Where it is.
    pub state: State,
    /// Since when, on the node's monotonic clock.
    pub since_ms: Millis,
    /// Starts in a row without having been well.
    pub attempts: u32,
    /// What went wrong last, if it is not well.
    pub why: Option<String>,
    /// Its engine's process.
    pub pid: Option<u32>,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls answered.
    pub answered: u64,
    /// Calls failed.
    pub failed: u64,
}

/// What the actor shares with its handles.
pub(super) struct Shared {
    pub(super) identity: Identity,
    pub(super) gate: Arc<Gate>,
    pub(super) log: LogRing,
    /// State, since, attempts, why, pid: what the actor last published.
    pub(super) shown: ArcSwap<Shown>,
}

#[derive(Debug, Clone)]
pub(super) struct Shown {
    pub(super) state: State,
    pub(super) since: Millis,
    pub(super) attempts: u32,
    pub(super) why: Option<String>,
    pub(super) pid: Option<u32>,
}

/// A replica on this node.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) mailbox: ActorRef<Msg>,
}

impl Handle {
    /// Which replica it is.
    pub fn identity(&self) -> Identity {
        self.shared.identity
    }

    /// Takes a slot for one call.
    ///
    /// # Errors
    /// When it does not take calls, or has as many as it may.
    pub fn acquire(&self) -> Result<Slot, Refused> {
        self.shared.gate.acquire()
    }

    /// What a router wants to know.
    pub fn load(&self) -> Load {
        self.shared.gate.load()
    }

    /// How it is.
    pub fn observe(&self) -> Observed {
        let shown = self.shared.shown.load();
        let tally = self.shared.gate.tally();
        Observed {
            identity: self.shared.identity,
            state: shown.state.clone(),
            since_ms: shown.since,
            attempts: shown.attempts,
            why: shown.why.clone(),
            pid: shown.pid,
            in_flight: self.shared.gate.in_flight(),
            answered: tally.answered,
            failed: tally.failed,
        }
    }

    /// The last lines its engine logged, oldest first; [`super::LINES_MAX`] at most.
    pub async fn logs(&self, tail: usize) -> Vec<String> {
        self.shared.log.tail(tail)
    }

    /// Stops it: calls finish, then its engine ends, then the actor.
    pub(crate) fn stop(&self) {
        self.tell(Event::Stop);
    }

    /// Tells it what the tables show.
    pub(crate) fn seen(&self, phase: Phase) {
        self.tell(Event::Seen(phase));
    }

    fn tell(&self, event: Event) {
        // An actor that is over needs no telling.
        let _ = self.mailbox.send_message(Msg::Happened(event));
    }
}
