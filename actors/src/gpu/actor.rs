//! Joins the GPUs' machine to the vendor's library.

use std::sync::Arc;

use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::handle::Handle;
use super::machine::{Effect, Event, Machine};
use crate::monotonic::{Monotonic, millis};
use crate::ports::Gpus;

/// What the watcher takes in.
pub(crate) enum Msg {
    /// It is time to ask which there are.
    List,
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
        // By a message: a library that takes its time must not hold up those who start after this actor.
        myself.send_message(Msg::List)?;
        Ok(Running { machine: Machine::default(), start })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        message: Msg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let event = match message {
            Msg::List => Event::listed(running.start.gpus.list().await),
            Msg::Read => Event::read(running.start.gpus.read().await),
        };
        running.step(event, &myself);
        Ok(())
    }
}

impl Running {
    fn step(&mut self, event: Event, myself: &ActorRef<Msg>) {
        for effect in self.machine.step(event, self.start.clock.now()) {
            match effect {
                Effect::ListAfter(ms) => drop(myself.send_after(millis(ms), || Msg::List)),
                Effect::ReadAfter(ms) => drop(myself.send_after(millis(ms), || Msg::Read)),
            }
        }
        self.start.handle.shown.store(Arc::new(self.machine.observed.clone()));
    }
}
