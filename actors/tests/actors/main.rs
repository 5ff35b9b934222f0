//! A node's tree of actors in a small world of its own: tables without Raft, engines without processes, time that waits
//! for nobody.

#![allow(clippy::unwrap_used, clippy::expect_used)] // the world is made for tests: it stops on what it did not expect

mod cluster;
mod determinism;
mod engines;
mod leases;
mod limits;
mod providers;
mod replicas;
mod supervision;
mod world;
