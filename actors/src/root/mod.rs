//! The root of a node's tree of actors: starts the fixed ones, starts them again when they fail, and shows one that keeps
//! failing as failed with its reason. Only [`crate::tree`] speaks to it.

mod actor;
mod handle;
pub mod machine;

pub(crate) use actor::{Arguments, Root};
pub use handle::{Handle, Observed};
pub use machine::Part;
