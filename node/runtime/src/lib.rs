//! A whole node, put together from its ports: start order, wiring, and a graceful stop. `node` and `sim` start the very
//! same thing; only their [`Env`] differs. No RocksDB, NVML, TLS or argument parsing here.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod authority;
pub mod config;
mod contacts;
mod custody;
pub mod env;
mod error;
mod escrow;
mod follow;
mod gossip_keys;
mod handle;
mod held;
mod identity;
mod join;
mod keeper;
mod ledger;
pub mod mock_engine;
mod publish;
mod recover;
mod register;
mod reset;
pub mod seal;
mod serve;
mod settle;
mod start;
pub mod token;
mod vault;

pub use config::Config;
pub use consensus::Recovered;
pub use env::{Env, Files};
pub use error::Error;
pub use handle::NodeHandle;
pub use held::Held;
pub use recover::recover;
pub use reset::request as request_admin_reset;

/// A node.
pub struct Node;

impl Node {
    /// Starts a node: with the identity its files hold, or as the first of a new cluster when there is none and nothing to
    /// join, or by joining. Resolves when it serves.
    pub async fn start(config: Config, env: Env) -> Result<NodeHandle, Error> {
        Box::pin(start::start(config, env)).await
    }
}
