//! Supervised actors: what runs on a node and keeps running. Each folder is one actor: `handle.rs` is all that others
//! see, `machine.rs` decides and does nothing else, `actor.rs` joins the two to the ports. The runtime starts the
//! [`Tree`]; the gateway finds providers and replicas in its [`Directory`]. Nothing here opens a socket, reads a clock of
//! its own, or lets a token pass through a mailbox.
#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

mod aside;
pub mod ask;
pub mod config;
pub mod deployment;
pub mod dialects;
pub mod directory;
pub mod engine;
pub mod gate;
pub mod gpu;
pub mod limiter;
pub mod membership;
pub mod monotonic;
pub mod ports;
mod probe;
pub mod provider;
pub mod reconciler;
pub mod root;
pub mod scheduler;
pub mod secret;
pub mod service;
pub mod supervision;
pub mod tree;

pub use config::{Config, Ports, Settings};
pub use directory::Directory;
pub use gate::{Endpoint, Finish, Refused, Slot};
pub use secret::Secret;
pub use service::Service;
pub use tree::{Error, Observed, Tree};
