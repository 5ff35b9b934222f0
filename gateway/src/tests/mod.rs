//! The gateway through its own door, over fake ports: every answer a client can get, and what becomes of calls whose
//! targets fail.

mod adapters;
mod backups;
mod bed;
mod changes;
mod config;
mod degraded;
mod documents;
mod fakes;
mod limits;
mod operators;
mod pages;
mod recovery;
mod refusals;
mod routes;
mod routing;
mod scheduling;
mod serving;
mod streams;
