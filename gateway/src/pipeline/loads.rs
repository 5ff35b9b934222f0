//! What this node knows about each target: calls under way, latency, and whether it just failed. Read without locks on
//! every call; entries are made once per target and forgotten when there are too many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use domain::decide::breaker::{Pass, State};
use domain::decide::routing::{Load, Target};
use http::HeaderValue;
use tokio::time::Instant;

use super::guard::{Guard, Outcome};

/// Targets remembered at most; idle ones go when there are more.
const TARGETS_MAX: usize = 4096;
/// How long a target that failed is tried last, in milliseconds.
const AVOID_MS: u64 = 1_000;
/// A new latency counts for one part in this many.
const SMOOTHING: u64 = 8;

/// What is known about one target.
#[derive(Debug)]
pub(crate) struct Stat {
    /// Names it in `x-llmhub-target` and in metrics.
    pub label: HeaderValue,
    in_flight: AtomicU32,
    latency_us: AtomicU64,
    avoid_until_ms: AtomicU64,
    answered: AtomicU64,
    failed: AtomicU64,
    guard: Guard,
}

/// A reading of a [`Stat`] for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reading {
    pub in_flight: u32,
    pub latency_us: u64,
    pub answered: u64,
    pub failed: u64,
}

impl Reading {
    fn add(&mut self, later: Reading) {
        self.in_flight += later.in_flight;
        self.answered += later.answered;
        self.failed += later.failed;
        if later.latency_us != 0 {
            self.latency_us = later.latency_us;
        }
    }
}

impl Stat {
    fn new(target: &Target) -> Self {
        let text = match target {
            Target::Replica { id, ordinal, node, .. } => format!("{id}/{ordinal}@{node}"),
            Target::Provider(name) => name.to_string(),
        };
        Self {
            label: HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("unnamed")),
            in_flight: AtomicU32::new(0),
            latency_us: AtomicU64::new(0),
            avoid_until_ms: AtomicU64::new(0),
            answered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            guard: Guard::default(),
        }
    }

    /// Whether a call may be made; with what its outcome is told, where the breaker looks at single calls.
    ///
    /// # Errors
    /// When not: how soon it may be worth a try, in milliseconds.
    pub(crate) fn admit(&self, now_ms: u64, draw: u64) -> Result<Option<Pass>, u64> {
        self.guard.admit(now_ms, draw)
    }

    /// Its breaker.
    pub(crate) fn breaker(&self, now_ms: u64) -> State {
        self.guard.state(now_ms)
    }

    /// What became of a call, as far as it tells of the target.
    pub(crate) fn learn(&self, pass: Option<Pass>, outcome: Outcome, now_ms: u64, draw: u64) {
        self.guard.learn(pass, outcome, now_ms, draw);
    }

    /// What routing looks at.
    pub(crate) fn load(&self, now_ms: u64) -> Load {
        Load {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            latency_us: self.latency_us.load(Ordering::Relaxed),
            avoid: now_ms < self.avoid_until_ms.load(Ordering::Relaxed),
        }
    }

    /// It answered, so long after it was asked.
    pub(crate) fn answered(&self, first_byte: Duration) {
        let us = u64::try_from(first_byte.as_micros()).unwrap_or(u64::MAX).max(1);
        let old = self.latency_us.load(Ordering::Relaxed);
        let new = if old == 0 { us } else { old - old / SMOOTHING + us / SMOOTHING };
        // Two answers at once may lose one sample: smoothing does not mind.
        self.latency_us.store(new.max(1), Ordering::Relaxed);
        self.answered.fetch_add(1, Ordering::Relaxed);
    }

    /// It failed: others are tried first for a while.
    pub(crate) fn failed(&self, now_ms: u64) {
        self.avoid_until_ms.fetch_max(now_ms + AVOID_MS, Ordering::Relaxed);
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// Others are tried first for so long, though it did not fail.
    pub(crate) fn avoid(&self, now_ms: u64, wait: Duration) {
        let wait_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        self.avoid_until_ms.fetch_max(now_ms.saturating_add(wait_ms), Ordering::Relaxed);
    }

    fn reading(&self) -> Reading {
        Reading {
            in_flight: self.in_flight.load(Ordering::Relaxed),
            latency_us: self.latency_us.load(Ordering::Relaxed),
            answered: self.answered.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// A call under way; counted until it is dropped.
pub(crate) struct UnderWay(Arc<Stat>);

impl UnderWay {
    pub(crate) fn new(stat: Arc<Stat>) -> Self {
        stat.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(stat)
    }
    pub(crate) fn stat(&self) -> &Stat {
        &self.0
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// All targets that were called.
pub(crate) struct Loads {
    targets: ArcSwap<BTreeMap<Target, Arc<Stat>>>,
    start: Instant,
}

impl Default for Loads {
    fn default() -> Self {
        Self { targets: ArcSwap::default(), start: Instant::now() }
    }
}

impl Loads {
    /// Milliseconds since this was made.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// What is known about a target.
    pub(crate) fn of(&self, target: &Target) -> Arc<Stat> {
        if let Some(stat) = self.targets.load().get(target) {
            return stat.clone();
        }
        let new = Arc::new(Stat::new(target));
        self.targets.rcu(|old| {
            let mut map = BTreeMap::clone(old);
            if map.len() >= TARGETS_MAX {
                map.retain(|_, stat| stat.in_flight.load(Ordering::Relaxed) > 0);
            }
            map.entry(target.clone()).or_insert_with(|| new.clone());
            map
        });
        self.targets.load().get(target).cloned().unwrap_or(new)
    }

    /// All of them, by label. A replica that came back to its node under a new epoch goes on with the numbers it had;
    /// its latency is that of its last epoch.
    pub(crate) fn all(&self) -> BTreeMap<String, Reading> {
        let mut all: BTreeMap<String, Reading> = BTreeMap::new();
        // In the order of targets, in which later epochs come later.
        for stat in self.targets.load().values() {
            let label = stat.label.to_str().unwrap_or_default().to_owned();
            all.entry(label).or_default().add(stat.reading());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::ProviderName;

    #[tokio::test(start_paused = true)]
    async fn a_target_that_failed_is_avoided_for_a_second() {
        let loads = Loads::default();
        let stat = loads.of(&Target::Provider(ProviderName::from("p")));
        stat.failed(loads.now());
        assert!(stat.load(loads.now()).avoid);
        tokio::time::advance(Duration::from_millis(AVOID_MS)).await;
        assert!(!stat.load(loads.now()).avoid);
    }

    #[tokio::test(start_paused = true)]
    async fn a_replica_that_comes_back_under_a_new_epoch_is_one_line_of_the_metrics() {
        let loads = Loads::default();
        let replica = |epoch| {
            let (id, node) = (domain::DeploymentId(1), domain::NodeId(2));
            loads.of(&Target::Replica { id, ordinal: 0, epoch, node })
        };
        let old = UnderWay::new(replica(7));
        old.stat().answered(Duration::from_micros(100));
        replica(9).answered(Duration::from_micros(300));
        replica(9).failed(0);
        replica(10);
        let all = loads.all();
        let expected = Reading { in_flight: 1, latency_us: 300, answered: 2, failed: 1 };
        assert_eq!(all.into_values().collect::<Vec<_>>(), [expected]);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_counted_while_they_last_and_idle_targets_are_forgotten() {
        let loads = Loads::default();
        let target = |n: usize| Target::Provider(ProviderName(format!("p{n}")));
        let busy = UnderWay::new(loads.of(&target(0)));
        assert_eq!(loads.of(&target(0)).load(0).in_flight, 1);
        for n in 1..=TARGETS_MAX {
            loads.of(&target(n));
        }
        assert!(loads.all().len() < TARGETS_MAX);
        assert_eq!(loads.of(&target(0)).load(0).in_flight, 1);
        drop(busy);
        assert_eq!(loads.of(&target(0)).load(0).in_flight, 0);
    }
}
