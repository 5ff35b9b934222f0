//! What an answer that is no success means for the call: whether another target may be tried, whether the target is to
//! blame, and how long to wait. Dialects make one; the pipeline and the breaker act on it.

use std::time::Duration;

/// What kind of failure it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureKind {
    /// The request itself is refused; every target would refuse it.
    BadRequest,
    /// The target does not accept the cluster's key.
    Authentication,
    /// The target does not know the model or the path.
    NotFound,
    /// Too many calls just now.
    RateLimited,
    /// The account has nothing left to spend.
    QuotaExceeded,
    /// The target is overloaded, loading or shutting down.
    Unavailable,
    /// The target, or what it depends on, took too long.
    Timeout,
    /// The target failed.
    Server,
}

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub kind: FailureKind,
    /// Whether another target may do better.
    pub retryable: bool,
    /// Whether it tells against the target's health.
    pub counts_for_breaker: bool,
    /// How long the target asks to be left alone.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// A failure of this kind, judged as such kinds usually are.
    pub fn of(kind: FailureKind, retry_after: Option<Duration>) -> Self {
        let retryable = !matches!(kind, FailureKind::BadRequest | FailureKind::Timeout);
        let counts_for_breaker =
            matches!(kind, FailureKind::Unavailable | FailureKind::Timeout | FailureKind::Server);
        Self { kind, retryable, counts_for_breaker, retry_after }
    }
}

impl FailureKind {
    /// What metrics and logs call it.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureKind::BadRequest => "bad_request",
            FailureKind::Authentication => "authentication",
            FailureKind::NotFound => "not_found",
            FailureKind::RateLimited => "rate_limited",
            FailureKind::QuotaExceeded => "quota_exceeded",
            FailureKind::Unavailable => "unavailable",
            FailureKind::Timeout => "timeout",
            FailureKind::Server => "server",
        }
    }
}
