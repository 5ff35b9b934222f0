//! Decisions and tables from the outside: commands in, tables and moves out.

mod leases;
mod placement;
mod routing;
mod tables;
mod voters;
mod world;
