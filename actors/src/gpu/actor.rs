//! Joins the GPUs' machine to the vendor's library.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::handle::Handle;
use super::machine::{Effect, Event, Machine};
use crate::monotonic::{Monotonic, millis};
use crate::ports::Gpus;

/// What the watcher takes in.
pub(crate) enum Msg {
    /// It is time to read.
    Read,
}

impl ractor::Message for Msg {}

/// What the watcher is started with.
#[derive(Clone)]
pub(crate) struct Arguments {
    pub(crate) gpus: Arc<dyn Gpus>,
    pub(crate) clock: Monotonic,
    pub(crate) handle: Handle,
}

/// The actor.
pub(crate) struct Watcher;

/// The actor's state.
pub(crate) struct Running {
    machine: Machine,
    start: Arguments,
}

impl Actor for Watcher {
    type Msg = Msg;
    type State = Running;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        start: Arguments,
    ) -> Result<Running, ActorProcessingErr> {
        let listed = Event::Listed(start.gpus.list());
        let mut running = Running { machine: Machine::default(), start };
        running.step(listed, &myself);
        Ok(running)
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        Msg::Read: Msg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        running.step(Event::read(running.start.gpus.read()), &myself);
        Ok(())
    }
}

impl Running {
    fn step(&mut self, event: Event, myself: &ActorRef<Msg>) {
        for Effect::ReadAfter(ms) in self.machine.step(event, self.start.clock.now()) {
            drop(myself.send_after(millis(ms), || Msg::Read));
        }
        self.start.handle.shown.store(Arc::new(self.machine.observed.clone()));
    }
}
