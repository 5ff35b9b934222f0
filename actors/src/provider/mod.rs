//! Connections to one provider: its key in clear (in memory only), its health, its calls under way. The reconciler
//! supervises one for each row of the providers table and starts it anew with each change of the row. Calls go through
//! slots of its handle; it never sees their bytes.

mod actor;
mod handle;
pub mod machine;
#[cfg(test)]
mod machine_tests;

pub(crate) use actor::{Arguments, Connection};
pub use handle::{Handle, Observed};
pub use machine::Health;
