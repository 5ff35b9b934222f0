//! Keeps the tables told of a replica's phase: one report under way at a time, always the newest phase, again when the
//! tables show another. Part of the replica's machine; it decides and does nothing.

use domain::Millis;
use domain::deployment::Phase;

use super::events::{Effect, Timer};

/// Pause before a report is tried again.
pub const RETRY_MS: Millis = 500;

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It is in the tables.
    Taken,
    /// The epoch is over: the replica is another's.
    Stale,
    /// There was no leader, or the outcome is not known: it is to be tried again.
    Again,
}

#[derive(Debug, Clone, Default)]
pub(super) struct Reporting {
    wanted: Option<Phase>,
    /// What the tables have, as far as is known.
    told: Option<Phase>,
    under_way: Option<Phase>,
    sent_at: Millis,
    /// Whether a time was asked for.
    timer: bool,
    ceased: bool,
}

impl Reporting {
    /// The phase is this from now on.
    pub(super) fn want(&mut self, phase: Phase, now: Millis, out: &mut Vec<Effect>) {
        self.wanted = Some(phase);
        self.send(now, out);
    }

    /// The tables show this phase: reports got lost when the node was registered anew in between.
    pub(super) fn seen(&mut self, phase: Phase, now: Millis, out: &mut Vec<Effect>) {
        self.told = Some(phase);
        self.repeat(now, out);
    }

    /// Sends what is still to be told, but not more often than each [`RETRY_MS`].
    pub(super) fn repeat(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.settled() || self.timer {
            return;
        }
        let waited = now.saturating_sub(self.sent_at);
        if waited >= RETRY_MS {
            self.send(now, out);
        } else {
            self.timer = true;
            out.push(Effect::After(RETRY_MS - waited, Timer::Report));
        }
    }

    /// The time that [`Reporting::repeat`] asked for is over.
    pub(super) fn due(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.timer = false;
        self.repeat(now, out);
    }

    pub(super) fn answered(&mut self, answer: Answer, now: Millis, out: &mut Vec<Effect>) {
        let Some(phase) = self.under_way.take() else { return };
        match answer {
            Answer::Taken => {
                self.told = Some(phase);
                self.send(now, out);
            }
            Answer::Stale => self.cease(),
            Answer::Again => self.repeat(now, out),
        }
    }

    /// Nothing is told any more.
    pub(super) fn cease(&mut self) {
        self.ceased = true;
    }

    fn settled(&self) -> bool {
        self.ceased || self.under_way.is_some() || self.wanted.is_none() || self.told == self.wanted
    }

    fn send(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if self.settled() {
            return;
        }
        if let Some(phase) = &self.wanted {
            self.under_way = Some(phase.clone());
            self.sent_at = now;
            out.push(Effect::Report(phase.clone()));
        }
    }
}
