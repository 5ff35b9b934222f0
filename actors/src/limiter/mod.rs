//! Limits of API keys on this node: calls take from the node's leases before they are made and settle after. The handle
//! admits without asking anybody while a lease covers the call; the actor asks the cluster for more, for all keys in one
//! command, and gives back what is not needed. What is granted is decided by the tables' `apply`, what is asked for by
//! [`domain::decide::limiter`]. Supervised by the root; never writes to the log for a single call while a lease is there.

mod account;
mod actor;
mod handle;
mod refusal;

pub use account::Reservation;
pub(crate) use actor::{Arguments, Limiter};
pub use handle::{Admitted, Handle, Leased, Round, Standing};
pub use refusal::{Reason, Refusal};
