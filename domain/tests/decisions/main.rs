//! Decisions and tables from the outside: commands in, tables and moves out.

mod adapters;
mod config;
mod effort;
mod events;
mod leases;
mod levels;
mod limits;
mod mode;
mod placement;
mod planned;
mod plans;
mod priorities;
mod quotas;
mod rebalance;
mod restores;
mod rotations;
mod routes;
mod routing;
mod rules;
mod tables;
mod voters;
mod world;
