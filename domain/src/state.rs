//! All tables together, and the one place where commands change them. The consensus crate owns an instance, feeds it the
//! log and publishes clones of it; everyone else only reads. `apply` is deterministic: same log, same state, everywhere.

use imbl::{OrdMap, OrdSet};
use serde::{Deserialize, Serialize};

use crate::command::{Command, Envelope, Outcome, Reject};
use crate::ids::{DeploymentId, Epoch, KeyId, Millis, ProviderName, RequestId};
use crate::limits::{REQUEST_AGE_MAX_MS, REQUESTS_MAX};
use crate::table::{Changes, LoadError, Row, Table};
use crate::tables::{
    Context, adapter, config, deployment, event, key, level, limit, model, node, price, provider, restore,
    rotation, route, secret, setting, token,
};

/// Request ids dropped at most with one command: the window shrinks gradually, never in one long step.
const FORGET_PER_COMMAND: usize = 8;

/// An applied command's outcome, remembered for retries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remembered {
    /// The command's id.
    pub id: RequestId,
    /// When it was applied.
    pub at: Millis,
    /// What it answered.
    pub outcome: Outcome,
}

impl Row for Remembered {
    const TABLE: u8 = 9;
    type Key = RequestId;
}

/// Numbers of the state itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counter {
    value: u64,
}

impl Row for Counter {
    const TABLE: u8 = 10;
    type Key = String;
}

const CLOCK: &str = "clock";
const LEVEL: &str = "level";

/// The cluster's metadata. Cloning it costs nothing: tables share their structure.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct State {
    /// Nodes by id.
    pub nodes: Table<node::Node>,
    /// Nodes that were removed, by id.
    pub gone: Table<node::Gone>,
    /// Models by id.
    pub models: Table<model::Model>,
    /// Deployments by id.
    pub deployments: Table<deployment::Deployment>,
    /// Providers by name.
    pub providers: Table<provider::Provider>,
    /// API keys by id.
    pub keys: Table<key::Key>,
    /// Join tokens by id.
    pub tokens: Table<token::Token>,
    /// Sealed secrets by name.
    pub secrets: Table<secret::Secret>,
    /// The data key, wrapped, by node.
    pub wraps: Table<secret::Wrap>,
    /// Users' configuration values by key.
    pub config: Table<config::Value>,
    /// Restores of backups, by the backup's id.
    pub restores: Table<restore::Restore>,
    /// What operators set, by name.
    pub settings: Table<setting::Setting>,
    /// What happened, oldest first.
    pub events: Table<event::Event>,
    /// What limits' windows have given out.
    pub limit_counters: Table<limit::Counter>,
    /// Nodes' leases on limits.
    pub limit_leases: Table<limit::Lease>,
    /// What models cost, by name.
    pub prices: Table<price::Price>,
    /// Declared dialects, by name.
    pub adapters: Table<adapter::Adapter>,
    /// What becomes of calls for a model's name, by that name.
    pub routes: Table<route::Route>,
    /// Which keys are in use and which are being replaced, by kind.
    pub rotations: Table<rotation::Rotation>,
    /// Which of them each node has taken in, by node.
    pub holdings: Table<rotation::Holding>,
    requests: Table<Remembered>,
    counters: Table<Counter>,
    // Derived from the tables above, rebuilt when they are loaded.
    pub(crate) names: OrdMap<String, DeploymentId>,
    pub(crate) offers: OrdMap<String, OrdSet<ProviderName>>,
    pub(crate) key_by_hash: OrdMap<Vec<u8>, KeyId>,
    pub(crate) config_bytes: u64,
    requests_by_age: OrdSet<(Millis, RequestId)>,
    /// What is numbered by the log starts above this: backups brought rows with all numbers up to it.
    pub(crate) base: u64,
}

impl State {
    /// Applies one command. `index` is its place in the log; `out` collects the rows that changed.
    pub fn apply(&mut self, index: Epoch, envelope: &Envelope, out: &mut Changes) -> Outcome {
        if let Some(known) = self.requests.get(&envelope.request_id) {
            return known.outcome.clone();
        }
        if self.is_key_reused(envelope.request_id) {
            // Not remembered: it is refused as long as what the key stands for is, and changes nothing.
            return Err(Reject::KeyReused);
        }
        let now = envelope.at.max(self.clock());
        let before = out.len();
        let index = index.saturating_add(self.base);
        let outcome = self.dispatch(envelope, &mut Context { index, now, out });
        debug_assert!(outcome.is_ok() || out.len() == before, "a refused command changes nothing");
        self.reach(&mut Context { index, now, out });
        if envelope.command.is_remembered() {
            self.remember(envelope.request_id, now, &outcome, out);
        }
        outcome
    }

    /// Whether the id's key stands for another request already.
    fn is_key_reused(&self, id: RequestId) -> bool {
        let mut rows = id.under_its_key().into_iter().flat_map(|ids| self.requests.range(ids));
        rows.any(|row| !row.id.is_same_request(id))
    }

    fn dispatch(&mut self, envelope: &Envelope, ctx: &mut Context<'_>) -> Outcome {
        self.admits(envelope)?;
        match &envelope.command {
            Command::Node(c) => node::apply(self, c, ctx),
            Command::Model(c) => model::apply(self, c, ctx),
            Command::Deployment(c) => deployment::apply(self, c, ctx),
            Command::Provider(c) => provider::apply(self, c, ctx),
            Command::Key(c) => key::apply(self, c, ctx),
            Command::Token(c) => token::apply(self, c, ctx),
            Command::Secret(c) => secret::apply(self, c, ctx),
            Command::Level(c) => level::apply(self, c, ctx),
            Command::Config(c) => config::apply(self, c, ctx),
            Command::Restore(c) => restore::apply(self, c, ctx),
            Command::Setting(c) => setting::apply(self, c, ctx),
            Command::Limit(c) => limit::apply(self, c, ctx),
            Command::Rotation(c) => rotation::apply(self, c, ctx),
            Command::Price(c) => price::apply(self, c, ctx),
            Command::Adapter(c) => adapter::apply(self, c, ctx),
            Command::Route(c) => route::apply(self, c, ctx),
        }
    }

    fn remember(&mut self, id: RequestId, at: Millis, outcome: &Outcome, out: &mut Changes) {
        self.requests.put(out, id, Remembered { id, at, outcome: outcome.clone() });
        self.requests_by_age.insert((at, id));
        for _ in 0..FORGET_PER_COMMAND {
            let Some(&(oldest, id)) = self.requests_by_age.get_min() else { break };
            if oldest + REQUEST_AGE_MAX_MS >= at && self.requests.len() <= REQUESTS_MAX {
                break;
            }
            self.requests_by_age.remove(&(oldest, id));
            self.requests.remove(out, &id);
        }
    }

    /// Takes a stored row back in: from disk at start, or from a snapshot. Order does not matter.
    pub fn load(&mut self, row_key: &[u8], value: &[u8]) -> Result<(), LoadError> {
        let Some((&table, key)) = row_key.split_first() else { return Err(LoadError::UnknownTable(0)) };
        match table {
            node::Node::TABLE => self.nodes.load(key, value),
            node::Gone::TABLE => self.gone.load(key, value),
            model::Model::TABLE => self.models.load(key, value),
            deployment::Deployment::TABLE => self.deployments.load(key, value),
            provider::Provider::TABLE => self.providers.load(key, value),
            key::Key::TABLE => self.keys.load(key, value),
            token::Token::TABLE => self.tokens.load(key, value),
            secret::Secret::TABLE => self.secrets.load(key, value),
            secret::Wrap::TABLE => self.wraps.load(key, value),
            config::Value::TABLE => self.config.load(key, value),
            restore::Restore::TABLE => self.restores.load(key, value),
            setting::Setting::TABLE => self.settings.load(key, value),
            event::Event::TABLE => self.events.load(key, value),
            limit::Counter::TABLE => self.limit_counters.load(key, value),
            limit::Lease::TABLE => self.limit_leases.load(key, value),
            price::Price::TABLE => self.prices.load(key, value),
            adapter::Adapter::TABLE => self.adapters.load(key, value),
            route::Route::TABLE => self.routes.load(key, value),
            rotation::Rotation::TABLE => self.rotations.load(key, value),
            rotation::Holding::TABLE => self.holdings.load(key, value),
            Remembered::TABLE => self.requests.load(key, value),
            Counter::TABLE => self.counters.load(key, value),
            unknown => Err(LoadError::UnknownTable(unknown)),
        }
    }

    /// Rebuilds what is derived, after the last [`State::load`].
    pub fn reindex(&mut self) {
        self.names = self.deployments.rows().map(|d| (d.spec.name.clone(), d.id)).collect();
        self.requests_by_age = self.requests.rows().map(|r| (r.at, r.id)).collect();
        self.config_bytes = self.config.rows().map(|value| value.size()).sum();
        self.base = self.restores.rows().map(|r| r.base).max().unwrap_or(0);
        self.offers = OrdMap::default();
        self.key_by_hash = OrdMap::default();
        for row in self.providers.clone().rows() {
            provider::index(self, row);
        }
        for row in self.keys.clone().rows() {
            key::index(self, row);
        }
    }

    /// Refuses a command above the cluster's feature level; raising the level is what leads there.
    pub fn admits(&self, envelope: &Envelope) -> Result<(), Reject> {
        let (version, known) = (envelope.version, self.level());
        if version > known && !matches!(envelope.command, Command::Level(_)) {
            return Err(Reject::TooNew { version, known });
        }
        Ok(())
    }

    /// The feature level up to which commands are taken.
    pub fn level(&self) -> u16 {
        let raised = self.counters.get(&LEVEL.to_owned());
        raised.and_then(|c| u16::try_from(c.value).ok()).unwrap_or(level::FIRST)
    }

    /// The time of a command is the latest.
    pub(crate) fn reach(&mut self, ctx: &mut Context<'_>) {
        if ctx.now != self.clock() {
            self.counters.put(ctx.out, CLOCK.to_owned(), Counter { value: ctx.now });
        }
    }

    pub(crate) fn raise(&mut self, level: u16, ctx: &mut Context<'_>) {
        if level > self.level() {
            self.counters.put(ctx.out, LEVEL.to_owned(), Counter { value: level.into() });
        }
    }

    /// The latest time any command carried, in milliseconds since the Unix epoch.
    pub fn clock(&self) -> Millis {
        self.counters.get(&CLOCK.to_owned()).map_or(0, |c| c.value)
    }
    /// What a command of this id answered, while it is remembered.
    pub fn outcome(&self, id: &RequestId) -> Option<&Outcome> {
        self.requests.get(id).map(|r| &r.outcome)
    }
    /// The deployment clients ask for by this name.
    pub fn deployment_named(&self, name: &str) -> Option<&deployment::Deployment> {
        self.names.get(name).and_then(|id| self.deployments.get(id)).map(|d| &**d)
    }
    /// The providers that offer a model of this name.
    pub fn providers_of(&self, model: &str) -> impl Iterator<Item = &ProviderName> {
        self.offers.get(model).into_iter().flatten()
    }
    /// Every model name clients can ask for from providers.
    pub fn offered_models(&self) -> impl Iterator<Item = &String> {
        self.offers.keys()
    }
    /// The API key whose text has this SHA-256.
    pub fn key_by_hash(&self, hash: &[u8]) -> Option<&key::Key> {
        self.key_by_hash.get(hash).and_then(|id| self.keys.get(id)).map(|k| &**k)
    }
    /// The node of that name.
    pub fn node_named(&self, name: &str) -> Option<&node::Node> {
        self.nodes.rows().find(|n| n.name == name).map(|n| &**n)
    }
}
