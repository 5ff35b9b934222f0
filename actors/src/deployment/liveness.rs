//! Whether a ready engine that does not answer its probes is busy or hangs. Probes miss when an engine has its hands full,
//! so a miss counts only where its calls stand still too; and an engine that trickles bytes for ever but neither answers a
//! probe nor any call is not well either. Part of the replica's machine; it decides and does nothing.

use domain::Millis;

use crate::gate::Work;

/// Probes missed in a row, without any progress of a call between them, after which an engine hangs.
pub const MISSES_MAX: u32 = 3;
/// How long parts of answers alone may excuse missed probes, in milliseconds. After this an engine that answered no probe
/// and no new call hangs. Longer than the longest answer that is usual, since a restart cuts it.
pub const SILENT_MS_MAX: Millis = 10 * 60 * 1000;

#[derive(Debug, Clone, Default)]
pub(super) struct Liveness {
    misses: u32,
    /// What its calls had come to when it was asked last.
    seen: Work,
    /// When it last answered a probe or a call.
    spoke: Millis,
}

impl Liveness {
    /// It answered a probe.
    pub(super) fn answered(&mut self, work: Work, now: Millis) {
        *self = Self { misses: 0, seen: work, spoke: now };
    }

    /// It missed a probe; the answer is whether it hangs.
    pub(super) fn missed(&mut self, work: Work, now: Millis) -> bool {
        let seen = std::mem::replace(&mut self.seen, work);
        if work.answered != seen.answered {
            self.spoke = now;
        }
        self.misses = if work == seen { self.misses + 1 } else { 0 };
        self.misses >= MISSES_MAX || now.saturating_sub(self.spoke) >= SILENT_MS_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two seconds and a timeout between probes.
    const PROBE_MS: Millis = 3_500;

    fn ready() -> (Liveness, Millis) {
        let mut liveness = Liveness::default();
        liveness.answered(Work { answered: 7, parts: 100 }, 1_000);
        (liveness, 1_000)
    }

    #[test]
    fn an_engine_whose_calls_stand_still_hangs_after_a_few_misses() {
        let (mut liveness, now) = ready();
        let still = Work { answered: 7, parts: 100 };
        let told: Vec<bool> = (0..MISSES_MAX).map(|_| liveness.missed(still, now)).collect();
        assert_eq!(told, [false, false, true]);
    }

    #[test]
    fn an_engine_that_hangs_after_its_last_bytes_is_told_one_probe_later() {
        let (mut liveness, now) = ready();
        let last = Work { answered: 7, parts: 104 };
        let told: Vec<bool> = (0..=MISSES_MAX).map(|_| liveness.missed(last, now)).collect();
        assert_eq!(told, [false, false, false, true]);
    }

    #[test]
    fn a_busy_engine_that_answers_calls_is_left_alone() {
        let (mut liveness, mut now) = ready();
        for n in 0..10_000 {
            now += PROBE_MS;
            assert!(!liveness.missed(Work { answered: 8 + n, parts: 100 }, now));
        }
    }

    #[test]
    fn bytes_excuse_misses_for_a_bounded_time() {
        let (mut liveness, start) = ready();
        let mut now = start;
        let mut work = Work { answered: 7, parts: 100 };
        loop {
            now += PROBE_MS;
            work.parts += 1;
            if liveness.missed(work, now) {
                break;
            }
        }
        assert!((SILENT_MS_MAX..SILENT_MS_MAX + PROBE_MS).contains(&(now - start)), "{now}");
    }

    #[test]
    fn an_answered_probe_forgives_everything() {
        let (mut liveness, now) = ready();
        for _ in 0..10 {
            for _ in 1..MISSES_MAX {
                assert!(!liveness.missed(Work { answered: 7, parts: 100 }, now));
            }
            liveness.answered(Work { answered: 7, parts: 100 }, now);
        }
    }
}
