//! The record of one inference call: kept while it lasts, counted once when it is over, however it ends.

use std::sync::Arc;
use std::time::Duration;

use adapters::{Operation, Usage};
use http::StatusCode;
use tokio::time::Instant;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::admit::Claim;
use crate::inner::Inner;
use crate::metrics::Outcome;

/// A call under way. Dropped without a word, its client went away.
pub(crate) struct Ticket {
    inner: Arc<Inner>,
    operation: Operation,
    started: Instant,
    first_byte: bool,
    outcome: Outcome,
    /// What it took from its key's limits.
    claim: Option<Claim>,
    /// A draining node waits for it.
    _open: TaskTrackerToken,
}

impl Ticket {
    pub(crate) fn new(inner: &Arc<Inner>, operation: Operation) -> Self {
        inner.metrics.in_flight.add(1);
        Self {
            operation,
            started: Instant::now(),
            first_byte: false,
            outcome: Outcome::Cancelled,
            claim: None,
            _open: inner.open.token(),
            inner: inner.clone(),
        }
    }

    /// The first byte of the answer is there.
    pub(crate) fn first_byte(&mut self) {
        if !std::mem::replace(&mut self.first_byte, true) {
            self.inner.metrics.first_byte[self.operation as usize].record(self.elapsed());
        }
    }

    /// It took this from its key's limits.
    pub(super) fn admitted(&mut self, claim: Claim) {
        self.claim = Some(claim);
    }

    /// What it took from its key's limits, if those are limited.
    pub(super) fn claim(&mut self) -> Option<&mut Claim> {
        self.claim.as_mut()
    }

    /// The answer told what it used.
    pub(crate) fn used(&mut self, usage: Option<Usage>) {
        if let Some(usage) = usage {
            if let Some(claim) = &mut self.claim {
                claim.used(usage);
            }
            self.inner.metrics.prompt_tokens.add(usage.prompt_tokens);
            self.inner.metrics.completion_tokens.add(usage.completion_tokens);
        }
    }

    /// It is over with this outcome.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.outcome = outcome;
    }

    /// It was answered whole with this status.
    pub(crate) fn answered(mut self, status: StatusCode) {
        self.end(match status.as_u16() {
            200..=399 => Outcome::Ok,
            400..=499 => Outcome::Refused,
            _ => Outcome::Failed,
        });
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(claim) = self.claim.take() {
            claim.settle(self.outcome);
        }
        let took = self.elapsed();
        self.inner.metrics.in_flight.add(-1);
        self.inner.metrics.finished(self.operation, self.outcome, took);
    }
}
