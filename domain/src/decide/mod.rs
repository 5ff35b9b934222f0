//! Decisions: pure functions of a view, a question and, where chance is wanted, a draw. The same code runs in
//! production, in the simulator and in unit tests. Each returns its reason.

pub mod backoff;
pub mod breaker;
pub mod ewma;
pub mod hedge;
pub mod lease;
pub mod limiter;
pub mod mode;
pub mod pace;
pub mod placement;
pub mod queue;
pub mod retry_budget;
pub mod rotation;
pub mod routing;
pub mod voters;
pub mod window;
