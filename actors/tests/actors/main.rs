//! A node's tree of actors in a small world of its own: tables without Raft, engines without processes, time that waits
//! for nobody.

mod cluster;
mod engines;
mod leases;
mod providers;
mod replicas;
mod supervision;
mod world;
