//! A node's place in the cluster: renews its lease with the leader and knows when it ends; on the leader, keeps Raft's
//! membership in line with the nodes table, one step at a time. Supervised by the root. Who should vote is the domain's
//! decision; who lost a lease is the scheduler's.

mod actor;
mod handle;
pub mod machine;
#[cfg(test)]
mod machine_tests;
pub mod raft;
#[cfg(test)]
mod raft_tests;

pub(crate) use actor::{Arguments, Membership};
pub use handle::{Handle, Observed};

use domain::Incarnation;
use serde::{Deserialize, Serialize};

/// Asks the leader to renew the sender's lease. Who the sender is, its certificate says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renew {
    /// The sender's present life.
    pub incarnation: Incarnation,
}

/// The leader's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Renewed {
    /// The term it leads in.
    pub term: u64,
}
