//! What goes through Raft: one thin outer enum, whose arms each belong to one table's module, wrapped in an envelope that
//! makes retries harmless. Used by whoever proposes and by [`crate::State::apply`]; never carries a secret in clear.

use serde::{Deserialize, Serialize};

use crate::ids::{DeploymentId, KeyId, Millis, RequestId};
use crate::tables::{
    adapter, config, deployment, key, level, limit, model, node, price, provider, restore, rotation, route,
    secret, setting, token,
};

/// The feature level of this program: it understands every command up to it. See [`level`].
pub const VERSION: u16 = 6;

/// A command on its way into the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Envelope {
    /// The feature level needed to apply it.
    pub version: u16,
    /// Makes a retry harmless.
    pub request_id: RequestId,
    /// Wall clock of the leader that took it, in milliseconds since the Unix epoch; `apply` uses the larger of this and the last.
    pub at: Millis,
    /// What is to change.
    pub command: Command,
}

impl Envelope {
    /// An envelope of the level its command takes, not yet stamped by a leader.
    pub fn new(request_id: RequestId, command: Command) -> Self {
        Self { version: command.level(), request_id, at: 0, command }
    }
}

impl std::fmt::Display for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.request_id, self.command.kind())
    }
}

/// Every change of metadata there is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Nodes: join, register, lose, remove.
    Node(node::Command),
    /// Models: register, remove.
    Model(model::Command),
    /// Deployments and their replicas.
    Deployment(deployment::Command),
    /// Providers' connections.
    Provider(provider::Command),
    /// API keys.
    Key(key::Command),
    /// Join tokens.
    Token(token::Command),
    /// Sealed secrets and the wraps of the key that seals them.
    Secret(secret::Command),
    /// The cluster's feature level.
    Level(level::Command),
    /// Users' configuration values.
    Config(config::Command),
    /// A backup that comes back.
    Restore(restore::Command),
    /// What operators set: quotas, moves at once, a rebalance.
    Setting(setting::Command),
    /// Leases on keys' limits.
    Limit(limit::Command),
    /// Keys of the cluster that are replaced.
    Rotation(rotation::Command),
    /// What models cost.
    Price(price::Command),
    /// Declared dialects.
    Adapter(adapter::Command),
    /// What becomes of calls for a model's name.
    Route(route::Command),
}

impl Command {
    /// The feature level it takes to apply it.
    pub fn level(&self) -> u16 {
        match self {
            Command::Node(c) => c.level(),
            Command::Deployment(c) => c.level(),
            Command::Provider(c) => c.level(),
            Command::Model(_) | Command::Token(_) | Command::Secret(_) => level::FIRST,
            Command::Config(_) | Command::Setting(_) => 2,
            Command::Restore(c) => c.level(),
            Command::Key(c) => c.level(),
            Command::Limit(c) => c.level(),
            Command::Rotation(_) => rotation::LEVEL,
            Command::Price(_) => price::LEVEL,
            Command::Adapter(_) => adapter::LEVEL,
            Command::Route(_) => route::LEVEL,
            Command::Level(level::Command::Raise(to)) => *to,
        }
    }

    /// Whether its outcome is remembered under its request id. Not of what nodes send all the time and number themselves,
    /// so that a retry changes nothing: it would crowd out what clients may repeat.
    pub fn is_remembered(&self) -> bool {
        !matches!(self, Command::Limit(_))
    }

    /// The table it belongs to: what logs and metrics may say of it.
    pub fn kind(&self) -> &'static str {
        match self {
            Command::Node(_) => "node",
            Command::Model(_) => "model",
            Command::Deployment(_) => "deployment",
            Command::Provider(_) => "provider",
            Command::Key(_) => "key",
            Command::Token(_) => "token",
            Command::Secret(_) => "secret",
            Command::Level(_) => "level",
            Command::Config(_) => "config",
            Command::Restore(_) => "restore",
            Command::Setting(_) => "setting",
            Command::Limit(_) => "limit",
            Command::Rotation(_) => "rotation",
            Command::Price(_) => "price",
            Command::Adapter(_) => "adapter",
            Command::Route(_) => "route",
        }
    }
}

/// What an applied command answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// It was done.
    Done,
    /// A deployment was created.
    Deployment(DeploymentId),
    /// A key was created.
    Key(KeyId),
    /// A piece of work was handed out under this epoch.
    Epoch(u64),
    /// A value was written; its revision.
    Revision(u64),
}

/// Why a command was refused. A refusal is deterministic: the same command on the same state is always refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// Of the nodes table.
    #[error(transparent)]
    Node(#[from] node::Reject),
    /// Of the models table.
    #[error(transparent)]
    Model(#[from] model::Reject),
    /// Of the deployments table.
    #[error(transparent)]
    Deployment(#[from] deployment::Reject),
    /// Of the providers table.
    #[error(transparent)]
    Provider(#[from] provider::Reject),
    /// Of the keys table.
    #[error(transparent)]
    Key(#[from] key::Reject),
    /// Of the tokens table.
    #[error(transparent)]
    Token(#[from] token::Reject),
    /// Of the secrets table.
    #[error(transparent)]
    Secret(#[from] secret::Reject),
    /// Of the feature level.
    #[error(transparent)]
    Level(#[from] level::Reject),
    /// Of the configuration values.
    #[error(transparent)]
    Config(#[from] config::Reject),
    /// Of a restore.
    #[error(transparent)]
    Restore(#[from] restore::Reject),
    /// Of the settings table.
    #[error(transparent)]
    Setting(#[from] setting::Reject),
    /// Of leases on limits.
    #[error(transparent)]
    Limit(#[from] limit::Reject),
    /// Of keys that are replaced.
    #[error(transparent)]
    Rotation(#[from] rotation::Reject),
    /// Of what models cost.
    #[error(transparent)]
    Price(#[from] price::Reject),
    /// Of declared dialects.
    #[error(transparent)]
    Adapter(#[from] adapter::Reject),
    /// Of routes.
    #[error(transparent)]
    Route(#[from] route::Reject),
    /// The client's key stands for another request.
    #[error("this Idempotency-Key was used for another request: use a new key for a new request")]
    KeyReused,
    /// The command needs a newer program than some node runs.
    #[error(
        "this takes feature level {version}, the cluster is at {known}: upgrade every node to this program's version first"
    )]
    TooNew {
        /// The command's level.
        version: u16,
        /// The cluster's level.
        known: u16,
    },
}

/// What a refusal is about: decides the HTTP status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectClass {
    /// There is no such thing.
    NotFound,
    /// There is one already, or it changed meanwhile.
    Conflict,
    /// What was asked makes no sense.
    Invalid,
}

impl Reject {
    /// What the refusal is about.
    pub fn class(&self) -> RejectClass {
        match self {
            Reject::Node(r) => r.class(),
            Reject::Model(r) => r.class(),
            Reject::Deployment(r) => r.class(),
            Reject::Provider(r) => r.class(),
            Reject::Key(r) => r.class(),
            Reject::Token(r) => r.class(),
            Reject::Secret(r) => r.class(),
            Reject::Setting(r) => r.class(),
            Reject::Limit(r) => r.class(),
            Reject::Rotation(r) => r.class(),
            Reject::Price(r) => r.class(),
            Reject::Adapter(r) => r.class(),
            Reject::Route(r) => r.class(),
            Reject::Level(r) => r.class(),
            Reject::Config(r) => r.class(),
            Reject::Restore(r) => r.class(),
            Reject::KeyReused => RejectClass::Invalid,
            Reject::TooNew { .. } => RejectClass::Conflict,
        }
    }
}

/// The outcome of an applied command; remembered under its request id.
pub type Outcome = Result<Reply, Reject>;
