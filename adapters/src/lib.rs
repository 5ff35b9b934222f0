//! Codecs: what goes to a provider or an engine and what comes back, as data. The gateway's pipeline and the actors use
//! them. Nothing here opens a socket, waits, retries, or keeps state that outlives a call.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod anthropic;
pub mod call;
pub mod chat;
pub mod client;
pub mod dashscope;
pub mod declared;
pub mod dialect;
pub mod embed;
pub mod envelope;
pub mod exchange;
pub mod failure;
pub mod frames;
pub mod gemini;
pub mod media;
pub mod mock;
pub mod models;
mod multipart;
pub mod ollama;
pub mod openai;
pub mod operation;
pub mod profiles;
pub mod protocol;
pub mod qianfan;
mod query;
mod read;
pub mod responses;
pub mod spark;
pub mod usage;

pub use call::{Call, Error, HttpRequest, Operation, Target};
pub use client::Client;
pub use dialect::{Dialect, Granted, Refusal};
pub use failure::{Failure, FailureKind};
pub use protocol::Protocol;
pub use usage::Usage;
