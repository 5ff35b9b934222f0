//! Joins the root's machine to the fixed actors.

use std::collections::BTreeMap;
use std::sync::Arc;

use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};

use super::handle::{Handle, Observed};
use super::machine::{Effect, Event, Machine, Part};
use crate::gpu::{self, Watcher};
use crate::limiter::{self, Limiter};
use crate::membership::{self, Membership};
use crate::monotonic::{Monotonic, millis};
use crate::ports::Entropy;
use crate::reconciler::{self, Reconciler};
use crate::scheduler::{self, Scheduler};

/// What the root takes in.
pub(crate) enum Msg {
    /// Something happened.
    Happened(Event),
}

impl ractor::Message for Msg {}

/// What the root is started with: each fixed actor's arguments, for every start of it.
pub(crate) struct Arguments {
    pub(crate) gpu: gpu::Arguments,
    pub(crate) membership: membership::Arguments,
    pub(crate) scheduler: scheduler::Arguments,
    pub(crate) reconciler: reconciler::Arguments,
    pub(crate) limiter: limiter::Arguments,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) clock: Monotonic,
    pub(crate) handle: Handle,
}

/// The actor.
pub(crate) struct Root;

/// The actor's state.
pub(crate) struct Running {
    machine: Machine,
    start: Arguments,
    parts: BTreeMap<Part, ActorId>,
}

impl Actor for Root {
    type Msg = Msg;
    type State = Running;
    type Arguments = Arguments;

    async fn pre_start(&self, _: ActorRef<Msg>, start: Arguments) -> Result<Running, ActorProcessingErr> {
        Ok(Running { machine: Machine::default(), start, parts: BTreeMap::new() })
    }

    async fn post_start(
        &self,
        myself: ActorRef<Msg>,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        running.step(Event::Begin, &myself).await;
        Ok(())
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        Msg::Happened(event): Msg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        running.step(event, &myself).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Msg>,
        event: SupervisionEvent,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let (who, reason) = match event {
            SupervisionEvent::ActorTerminated(who, _, reason) => {
                (who, reason.unwrap_or_else(|| "it ended by itself".to_owned()))
            }
            SupervisionEvent::ActorFailed(who, error) => (who, error.to_string()),
            _ => return Ok(()),
        };
        let found = running.parts.iter().find(|(_, id)| **id == who.get_id()).map(|(part, _)| *part);
        if let Some(part) = found {
            running.parts.remove(&part);
            let failed = running.failed(part, reason);
            running.step(failed, &myself).await;
        }
        Ok(())
    }
}

impl Running {
    fn failed(&self, part: Part, reason: String) -> Event {
        tracing::error!(part = ?part, reason, "an actor failed");
        Event::Failed { part, reason, draw: self.start.entropy.draw() }
    }

    async fn step(&mut self, event: Event, myself: &ActorRef<Msg>) {
        let mut events = vec![event];
        // One that does not even start has failed, which asks for a pause: so this ends.
        while let Some(event) = events.pop() {
            for effect in self.machine.step(event, self.start.clock.now()) {
                match effect {
                    Effect::After(ms, part) => {
                        drop(myself.send_after(millis(ms), move || Msg::Happened(Event::Due(part))));
                    }
                    Effect::Start(part) => match self.start_part(part, myself.get_cell()).await {
                        Ok(id) => drop(self.parts.insert(part, id)),
                        Err(error) => events.push(self.failed(part, error.to_string())),
                    },
                }
            }
        }
        let parts = self.machine.records().clone();
        self.start.handle.shown.store(Arc::new(Observed { parts }));
    }

    async fn start_part(&self, part: Part, me: ActorCell) -> Result<ActorId, SpawnErr> {
        let start = &self.start;
        Ok(match part {
            Part::Gpu => Actor::spawn_linked(None, Watcher, start.gpu.clone(), me).await?.0.get_id(),
            Part::Membership => {
                Actor::spawn_linked(None, Membership, start.membership.clone(), me).await?.0.get_id()
            }
            Part::Scheduler => {
                Actor::spawn_linked(None, Scheduler, start.scheduler.clone(), me).await?.0.get_id()
            }
            Part::Reconciler => {
                Actor::spawn_linked(None, Reconciler, start.reconciler.clone(), me).await?.0.get_id()
            }
            Part::Limiter => Actor::spawn_linked(None, Limiter, start.limiter.clone(), me).await?.0.get_id(),
        })
    }
}
