//! Joins the reconciler's machine to the view and to the actors it supervises.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use domain::ProviderName;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr, SupervisionEvent};
use tokio_util::task::AbortOnDropHandle;

use super::handle::{Handle, Observed};
use super::machine::{Effect, Event, Key, Machine, Version, wanted};
use crate::aside::{self, Gather};
use crate::config::{Config, Ports};
use crate::deployment::{self, Identity, Replica};
use crate::directory::Directory;
use crate::monotonic::{Monotonic, millis};
use crate::provider::{self, Connection};

/// Changes of the view are gathered for this long after one was looked at.
const GATHER_MS: u64 = 10;

/// What the reconciler takes in.
pub(crate) enum Msg {
    /// The view changed.
    Look,
    /// A pause is over.
    Due(Key, Version),
    /// Everything is to be stopped, for good.
    Quiesce,
}

impl ractor::Message for Msg {}

/// What the reconciler is started with.
#[derive(Clone)]
pub(crate) struct Arguments {
    pub(crate) config: Arc<Config>,
    pub(crate) ports: Ports,
    pub(crate) clock: Monotonic,
    pub(crate) directory: Arc<Directory>,
    pub(crate) handle: Handle,
}

/// The actor.
pub(crate) struct Reconciler;

enum Child {
    Provider(provider::Handle),
    Replica(deployment::Handle),
}

/// The actor's state.
pub(crate) struct Running {
    machine: Machine,
    start: Arguments,
    children: BTreeMap<(Key, Version), (ActorId, Child)>,
    _watch: AbortOnDropHandle<()>,
}

impl Actor for Reconciler {
    type Msg = Msg;
    type State = Running;
    type Arguments = Arguments;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        start: Arguments,
    ) -> Result<Running, ActorProcessingErr> {
        // Whatever a former life of this actor ran has ended with it.
        start.directory.clear();
        start.handle.shared.mailbox.store(Some(Arc::new(myself.clone())));
        let gather = Gather { before: Duration::ZERO, after: millis(GATHER_MS) };
        let watching = aside::watch(start.ports.view.clone(), myself, gather, || Msg::Look);
        let _watch = AbortOnDropHandle::new(tokio::spawn(watching));
        Ok(Running { machine: Machine::default(), start, children: BTreeMap::new(), _watch })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        message: Msg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let event = match message {
            Msg::Look => Event::Look(wanted(&running.start.ports.view.peek(), running.start.config.me)),
            Msg::Due(key, version) => Event::Due { key, version },
            Msg::Quiesce => Event::Quiesce,
        };
        running.step(event, &myself).await;
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Msg>,
        event: SupervisionEvent,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let (who, failure) = match event {
            SupervisionEvent::ActorTerminated(who, _, _) => (who, None),
            SupervisionEvent::ActorFailed(who, error) => (who, Some(error.to_string())),
            _ => return Ok(()),
        };
        let found = running.children.iter().find(|(_, (id, _))| *id == who.get_id());
        let Some(((key, version), _)) = found.map(|(k, v)| (k.clone(), v)) else { return Ok(()) };
        running.children.remove(&(key.clone(), version));
        running.withdraw(&key, version);
        running.step(running.ended(key, version, failure), &myself).await;
        Ok(())
    }
}

impl Running {
    fn ended(&self, key: Key, version: Version, failure: Option<String>) -> Event {
        if let Some(reason) = &failure {
            tracing::error!(child = %key, reason, "an actor failed");
        }
        Event::Ended { key, version, failure, draw: self.start.ports.entropy.draw() }
    }

    async fn step(&mut self, event: Event, myself: &ActorRef<Msg>) {
        let mut effects: std::collections::VecDeque<Effect> =
            self.machine.step(event, self.start.clock.now()).into();
        while let Some(effect) = effects.pop_front() {
            // A child that does not even start has failed: what that leads to is done as well. Its restart is only ever
            // asked for after a pause, so this ends.
            if let Some(event) = self.carry_out(effect, myself).await {
                effects.extend(self.machine.step(event, self.start.clock.now()));
            }
        }
        let children = self.machine.records().map(|(key, record)| (key.to_string(), record.clone()));
        self.start.handle.shared.shown.store(Arc::new(Observed { children: children.collect() }));
    }

    async fn carry_out(&mut self, effect: Effect, myself: &ActorRef<Msg>) -> Option<Event> {
        match effect {
            Effect::Start(key, version) => return self.start_child(key, version, myself.get_cell()).await,
            Effect::Stop(key, version) => match self.children.get(&(key, version)) {
                Some((_, Child::Replica(handle))) => handle.stop(),
                Some((_, Child::Provider(handle))) => handle.stop(),
                None => {}
            },
            Effect::Tell(key, version, phase) => {
                if let Some((_, Child::Replica(handle))) = self.children.get(&(key, version)) {
                    handle.seen(phase);
                }
            }
            Effect::After(ms, key, version) => {
                drop(myself.send_after(millis(ms), move || Msg::Due(key, version)));
            }
            Effect::Quiet => {
                self.start.handle.shared.quiet.send_replace(true);
            }
        }
        None
    }

    async fn start_child(&mut self, key: Key, version: Version, me: ActorCell) -> Option<Event> {
        let started = match &key {
            Key::Provider(name) => self.start_provider(name, version, me).await,
            Key::Replica(id, ordinal) => {
                let Version(epoch, generation) = version;
                self.start_replica(Identity { id: *id, ordinal: *ordinal, epoch, generation }, me).await
            }
        };
        match started {
            Ok(Some(child)) => {
                self.children.insert((key, version), child);
                None
            }
            // Its row went away since the look: the next look stops it.
            Ok(None) => Some(self.ended(key, version, None)),
            Err(error) => Some(self.ended(key, version, Some(error.to_string()))),
        }
    }

    async fn start_provider(
        &self,
        name: &ProviderName,
        version: Version,
        me: ActorCell,
    ) -> Result<Option<(ActorId, Child)>, SpawnErr> {
        let row = self.start.ports.view.peek().state.providers.get(name).cloned();
        let Some(row) = row.filter(|row| row.revision == version.0) else { return Ok(None) };
        let arguments = provider::Arguments {
            row,
            config: self.start.config.clone(),
            ports: self.start.ports.clone(),
            clock: self.start.clock,
        };
        let (id, handle) = Connection::start(arguments, me).await?;
        self.start.directory.put_provider(handle.clone());
        Ok(Some((id, Child::Provider(handle))))
    }

    async fn start_replica(
        &self,
        identity: Identity,
        me: ActorCell,
    ) -> Result<Option<(ActorId, Child)>, SpawnErr> {
        let view = self.start.ports.view.load();
        let Some(row) = view.state.deployments.get(&identity.id) else { return Ok(None) };
        let Some((_, gpus, _)) = row.held(identity.ordinal, identity.epoch) else { return Ok(None) };
        let arguments = deployment::Arguments {
            identity,
            spec: row.spec.clone(),
            model: view.state.models.get(&row.spec.model).and_then(|model| model.path.clone()),
            gpus: gpus.to_vec(),
            config: self.start.config.clone(),
            ports: self.start.ports.clone(),
            clock: self.start.clock,
        };
        let (id, handle) = Replica::start(arguments, me).await?;
        self.start.directory.put_replica(handle.clone());
        Ok(Some((id, Child::Replica(handle))))
    }

    /// Takes a child that is over out of the directory, unless its successor is there already.
    fn withdraw(&self, key: &Key, version: Version) {
        match key {
            Key::Provider(name) => self.start.directory.drop_provider(name, version.0),
            Key::Replica(id, ordinal) => self.start.directory.drop_replica(*id, *ordinal, version.0),
        }
    }
}
