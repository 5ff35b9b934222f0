//! Joins a provider's machine to the vault, the network and the gate of its handle.

use std::sync::Arc;
use std::time::Duration;

use adapters::FailureKind;
use adapters::dialect::Spoken;
use adapters::openai::COMPATIBLE;
use arc_swap::ArcSwap;
use domain::Millis;
use domain::provider::{Kind, Provider};
use http::StatusCode;
use ractor::{Actor, ActorCell, ActorId, ActorProcessingErr, ActorRef, SpawnErr};

use super::handle::{Handle, Shared};
use super::machine::{Effect, Event, LOOK_MS, Machine, OPEN_RETRY, OpenError, ProbeError};
use crate::aside;
use crate::config::{Config, Ports};
use crate::dialects;
use crate::gate::{Endpoint, Gate};
use crate::monotonic::{Monotonic, millis};
use crate::ports::VaultError;
use crate::probe;
use crate::secret::Secret;

/// How long a provider may take to answer when asked whether it is well.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a token that was given as a key is taken to live.
const GIVEN_TOKEN_MS: Millis = 86_400_000;

/// What a provider's actor takes in.
pub(crate) enum Msg {
    /// Something happened.
    Happened(Event),
    /// The key is open.
    Key(Option<Secret>),
    /// The key was exchanged for a token, which lives for so many milliseconds.
    Token(Secret, Millis),
    /// It is time to look at what the calls told.
    Look,
}

impl ractor::Message for Msg {}

/// What a provider's actor is started with.
pub(crate) struct Arguments {
    pub(crate) row: Arc<Provider>,
    pub(crate) config: Arc<Config>,
    pub(crate) ports: Ports,
    pub(crate) clock: Monotonic,
}

/// The actor.
pub(crate) struct Connection;

/// What it works with.
pub(crate) struct Tools {
    start: Arguments,
    shared: Arc<Shared>,
}

/// The actor's state.
pub(crate) struct Running {
    machine: Machine,
    tools: Arc<Tools>,
    endpoint: Endpoint,
    /// The key itself, where calls carry tokens.
    key: Option<Secret>,
}

impl Connection {
    /// Starts the actor under `supervisor`.
    pub(crate) async fn start(
        start: Arguments,
        supervisor: ActorCell,
    ) -> Result<(ActorId, Handle), SpawnErr> {
        let in_flight_max = start.config.settings.in_flight_max;
        let speaks = match &start.row.kind {
            Kind::OpenAi { .. } => COMPATIBLE.name,
            Kind::Api(api) => &api.dialect,
            Kind::Mock => "mock",
        };
        let exchanges = endpoint(&start).is_ok_and(|endpoint| endpoint.dialect.exchanges());
        let machine = Machine::new(start.row.kind != Kind::Mock, exchanges);
        let shared = Arc::new(Shared {
            name: start.row.name.clone(),
            revision: start.row.revision,
            speaks: speaks.to_owned(),
            gate: Gate::new(start.clock, in_flight_max, "the provider's key is being opened"),
            health: ArcSwap::from_pointee(machine.health().clone()),
        });
        let tools = Arc::new(Tools { start, shared: shared.clone() });
        let (mailbox, _) = Actor::spawn_linked(None, Connection, (tools, machine), supervisor).await?;
        Ok((mailbox.get_id(), Handle { shared, mailbox }))
    }
}

impl Actor for Connection {
    type Msg = Msg;
    type State = Running;
    type Arguments = (Arc<Tools>, Machine);

    async fn pre_start(
        &self,
        myself: ActorRef<Msg>,
        (tools, machine): (Arc<Tools>, Machine),
    ) -> Result<Running, ActorProcessingErr> {
        // One whose dialect is not known here takes no calls.
        let url = tools.start.row.kind.url().unwrap_or_default();
        let endpoint = endpoint(&tools.start).unwrap_or_else(|_| Endpoint::engine(url.to_owned(), None));
        let mut running = Running { machine, tools, endpoint, key: None };
        // Done here, not by a message: the mock takes calls from the moment its handle is there.
        running.step(Event::Begin, &myself);
        Ok(running)
    }

    async fn handle(
        &self,
        myself: ActorRef<Msg>,
        message: Msg,
        running: &mut Running,
    ) -> Result<(), ActorProcessingErr> {
        let event = match message {
            Msg::Happened(event) => event,
            Msg::Key(key) => {
                running.endpoint.secret = key.clone();
                running.key = key;
                Event::Opened(Ok(()))
            }
            Msg::Token(token, lives) => {
                running.endpoint.secret = Some(token);
                Event::Granted(Ok(lives))
            }
            Msg::Look => Event::Look(running.tools.shared.gate.tally()),
        };
        running.step(event, &myself);
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.tools.shared.gate.close("the provider was changed or removed");
    }
}

impl Running {
    fn step(&mut self, event: Event, myself: &ActorRef<Msg>) {
        let was = self.machine.health().clone();
        let effects = self.machine.step(event, self.tools.start.clock.now());
        let health = self.machine.health();
        if *health != was {
            tracing::info!(provider = %self.tools.shared.name, health = ?health, "provider");
            self.tools.shared.health.store(Arc::new(health.clone()));
        }
        for effect in effects {
            self.carry_out(effect, myself);
        }
    }

    fn carry_out(&self, effect: Effect, myself: &ActorRef<Msg>) {
        let tools = self.tools.clone();
        let me = myself.clone();
        match effect {
            Effect::OpenKey => {
                drop(tokio::spawn(aside::tell(me, async move { tools.open_key().await }, |lost| {
                    Msg::Happened(Event::Opened(Err(OpenError::Unavailable(lost))))
                })))
            }
            Effect::Pause { attempt } => {
                let pause = OPEN_RETRY.wait(attempt, tools.start.ports.entropy.draw());
                drop(me.send_after(millis(pause), || Msg::Happened(Event::OpenDue)));
            }
            Effect::Exchange => {
                let granted = |answer| Msg::Happened(Event::Granted(Err(answer)));
                let endpoint = Endpoint { secret: self.key.clone(), ..self.endpoint.clone() };
                let exchanging = async move { tools.exchange(&endpoint).await.unwrap_or_else(granted) };
                drop(tokio::spawn(aside::tell(me, exchanging, move |lost| {
                    granted(OpenError::Unavailable(lost))
                })));
            }
            Effect::ExchangeLater(wait) => {
                drop(me.send_after(millis(wait), || Msg::Happened(Event::GrantDue)));
            }
            Effect::ExchangePause { attempt } => {
                let pause = OPEN_RETRY.wait(attempt, tools.start.ports.entropy.draw());
                drop(me.send_after(millis(pause), || Msg::Happened(Event::GrantDue)));
            }
            Effect::Open => tools.shared.gate.open(self.endpoint.clone()),
            Effect::Close(why) => tools.shared.gate.close(&why),
            Effect::LookLater => drop(me.send_after(millis(LOOK_MS), || Msg::Look)),
            Effect::Probe => {
                let endpoint = self.endpoint.clone();
                let probed = |answer| Msg::Happened(Event::Probed(answer));
                let probing = async move { probed(tools.probe(&endpoint).await) };
                drop(tokio::spawn(aside::tell(me, probing, move |lost| {
                    probed(Err(ProbeError::Failed(lost)))
                })));
            }
            Effect::Forgive => tools.shared.gate.forgive(),
            Effect::Avoid => tools.shared.gate.avoid(),
        }
    }
}

impl Tools {
    async fn open_key(&self) -> Msg {
        if let Err(reason) = endpoint(&self.start) {
            return Msg::Happened(Event::Opened(Err(OpenError::Damaged(reason))));
        }
        match self.start.ports.vault.open_provider_key(&self.start.row).await {
            Ok(key) => Msg::Key(key.map(Secret::new)),
            Err(error) => {
                let text = error.to_string();
                let error = match error {
                    VaultError::Unavailable(_) => OpenError::Unavailable(text),
                    VaultError::NotAllowed | VaultError::Damaged => {
                        OpenError::Damaged(format!("{text}: add the provider again with its key"))
                    }
                };
                Msg::Happened(Event::Opened(Err(error)))
            }
        }
    }

    /// Exchanges the key for a token.
    async fn exchange(&self, endpoint: &Endpoint) -> Result<Msg, OpenError> {
        let Ports { http, clock, .. } = &self.start.ports;
        let target = endpoint.target(None, clock.now() / 1_000);
        let Some(request) = endpoint.dialect.exchange(&target) else {
            // What was given as its key is a token already.
            let token = endpoint.secret.clone();
            return token.map(|token| Msg::Token(token, GIVEN_TOKEN_MS)).ok_or_else(|| {
                OpenError::Damaged("it has no API key: give it one with PUT /api/providers".to_owned())
            });
        };
        let request = request.map_err(|error| OpenError::Damaged(error.to_string()))?;
        let (status, body) =
            probe::ask(&**http, request, PROBE_TIMEOUT).await.map_err(OpenError::Unavailable)?;
        match endpoint.dialect.exchanged(&body) {
            Ok(granted) => Ok(Msg::Token(Secret::new(granted.token), granted.lives_s.saturating_mul(1_000))),
            Err(refusal) if refusal.failure.kind == FailureKind::Authentication => {
                let why = &refusal.error.message;
                Err(OpenError::Damaged(format!("it does not grant a token for its key: {why}")))
            }
            Err(refusal) => {
                let why = &refusal.error.message;
                Err(OpenError::Unavailable(format!("it granted no token ({status}): {why}")))
            }
        }
    }

    async fn probe(&self, endpoint: &Endpoint) -> Result<(), ProbeError> {
        let Ports { http, clock, .. } = &self.start.ports;
        let target = endpoint.target(None, clock.now() / 1_000);
        let request = endpoint.dialect.probe(&target).map_err(|e| ProbeError::Failed(e.to_string()))?;
        match probe::ask(&**http, request, PROBE_TIMEOUT).await {
            Ok((status, _)) => told(status),
            Err(reason) => Err(ProbeError::Failed(reason)),
        }
    }
}

/// Where a provider is called, before its key is open.
fn endpoint(start: &Arguments) -> Result<Endpoint, String> {
    let kind = &start.row.kind;
    let base_url = kind.url().unwrap_or_default().trim_end_matches('/').to_owned();
    Ok(match kind {
        Kind::OpenAi { .. } | Kind::Mock => Endpoint::engine(base_url, None),
        Kind::Api(api) => Endpoint {
            dialect: dialect(start, &api.dialect)?,
            base_url,
            secret: None,
            options: api.options.clone(),
        },
    })
}

/// The dialect of a name, or what to do where there is none.
fn dialect(start: &Arguments, name: &str) -> Result<Spoken, String> {
    match dialects::spoken(&start.ports.view.peek().state, name) {
        Some(Ok(spoken)) => Ok(spoken),
        Some(Err(wrong)) => Err(format!(
            "the declaration of the dialect `{name}` cannot be used here: {wrong}; upgrade this node's program, or roll the \
             adapter back"
        )),
        None => Err(format!(
            "no dialect is called `{name}` here: upgrade this node's program, or declare it with `llmhub adapter put`"
        )),
    }
}

/// What the answer to a probe tells: any but a server's error shows that the provider is there, also one that it has no
/// list of models. A refused key is worth telling, though it may be good for calls.
fn told(status: StatusCode) -> Result<(), ProbeError> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Err(ProbeError::Refused(format!(
            "it does not list its models for this key ({status}): if it refuses calls too, add the provider again with a \
             good one"
        ))),
        status if status.is_server_error() => Err(ProbeError::Failed(format!("it answered {status}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_server_s_error_tells_that_a_provider_fails() {
        let told = |status: u16| told(StatusCode::from_u16(status).unwrap());
        for status in [200, 404, 405, 429] {
            assert_eq!(told(status), Ok(()), "{status}");
        }
        for status in [401, 403] {
            assert!(matches!(told(status), Err(ProbeError::Refused(_))), "{status}");
        }
        for status in [500, 502, 503] {
            assert!(matches!(told(status), Err(ProbeError::Failed(_))), "{status}");
        }
    }
}
