//! A replica: one engine process that serves a deployment's model on this node under one epoch. The reconciler
//! supervises it and starts one for each replica the tables give to this node; the gateway takes slots from its handle.
//! It never decides where a replica runs, and never speaks for an epoch that is not its own.

mod actor;
pub mod events;
mod handle;
mod keeper;
pub mod liveness;
mod log_ring;
pub mod machine;
#[cfg(test)]
mod machine_tests;
pub mod reporting;

pub(crate) use actor::{Arguments, Replica};
pub use handle::{Handle, Observed};
pub use log_ring::{LINE_LEN_MAX, LINES_MAX};
pub use machine::State;

use domain::{DeploymentId, Epoch};
use serde::{Deserialize, Serialize};

/// Which replica, and under which hand-out: a new epoch or generation is a new actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Of which deployment.
    pub id: DeploymentId,
    /// Which replica.
    pub ordinal: u32,
    /// Under which epoch it was given to this node.
    pub epoch: Epoch,
    /// The restart it belongs to.
    pub generation: Epoch,
}

impl Identity {
    /// Names it in logs and file names: `dep-…/0`.
    pub fn label(&self) -> String {
        format!("{}/{}", self.id, self.ordinal)
    }
}
