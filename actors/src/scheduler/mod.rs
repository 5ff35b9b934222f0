//! Decides, on the leader only, who lost a lease and where replicas run; the decisions themselves are the domain's.
//! Supervised by the root; one per node, idle unless its node leads. It acts through commands alone: what moves, moves
//! because the tables say so.

mod actor;
mod handle;
pub mod machine;
#[cfg(test)]
mod machine_tests;

pub(crate) use actor::{Arguments, Scheduler};
pub use handle::{Handle, NotLeading, Observed};
#[cfg(test)]
pub(crate) use machine_tests::a_node;
