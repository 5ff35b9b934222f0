//! The node's GPUs: which there are and how busy they are. One actor per node, supervised by the root; the API and the
//! console look at its handle. A node without GPUs is normal: then it sleeps.

mod actor;
mod handle;
pub mod machine;

pub(crate) use actor::{Arguments, Watcher};
pub use handle::Handle;
pub use machine::Observed;
