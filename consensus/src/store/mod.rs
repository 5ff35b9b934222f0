//! openraft's storage, written once over [`crate::Disk`]: the log store, the state machine over [`domain::State`], and
//! snapshots that are streamed from the tables and staged beside them. Used by [`crate::Consensus`]; it never decides
//! anything, and what it cannot read it reports instead of guessing.

mod keys;
mod log;
mod machine;
mod recover;
mod snapshot;
mod stage;
mod tail;

pub(crate) use keys::check_format;
pub(crate) use log::LogStore;
pub(crate) use machine::Machine;
pub use recover::{Recovered, recover};
pub(crate) use snapshot::SnapshotData;
pub(crate) use stage::Stage;
