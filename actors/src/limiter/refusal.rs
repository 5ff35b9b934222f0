//! Why a call is not admitted, as clients are told.

use domain::Millis;
use domain::limit::Limit;

/// Why a limit does not let a call through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The window's amount is used, or given to other nodes.
    Exhausted,
    /// The cluster cannot grant more just now, and what this node had is used.
    NotGranted(String),
    /// The call alone may take more than a whole window has.
    TooLarge,
}

/// A call that is not admitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The limit that does not let it through.
    pub limit: Limit,
    /// Why.
    pub reason: Reason,
    /// What the call would take of it.
    pub asked: u64,
    /// What is left of it, as far as this node knows.
    pub left: u64,
    /// When its next window begins, from now in milliseconds.
    pub reset_ms: Millis,
}
