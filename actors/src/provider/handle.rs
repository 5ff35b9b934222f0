//! All that others see of a provider: slots for calls and its state. Cheap to clone; works without asking the actor.

use std::sync::Arc;

use arc_swap::ArcSwap;
use domain::ProviderName;
use domain::decide::routing::Load;
use ractor::ActorRef;
use serde::{Deserialize, Serialize};

use super::Health;
use super::actor::Msg;
use crate::gate::{Gate, Refused, Slot};

/// A provider as this node sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// Its name.
    pub name: ProviderName,
    /// Log index of the change of its row that this is made for.
    pub revision: u64,
    /// What it speaks: a dialect's name, or `mock`.
    pub speaks: String,
    /// Whether it is well.
    #[serde(flatten)]
    pub health: Health,
    /// Calls under way.
    pub in_flight: usize,
    /// Calls answered.
    pub answered: u64,
    /// Calls failed.
    pub failed: u64,
    /// Smoothed time to the first byte, in microseconds; 0 when never called.
    pub latency_us: u64,
}

/// What the actor shares with its handles.
pub(super) struct Shared {
    pub(super) name: ProviderName,
    pub(super) revision: u64,
    pub(super) speaks: String,
    pub(super) gate: Arc<Gate>,
    pub(super) health: ArcSwap<Health>,
}

/// A provider, as this node calls it.
#[derive(Clone)]
pub struct Handle {
    pub(super) shared: Arc<Shared>,
    pub(super) mailbox: ActorRef<Msg>,
}

impl Handle {
    /// Its name.
    pub fn name(&self) -> &ProviderName {
        &self.shared.name
    }
    /// Log index of the change of its row that this is made for.
    pub fn revision(&self) -> u64 {
        self.shared.revision
    }
    /// What it speaks.
    pub fn speaks(&self) -> &str {
        &self.shared.speaks
    }

    /// Takes a slot for one call.
    ///
    /// # Errors
    /// When its key is not open, or as many calls are under way as it may have.
    pub fn acquire(&self) -> Result<Slot, Refused> {
        self.shared.gate.acquire()
    }

    /// What a router wants to know.
    pub fn load(&self) -> Load {
        self.shared.gate.load()
    }

    /// How it is.
    pub fn observe(&self) -> Observed {
        let tally = self.shared.gate.tally();
        let load = self.shared.gate.load();
        Observed {
            name: self.shared.name.clone(),
            revision: self.shared.revision,
            speaks: self.shared.speaks.clone(),
            health: (**self.shared.health.load()).clone(),
            in_flight: self.shared.gate.in_flight(),
            answered: tally.answered,
            failed: tally.failed,
            latency_us: load.latency_us,
        }
    }

    /// Ends the actor; calls under way go on.
    pub(crate) fn stop(&self) {
        self.shared.gate.close("the provider was changed or removed");
        self.mailbox.stop(Some("it was stopped".to_owned()));
    }
}
