//! The node's HTTP interface: OpenAI's for clients, `/api` for operators. One [`Gateway`] a node; the runtime hands it
//! accepted streams and calls that other nodes relay. Handlers decode, ask one thing and encode; where a call goes is
//! `domain`'s decision, what a target is belongs to `actors`. Nothing here opens a socket or reads a clock of its own.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod api;
mod auth;
mod changes;
mod config;
mod deps;
mod extract;
mod inner;
mod metrics;
mod patient;
mod pipeline;
mod problem;
mod request_id;
mod routes;
mod server;
mod time_text;

pub use config::{Config, ConfigError};
pub use deps::{Contacts, Deps, Doors, Minted, Pass, TokenMint};
pub use pipeline::scripted;
pub use server::Gateway;

#[cfg(test)]
mod tests;
