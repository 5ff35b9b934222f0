//! The door of a target (a replica's engine or a provider): whether calls may pass, how many are under way, and how they
//! went. Actors open and close it; the data plane takes slots from it, without locks and without asking an actor. Bytes
//! never pass here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use adapters::Target;
use adapters::dialect::Spoken;
use adapters::openai::COMPATIBLE;
use arc_swap::{ArcSwap, ArcSwapOption};
use domain::Millis;
use domain::decide::routing::Load;
use domain::limits::cut_reason;
use tokio::sync::Notify;

use crate::monotonic::Monotonic;
use crate::secret::Secret;

/// How long after a failure others are tried first, in milliseconds, unless a call was answered since.
pub const AVOID_MS: Millis = 5_000;
/// A new latency counts for one part in this many.
const SMOOTHING: u64 = 8;

/// Where the data plane sends a call, and in which words.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// What it speaks.
    pub dialect: Spoken,
    /// The base of its addresses, without a slash at the end: `http://127.0.0.1:40001/v1`, `https://api.example.com/v1`;
    /// empty for the built-in mock provider, which is answered without any network.
    pub base_url: String,
    /// Its key, token or password, if it needs one.
    pub secret: Option<Secret>,
    /// What else its dialect needs to know, by name.
    pub options: BTreeMap<String, String>,
}

impl Endpoint {
    /// An engine: it speaks OpenAI's dialect, as servers of open models do.
    pub fn engine(base_url: String, secret: Option<Secret>) -> Self {
        Self { dialect: Spoken::Known(&COMPATIBLE), base_url, secret, options: BTreeMap::new() }
    }

    /// As dialects see it. `model` is its own name of the model, where that differs from the client's.
    pub fn target<'a>(&'a self, model: Option<&'a str>, now_s: u64) -> Target<'a> {
        Target {
            base_url: &self.base_url,
            secret: self.secret.as_ref().map(Secret::expose),
            model,
            options: &self.options,
            now_s,
        }
    }
}

/// Why a call may not be made through this target now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It does not take calls.
    #[error("{0}")]
    Closed(String),
    /// As many calls are under way as it may have.
    #[error("{in_flight_max} calls are under way there already: try again shortly")]
    Busy {
        /// How many it may have.
        in_flight_max: usize,
    },
}

/// How a call went, as far as the target is to blame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The target answered, with success or with an error that is the caller's.
    Answered {
        /// From the request to the first byte of the answer.
        first_byte: Duration,
    },
    /// The target did not answer, broke off, or said that it cannot (5xx).
    Failed {
        /// What went wrong; never holds a body or a key.
        reason: String,
    },
    /// The caller went away: says nothing about the target.
    Cancelled,
}

/// What happened through a gate since the last look.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tally {
    /// Calls answered.
    pub answered: u64,
    /// Calls failed.
    pub failed: u64,
    /// What the last failure said.
    pub reason: Option<String>,
}

/// What a target's calls have come to since its gate was made: it moves as long as they make progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Work {
    /// Calls whose answer began.
    pub answered: u64,
    /// Parts of answers that came after their first byte, as far as the data plane tells of them.
    pub parts: u64,
}

enum Leaf {
    Open(Arc<Endpoint>),
    Closed(String),
}

/// The door of one target on this node.
pub(crate) struct Gate {
    clock: Monotonic,
    in_flight_max: usize,
    in_flight: AtomicUsize,
    leaf: ArcSwap<Leaf>,
    emptied: Notify,
    latency_us: AtomicU64,
    answered: AtomicU64,
    parts: AtomicU64,
    failed: AtomicU64,
    failed_in_a_row: AtomicU32,
    failed_at: AtomicU64,
    avoid: AtomicBool,
    last_failure: ArcSwapOption<String>,
}

impl Gate {
    /// A closed gate.
    pub(crate) fn new(clock: Monotonic, in_flight_max: usize, why_closed: &str) -> Arc<Self> {
        Arc::new(Self {
            clock,
            in_flight_max,
            in_flight: AtomicUsize::new(0),
            leaf: ArcSwap::from_pointee(Leaf::Closed(why_closed.to_owned())),
            emptied: Notify::new(),
            latency_us: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            parts: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            failed_in_a_row: AtomicU32::new(0),
            failed_at: AtomicU64::new(0),
            avoid: AtomicBool::new(false),
            last_failure: ArcSwapOption::empty(),
        })
    }

    /// Lets calls pass to this endpoint.
    pub(crate) fn open(&self, endpoint: Endpoint) {
        self.leaf.store(Arc::new(Leaf::Open(Arc::new(endpoint))));
    }

    /// Lets no more calls pass; those under way go on.
    pub(crate) fn close(&self, why: &str) {
        self.leaf.store(Arc::new(Leaf::Closed(why.to_owned())));
    }

    /// Resolves when no call is under way.
    pub(crate) async fn empty(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.in_flight() == 0 {
                return;
            }
            emptied.await;
        }
    }

    /// Takes a slot for one call.
    pub(crate) fn acquire(self: &Arc<Self>) -> Result<Slot, Refused> {
        // Counted before the leaf is looked at: who closes the gate and then finds it empty can be sure of it.
        let taken = self
            .in_flight
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| (n < self.in_flight_max).then_some(n + 1));
        if taken.is_err() {
            return Err(Refused::Busy { in_flight_max: self.in_flight_max });
        }
        match &**self.leaf.load() {
            Leaf::Open(endpoint) => Ok(Slot { gate: self.clone(), endpoint: endpoint.clone() }),
            Leaf::Closed(why) => {
                self.release();
                Err(Refused::Closed(why.clone()))
            }
        }
    }

    fn release(&self) {
        if self.in_flight.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.emptied.notify_waiters();
        }
    }

    fn record(&self, finish: Finish) {
        match finish {
            Finish::Answered { first_byte } => {
                let us = u64::try_from(first_byte.as_micros()).unwrap_or(u64::MAX).max(1);
                let old = self.latency_us.load(Ordering::Relaxed);
                let new = if old == 0 { us } else { old - old / SMOOTHING + us / SMOOTHING };
                // Two calls that end at once may lose one sample: smoothing does not mind.
                self.latency_us.store(new.max(1), Ordering::Relaxed);
                self.answered.fetch_add(1, Ordering::Relaxed);
                self.forgive();
            }
            Finish::Failed { reason } => {
                self.failed.fetch_add(1, Ordering::Relaxed);
                self.failed_in_a_row.fetch_add(1, Ordering::Relaxed);
                self.failed_at.store(self.clock.now(), Ordering::Relaxed);
                self.last_failure.store(Some(Arc::new(cut_reason(reason))));
            }
            Finish::Cancelled => {}
        }
    }

    /// A call by another way than a slot was answered: it is well again.
    pub(crate) fn forgive(&self) {
        self.failed_in_a_row.store(0, Ordering::Relaxed);
        self.avoid.store(false, Ordering::Relaxed);
    }

    /// A call by another way than a slot failed: others are tried first until one is answered.
    pub(crate) fn avoid(&self) {
        self.avoid.store(true, Ordering::Relaxed);
    }

    /// Calls under way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// What a router wants to know.
    pub(crate) fn load(&self) -> Load {
        let failing = self.failed_in_a_row.load(Ordering::Relaxed) > 0;
        let since = self.clock.now().saturating_sub(self.failed_at.load(Ordering::Relaxed));
        Load {
            in_flight: u32::try_from(self.in_flight()).unwrap_or(u32::MAX),
            latency_us: self.latency_us.load(Ordering::Relaxed),
            avoid: self.avoid.load(Ordering::Relaxed) || (failing && since < AVOID_MS),
        }
    }

    /// How far its calls have come.
    pub(crate) fn work(&self) -> Work {
        Work { answered: self.answered.load(Ordering::Relaxed), parts: self.parts.load(Ordering::Relaxed) }
    }

    /// What happened through it since it was made.
    pub(crate) fn tally(&self) -> Tally {
        Tally {
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            reason: self.last_failure.load().as_deref().cloned(),
        }
    }
}

/// The right to make one call; given back when dropped.
#[must_use = "the slot is given back when it is dropped: keep it as long as the call lasts"]
pub struct Slot {
    gate: Arc<Gate>,
    endpoint: Arc<Endpoint>,
}

impl Slot {
    /// Where to send the call.
    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
    /// Tells that another part of the answer came: an engine too busy for its probes is known by this to be at work.
    pub fn progressed(&self) {
        self.gate.parts.fetch_add(1, Ordering::Relaxed);
    }
    /// Tells how the call went, without giving the slot back: a stream tells at its first byte and keeps its slot to its
    /// end.
    pub fn report(&self, how: Finish) {
        self.gate.record(how);
    }
    /// Tells how the call went and gives the slot back.
    pub fn finish(self, how: Finish) {
        self.gate.record(how);
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.gate.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(in_flight_max: usize) -> Arc<Gate> {
        Gate::new(Monotonic::start(), in_flight_max, "it is being started")
    }

    fn endpoint() -> Endpoint {
        Endpoint::engine("http://127.0.0.1:1".to_owned(), Some(Secret::new("k3y".to_owned())))
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_gate_refuses_with_its_reason() {
        let gate = gate(1);
        assert_eq!(gate.acquire().err(), Some(Refused::Closed("it is being started".to_owned())));
        assert_eq!(gate.in_flight(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_calls_pass_than_it_may_have_and_a_dropped_slot_comes_back() {
        let gate = gate(1);
        gate.open(endpoint());
        let slot = gate.acquire().unwrap();
        assert_eq!(gate.acquire().err(), Some(Refused::Busy { in_flight_max: 1 }));
        drop(slot);
        assert!(gate.acquire().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_target_that_failed_is_avoided_until_it_answers_or_some_time_has_passed() {
        let gate = gate(4);
        gate.open(endpoint());
        let fail = || gate.acquire().unwrap().finish(Finish::Failed { reason: "broke".to_owned() });
        fail();
        assert!(gate.load().avoid);
        gate.acquire().unwrap().finish(Finish::Answered { first_byte: Duration::from_millis(2) });
        assert_eq!(gate.load(), Load { in_flight: 0, latency_us: 2_000, avoid: false });
        fail();
        tokio::time::advance(Duration::from_millis(AVOID_MS)).await;
        assert!(!gate.load().avoid);
        assert_eq!(gate.tally(), Tally { answered: 1, failed: 2, reason: Some("broke".to_owned()) });
    }

    #[tokio::test(start_paused = true)]
    async fn answers_and_their_parts_are_progress_and_failures_are_not() {
        let gate = gate(4);
        gate.open(endpoint());
        let slot = gate.acquire().unwrap();
        slot.report(Finish::Failed { reason: "broke".to_owned() });
        slot.report(Finish::Cancelled);
        assert_eq!(gate.work(), Work::default());
        slot.report(Finish::Answered { first_byte: Duration::from_millis(2) });
        slot.progressed();
        assert_eq!(gate.work(), Work { answered: 1, parts: 1 });
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_waits_for_the_last_call() {
        let gate = gate(4);
        gate.open(endpoint());
        let slot = gate.acquire().unwrap();
        gate.close("it is being stopped");
        let waiting = tokio::spawn({
            let gate = gate.clone();
            async move { gate.empty().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(slot);
        waiting.await.unwrap();
    }

    #[test]
    fn an_endpoint_does_not_show_its_key() {
        assert!(!format!("{:?}", endpoint()).contains("k3y"));
    }
}
