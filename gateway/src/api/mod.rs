//! Handlers of everything beside the hot path, one file a subject: decode, ask one thing, encode. Decisions are `domain`'s.

pub(crate) mod actors;
pub(crate) mod adapters;
pub(crate) mod backup;
pub(crate) mod config;
pub(crate) mod deploy;
pub(crate) mod deployments;
pub(crate) mod docs;
pub(crate) mod events;
pub(crate) mod explain;
pub(crate) mod health;
pub(crate) mod inference;
pub(crate) mod keys;
pub(crate) mod metrics;
pub(crate) mod models;
pub(crate) mod nodes;
pub(crate) mod ollama;
pub(crate) mod page;
pub(crate) mod plan;
pub(crate) mod prices;
pub(crate) mod providers;
pub(crate) mod rebalance;
pub(crate) mod registry;
pub(crate) mod restore;
pub(crate) mod rotations;
pub(crate) mod routes;
pub(crate) mod settings;
pub(crate) mod status;
pub(crate) mod tokens;
pub(crate) mod view;

use axum::Json;
use serde_json::Value;

use crate::problem::Problem;

/// What most handlers give.
pub(crate) type Answer = Result<Json<Value>, Problem>;
