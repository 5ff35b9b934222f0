//! Decisions and tables from the outside: commands in, tables and moves out.

mod config;
mod leases;
mod levels;
mod placement;
mod restores;
mod routing;
mod tables;
mod voters;
mod world;
