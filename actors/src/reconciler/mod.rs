//! Makes what runs on this node what the tables say: a provider actor for each provider, a replica actor for each replica
//! given to this node. Supervised by the root; supervises those actors. It never decides where anything runs.

mod actor;
mod handle;
pub mod machine;
#[cfg(test)]
mod machine_tests;

pub(crate) use actor::{Arguments, Reconciler};
pub use handle::{Handle, Observed};
