//! What fails is not started again without end: an engine that dies at once is given up after some attempts, and an actor
//! that keeps failing is tried only now and then.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use actors::supervision::FAILURES_MAX;

/// How many starts of one replica's engine a node may try within [`WHILE`]: its attempts, and one of another epoch.
const STARTS_MAX: usize = 6;
/// Shorter than any pause after giving up.
const WHILE: Duration = Duration::from_secs(10);

/// Remembers what was started when.
#[derive(Debug, Default)]
pub struct Restarts {
    engines: BTreeMap<(usize, u64, String), VecDeque<Duration>>,
    actors: BTreeMap<(usize, u64, String), VecDeque<(Duration, u32)>>,
}

impl Restarts {
    /// An engine was started in this life of a host's node; tells when that was one start too many.
    pub fn engine(&mut self, host: usize, life: u64, label: &str, at: Duration) -> Option<String> {
        let starts = self.engines.entry((host, life, label.to_owned())).or_default();
        starts.push_back(at);
        starts.retain(|start| *start + WHILE > at);
        (starts.len() > STARTS_MAX)
            .then(|| format!("host {host} started the engine of {label} {} times in {WHILE:?}", starts.len()))
    }

    /// An actor was started again so often by now in this life; tells when that is too often in a while.
    pub fn actor(
        &mut self,
        host: usize,
        life: u64,
        name: &str,
        restarts: u32,
        now: Duration,
    ) -> Option<String> {
        if restarts == 0 {
            return None;
        }
        let counts = self.actors.entry((host, life, name.to_owned())).or_default();
        if counts.back().is_none_or(|(_, last)| *last != restarts) {
            counts.push_back((now, restarts));
        }
        while counts.len() > 1 && counts[0].0 + WHILE < now {
            counts.pop_front();
        }
        let grown = restarts - counts[0].1;
        (grown as usize > FAILURES_MAX)
            .then(|| format!("host {host} started actor {name} again {grown} times in {WHILE:?}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::s;

    #[test]
    fn an_engine_that_is_started_again_and_again_is_told() {
        let mut restarts = Restarts::default();
        let mut start = |life, at| restarts.engine(0, life, "dep-1/0", s(at));
        assert!((0..6).all(|n| start(1, n).is_none()));
        assert!(start(2, 6).is_none(), "another life begins anew");
        assert!(start(1, 6).unwrap().contains("7 times"));
        assert!(start(1, 40).is_none());
    }

    #[test]
    fn an_actor_that_is_started_now_and_then_is_well() {
        let mut restarts = Restarts::default();
        assert!((0..20).all(|n| restarts.actor(0, 1, "gpu", n, s(u64::from(n) * 11)).is_none()));
        assert!((20..30).any(|n| restarts.actor(0, 1, "gpu", n, s(230)).is_some()));
    }
}
