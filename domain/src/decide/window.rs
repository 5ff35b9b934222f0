//! What happened lately, counted in buckets of time, so that what is old is forgotten without a list of it. Breakers count
//! outcomes in it, the retry budget calls and what it gave out.

use crate::ids::Millis;

/// Buckets of a window: it forgets in steps of a tenth of itself.
const BUCKETS: usize = 10;

/// Counts of two kinds of things over a sliding time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    step_ms: Millis,
    buckets: [Bucket; BUCKETS],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Bucket {
    /// Which step of time it counts; 0 of one that was never used.
    step: u64,
    counts: [u64; 2],
}

impl Window {
    /// An empty one over so many milliseconds.
    pub fn new(span_ms: Millis) -> Self {
        Self { step_ms: (span_ms / BUCKETS as u64).max(1), buckets: [Bucket::default(); BUCKETS] }
    }

    /// Counts one of the first kind.
    pub fn first(&mut self, now: Millis) {
        self.add(0, now);
    }

    /// Counts one of the second kind.
    pub fn second(&mut self, now: Millis) {
        self.add(1, now);
    }

    /// How many of each kind there were.
    pub fn sums(&self, now: Millis) -> [u64; 2] {
        let newest = self.step(now);
        let recent = |bucket: &&Bucket| bucket.step + BUCKETS as u64 > newest;
        self.buckets.iter().filter(recent).fold([0; 2], |sum, bucket| {
            [sum[0].saturating_add(bucket.counts[0]), sum[1].saturating_add(bucket.counts[1])]
        })
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets = [Bucket::default(); BUCKETS];
    }

    fn add(&mut self, kind: usize, now: Millis) {
        let step = self.step(now);
        let bucket = &mut self.buckets[(step % BUCKETS as u64) as usize];
        if bucket.step < step {
            *bucket = Bucket { step, counts: [0; 2] };
        }
        // A clock that went back counts into what is there: nothing is lost by it.
        bucket.counts[kind] = bucket.counts[kind].saturating_add(1);
    }

    /// From 1 on, so that unused buckets are older than any.
    fn step(&self, now: Millis) -> u64 {
        now / self.step_ms + BUCKETS as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_lies_within_nine_tenths_of_the_span_counts_and_what_is_older_than_it_does_not(
            mut times in proptest::collection::vec((0u64..5_000, any::<bool>()), 0..80), later in 0u64..2_000,
        ) {
            times.sort_unstable();
            let mut window = Window::new(1_000);
            for (at, first) in &times {
                if *first { window.first(*at) } else { window.second(*at) }
            }
            let now = times.last().map_or(0, |(at, _)| *at) + later;
            let within = |span: u64| {
                let count = |kind| times.iter().filter(|(at, k)| at + span > now && *k == kind).count() as u64;
                [count(true), count(false)]
            };
            let (sums, least, most) = (window.sums(now), within(900), within(1_000));
            for kind in 0..2 {
                prop_assert!(least[kind] <= sums[kind] && sums[kind] <= most[kind]);
            }
            window.clear();
            prop_assert_eq!(window.sums(now), [0, 0]);
        }
    }
}
