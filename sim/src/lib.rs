//! The deterministic simulator: whole nodes in a world of simulated time, network, disks and processes, with clients, faults
//! and checks. What is simulated is what ships: the same HTTP, gRPC, gossip, Raft and actors. Scenarios, clients and the
//! checks on what clients saw are shared with `chaos`, which runs them on real processes. One process runs one seed.

pub mod child;
pub mod choice;
mod dice;
mod driver;
pub mod gossip;
pub mod history;
pub mod invariants;
pub mod minimise;
pub mod outcome;
pub mod recipe;
pub mod runner;
pub mod scenario;
pub mod story;
pub mod summary;
pub mod swarm;
pub mod trace;
pub mod what_if;
pub mod workload;
mod world;

pub use dice::Dice;
pub use driver::{Report, run};
