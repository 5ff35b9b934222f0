//! What this crate promises, shown over a network in memory that can be held, broken and made to lose datagrams.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod dispatch;
mod door;
mod gossip;
mod http_client;
mod raft;
mod relay;
mod world;
