//! Codecs: what goes to a provider or an engine and what comes back, as data. The gateway's pipeline and the actors use
//! them. Nothing here opens a socket, waits, retries, or keeps state that outlives a call.

#![cfg_attr(not(test), deny(clippy::disallowed_methods, clippy::disallowed_types))]

pub mod call;
pub mod failure;
pub mod mock;
pub mod openai;

pub use call::{Call, Error, HttpRequest, Operation, Target};
pub use failure::{Failure, FailureKind};
pub use openai::Usage;
