//! `bench`: what a request through LLMHub costs, beside the same request sent directly and through nginx.
//!
//! The binary in `main.rs` is a thin command line over this library; the tests use the library too.
//!
//! | module | what it is |
//! |---|---|
//! | [`upstream`] | a mock provider: fixed answers, paced event streams |
//! | [`load`] | the load generator: closed loop, fixed rate, many streams |
//! | [`stats`], [`cpu`] | percentiles; processor time and memory of process trees |
//! | [`child`], [`nginx`], [`llmhub`] | programs that a run starts, and stops again |
//! | [`suite`] | the order in which everything is measured |
//! | [`metadata`], [`scale`] | durable writes and linearizable reads beside etcd; a cluster with large tables |
//! | [`report`], [`conditions`], [`failover`] | the tables, and what they were measured on |
//!
//! It imports no crate of LLMHub: the program is driven over its command line and HTTP, like any other user would.
//! It never asserts on time: it prints figures next to the bars and leaves the judgement to the reader.
#![allow(clippy::disallowed_methods, clippy::disallowed_types)] // a benchmark reads the real clock

pub mod child;
pub mod conditions;
pub mod control;
pub mod cpu;
pub mod failover;
pub mod llmhub;
pub mod load;
pub mod metadata;
pub mod nginx;
pub mod plan;
pub mod report;
pub mod results;
pub mod scale;
pub mod stats;
pub mod suite;
pub mod upstream;
