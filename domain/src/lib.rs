//! The cluster's data and its decisions: ids, specs, replicated tables with their commands, the [`View`] every decision
//! reads, and the decisions themselves. Everybody uses it; it must never do IO, read a clock, draw a random number,
//! log, or depend on the order of a hash map. What enters as time or chance is an argument.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod command;
pub mod decide;
pub mod export;
pub mod ids;
pub mod limits;
pub mod money;
pub mod state;
pub mod table;
pub mod tables;
pub mod view;

pub use command::{Command, Envelope, Outcome, Reject, Reply};
pub use export::Export;
pub use ids::{
    DeploymentId, Epoch, EventId, Incarnation, KeyId, Millis, ModelId, NodeId, ProviderName, RequestId,
    TokenId,
};
pub use money::Money;
pub use state::State;
pub use table::{Change, Changes, Table};
pub use tables::{
    adapter, config, deployment, event, key, level, limit, model, node, price, provider, restore, rotation,
    route, secret, setting, token,
};
pub use view::{Health, Liveness, View};
