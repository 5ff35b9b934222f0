//! Joins a replica's machine to the ports: messages become events, effects become calls. It holds the engine's keeper,
//! so the engine ends with the actor.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::deployment::{Phase, Spec};
use domain::{Command, Reject, deployment};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::events::{Effect, Event, Timer};
use super::handle::{Handle, Shared, Shown};
use super::keeper::{Keeper, keep};
use super::log_ring::LogRing;
use super::machine::{Machine, RETRY};
use super::reporting::Answer;
use super::{Identity, State};
use crate::aside;
use crate::config::{Config, Ports};
use crate::engine::{self, Engine, Launch};
use crate::gate::{Endpoint, Gate};
use crate::monotonic::{Monotonic, millis};
use crate::ports::{ProposeError, SpawnError};
use crate::probe;
use crate::secret::Secret;

/// How long a health request may take.
const PROBE_TIMEOUT: Duration = Duration::from_millis(1_500);
/// Random bytes in an engine's key.
const KEY_LEN: usize = 24;

/// What a replica's actor takes in.
pub(crate) enum Msg {
    /// Something happened.
    Happened(Event),
    /// The engine was started.
    Started {
        /// Which start.
        run: u32,
        /// Holds the process.
        keeper: Keeper,
        /// Where it listens.
        endpoint: Endpoint,
    },
}

impl ractor::Message for Msg {}

/// What a replica is started with.
pub(crate) struct Arguments {
    pub(crate) identity: Identity,
    pub(crate) spec: Spec,
    /// The model's file, if its row names one.
    pub(crate) model: Option<String>,
    pub(crate) gpus: Vec<u32>,
    pub(crate) config: Arc<Config>,
    pub(crate) ports: Ports,
    pub(crate) clock: Monotonic,
}

/// The actor.
pub(crate) struct Replica;

/// The actor's state.
pub(crate) struct Running {
    machine: Machine,
    tools: Arc<Tools>,
    keeper: Option<Keeper>,
    endpoint: Option<Endpoint>,
}

/// What its tasks work with.
pub(crate) struct Tools {
    start: Arguments,
    engine: Option<Engine>,
    shared: Arc<Shared>,
}

impl Replica {
    /// Starts the actor under `supervisor`.
    pub(crate) async fn start(
        arguments: Arguments,
        supervisor: ractor::ActorCell,
    ) -> Result<(ractor::ActorId, Handle), ractor::SpawnErr> {
        let gate = Gate::new(
            arguments.clock,
            arguments.config.settings.in_flight_max,
            "its engine is being started on this node",
        );
        let shown =
            Shown { state: State::New, since: arguments.clock.now(), attempts: 0, why: None, pid: None };
        let shared = Arc::new(Shared {
            identity: arguments.identity,
            gate,
            log: LogRing::default(),
            shown: ArcSwap::from_pointee(shown),
        });
        let engine = arguments.config.settings.engine(&arguments.spec.engine);
        let tools = Arc::new(Tools { start: arguments, engine, shared: shared.clone() });
        let (mailbox, _) = Actor::spawn_linked(None, Replica, tools, supervisor).await?;
        Ok((mailbox.get_id(), Handle { shared, mailbox }))
    }
}

/// Started through [`Replica::start`], which makes the tools.
impl Actor for Replica {
    type Msg = Msg;
    type State = Running;
    type Arguments = Arc<Tools>;

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        tools: Arc<Tools>,
    ) -> Result<Running, ActorProcessingErr> {
        let ready_timeout = tools.engine.as_ref().map_or(0, |e| e.ready_timeout_ms);
        let grace = tools.start.ports.processes.stop_grace();
        let machine = Machine::new(ready_timeout, u64::try_from(grace.as_millis()).unwrap_or(u64::MAX));
        myself.send_message(Msg::Happened(Event::Begin))?;
        Ok(Running { machine, tools, keeper: None, endpoint: None })
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        message: Msg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let event = match message {
            Msg::Happened(event) => event,
            Msg::Started { run, keeper, endpoint } => {
                // Of one that nobody waits for any more the keeper is dropped, which ends what is left of it.
                if running.machine.awaits(run) {
                    running.keeper = Some(keeper);
                    running.endpoint = Some(endpoint);
                }
                Event::Spawned { run }
            }
        };
        let was = running.machine.state().clone();
        let effects = running.machine.step(event, running.tools.start.clock.now());
        if !running.machine.alive() {
            running.keeper = None;
            running.endpoint = None;
        }
        running.publish(&was);
        for effect in effects {
            running.carry_out(effect, &myself);
        }
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tools.shared.gate.close("it is not run by this node any more");
    }
}

impl Running {
    fn publish(&self, was: &State) {
        let machine = &self.machine;
        if machine.state() != was {
            let replica = self.tools.start.identity.label();
            let state = format!("{:?}", machine.state());
            tracing::info!(%replica, epoch = self.tools.start.identity.epoch, state, reason = machine.why(), "replica");
        }
        self.tools.shared.shown.store(Arc::new(Shown {
            state: machine.state().clone(),
            since: machine.since(),
            attempts: machine.attempts(),
            why: machine.why().map(str::to_owned),
            pid: self.keeper.as_ref().map(|k| k.pid),
        }));
    }

    fn carry_out(&self, effect: Effect, myself: &ActorRef<Msg>) {
        let tools = self.tools.clone();
        let me = myself.clone();
        let ports = &self.tools.start.ports;
        match effect {
            Effect::CheckFile => {
                later(me, async move { Event::FileChecked(tools.check_file().await) }, |lost| {
                    Event::FileChecked(Err(lost))
                })
            }
            Effect::Spawn { run } => drop(tokio::spawn(aside::tell(
                me.clone(),
                async move { tools.spawn(run, me).await },
                move |reason| Msg::Happened(Event::SpawnFailed { run, reason, for_good: false }),
            ))),
            Effect::Probe { run } => {
                self.weigh(run, me.clone());
                self.probe(run, me);
            }
            Effect::After(ms, timer) => drop(me.send_after(millis(ms), move || due(timer))),
            Effect::Pause { attempt, run } => {
                let pause = RETRY.wait(attempt, ports.entropy.draw());
                drop(me.send_after(millis(pause), move || due(Timer::Retry { run })));
            }
            Effect::Open => {
                if let Some(endpoint) = self.endpoint.clone() {
                    tools.shared.gate.open(endpoint);
                }
            }
            Effect::Close(why) => tools.shared.gate.close(&why),
            Effect::Drain => later(
                me,
                async move {
                    let limit = millis(tools.start.config.settings.drain_ms);
                    let _ = tokio::time::timeout(limit, tools.shared.gate.empty()).await;
                    Event::Drained
                },
                |_| Event::Drained,
            ),
            Effect::Terminate => self.keeper.iter().for_each(Keeper::terminate),
            Effect::Kill => self.keeper.iter().for_each(Keeper::kill),
            Effect::Report(phase) => {
                later(me, async move { Event::Reported(tools.report(phase).await) }, |_| {
                    Event::Reported(Answer::Again)
                })
            }
            Effect::End => me.stop(Some("it was stopped".to_owned())),
        }
    }

    /// Looks whether a ready engine keeps to its share of memory, where it was given one.
    fn weigh(&self, run: u32, me: ActorRef<Msg>) {
        let share_mib = self.tools.start.spec.resources.memory_mib;
        let Some(pid) = self.keeper.as_ref().map(|keeper| keeper.pid) else { return };
        if share_mib == 0 || *self.machine.state() != State::Ready {
            return;
        }
        let processes = self.tools.start.ports.processes.clone();
        drop(tokio::spawn(async move {
            if let Some(used_mib) = processes.memory_mib(pid).await {
                // Where the actor is over there is no engine left.
                let _ = me.send_message(Msg::Happened(Event::Weighed { run, used_mib, share_mib }));
            }
        }));
    }

    fn probe(&self, run: u32, me: ActorRef<Msg>) {
        let Some(endpoint) = self.endpoint.clone() else { return };
        let (tools, shared) = (self.tools.clone(), self.tools.shared.clone());
        let probed = move |answer| Event::Probed { run, answer, work: shared.gate.work() };
        let lost = probed.clone();
        later(me, async move { probed(tools.probe(&endpoint).await) }, move |reason| lost(Err(reason)));
    }
}

fn due(timer: Timer) -> Msg {
    Msg::Happened(Event::Due(timer))
}

/// Runs work beside the actor and tells it what came of it, or `lost` where the work panics.
fn later(
    to: ActorRef<Msg>,
    work: impl Future<Output = Event> + Send + 'static,
    lost: impl FnOnce(String) -> Event + Send + 'static,
) {
    let work = async move { Msg::Happened(work.await) };
    drop(tokio::spawn(aside::tell(to, work, |reason| Msg::Happened(lost(reason)))));
}

impl Tools {
    async fn check_file(&self) -> Result<(), String> {
        let Some(engine) = &self.engine else {
            let name = &self.start.spec.engine;
            return Err(format!(
                "this node has no engine named `{name}`: add it to [engines] in its configuration"
            ));
        };
        if !engine.model_required {
            return Ok(());
        }
        let Some(path) = &self.start.model else {
            let (model, name) = (&self.start.spec.model, &self.start.spec.engine);
            return Err(format!("model `{model}` has no file, which engine `{name}` needs"));
        };
        let probe = self.start.ports.processes.probe_file(path).await.map_err(|e| e.to_string())?;
        match &engine.magic {
            Some(magic) if !probe.magic.starts_with(magic.as_bytes()) => Err(format!(
                "file {path} ({} bytes) is no {magic} file: deploy a file of that format",
                probe.len
            )),
            _ => Ok(()),
        }
    }

    /// What to tell the actor; where it is over meanwhile, the keeper is dropped with the message, which ends the process.
    async fn spawn(self: Arc<Self>, run: u32, me: ActorRef<Msg>) -> Msg {
        match self.try_spawn(run, &me).await {
            Ok((keeper, endpoint)) => Msg::Started { run, keeper, endpoint },
            Err((reason, for_good)) => Msg::Happened(Event::SpawnFailed { run, reason, for_good }),
        }
    }

    /// The keeper and the endpoint, or why not and whether that is for good.
    async fn try_spawn(
        self: &Arc<Self>,
        run: u32,
        me: &ActorRef<Msg>,
    ) -> Result<(Keeper, Endpoint), (String, bool)> {
        let Arguments { identity, spec, model, gpus, config, ports, .. } = &self.start;
        let Some(template) = &self.engine else {
            return Err((format!("this node has no engine named `{}`", spec.engine), true));
        };
        let mut bytes = [0; KEY_LEN];
        ports.entropy.fill(&mut bytes);
        let key = Secret::new(hex::encode(bytes));
        let port = ports.processes.free_port().await.map_err(|e| (e.to_string(), false))?;
        let label = identity.label();
        let cpus = ports.view.peek().state.nodes.get(&config.me).map_or(0, |node| node.capacity.cpus);
        let start = Launch { label, spec, model: model.as_deref(), gpus, cpus, port, key: &key };
        let spawn = engine::launch(template, &config.settings.env_allow, &start)
            .map_err(|e| (e.to_string(), true))?;
        let process = ports.processes.spawn(spawn).await.map_err(|e| {
            let for_good = matches!(e, SpawnError::Program { .. });
            (e.to_string(), for_good)
        })?;
        let to = me.clone();
        let ended = move |exit: crate::ports::Exit, tail| {
            let _ = to.send_message(Msg::Happened(Event::Exited { run, status: exit.status, tail }));
        };
        let keeper = keep(process, self.shared.clone(), ports.processes.clone(), key.clone(), ended);
        let base_url = format!("http://{}:{port}{}", engine::HOST, template.base_path);
        Ok((keeper, Endpoint::engine(base_url, Some(key))))
    }

    async fn probe(&self, endpoint: &Endpoint) -> Result<(), String> {
        let Some(engine) = &self.engine else { return Err("it has no engine".to_owned()) };
        let root = endpoint.base_url.strip_suffix(&engine.base_path).unwrap_or(&endpoint.base_url);
        let url = format!("{root}{}", engine.health_path);
        let status =
            probe::get(&*self.start.ports.http, &url, endpoint.secret.as_ref(), PROBE_TIMEOUT).await?;
        if status == http::StatusCode::OK { Ok(()) } else { Err(format!("it answered {status}")) }
    }

    async fn report(&self, phase: Phase) -> Answer {
        let Identity { id, ordinal, epoch, .. } = self.start.identity;
        let command = Command::Deployment(deployment::Command::Report { id, ordinal, epoch, phase });
        match self.start.ports.proposer.propose(command).await {
            Ok(_) => Answer::Taken,
            Err(ProposeError::Rejected(Reject::Deployment(
                deployment::Reject::Stale { .. } | deployment::Reject::Unknown(_),
            ))) => Answer::Stale,
            Err(error) => {
                tracing::debug!(replica = %self.start.identity.label(), %error, "a report has to be repeated");
                Answer::Again
            }
        }
    }
}
