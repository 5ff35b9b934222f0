//! The breaker of a target: whether calls to it are worth a try. It opens when too many fail, lets a few through after a
//! while and closes when those succeed. Nodes tell each other (in [`told`]) of what they saw themselves, so that not each has
//! to find out by failing. Nothing here reads a clock: times are of the node's monotonic one.

pub mod told;

use crate::decide::backoff::Backoff;
use crate::decide::window::Window;
use crate::ids::Millis;
use told::{Doubt, Spared};

/// When a breaker opens and closes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The time over which calls are counted.
    pub window_ms: Millis,
    /// It opens when more than this share of the window's calls failed, in percent…
    pub failed_percent: u64,
    /// …of at least so many.
    pub calls_min: u64,
    /// It opens after so many failures one after the other, however few calls there are.
    pub in_a_row: u32,
    /// How long it is open, by how often it opened lately.
    pub open: Backoff,
    /// Calls that are let through at once to try, after it was open.
    pub probes_max: u32,
    /// So many of them have to succeed for it to close.
    pub successes: u32,
    /// A probe that nothing was heard of for this long counts no more as under way.
    pub probe_ms: Millis,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window_ms: 10_000,
            failed_percent: 50,
            calls_min: 10,
            in_a_row: 5,
            open: Backoff { first_ms: 2_000, max_ms: 60_000 },
            probes_max: 2,
            successes: 2,
            probe_ms: 30_000,
        }
    }
}

/// The right to make a call, which its outcome is told with: what was begun in another period says nothing of this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pass(u64);

/// What happens to a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A call is about to be made.
    Asked,
    /// It was answered: the target is well.
    Answered(Pass),
    /// It failed, and the target is to blame.
    Failed(Pass),
    /// It ended in a way that says nothing about the target.
    GivenUp(Pass),
}

/// What a breaker makes of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing that matters to others.
    None,
    /// The call may be made.
    Admitted(Pass),
    /// It may not.
    Refused {
        /// Until when others should be asked; 0 when the breaker only waits for calls that try the target.
        left_ms: Millis,
    },
    /// The breaker opened, for so long.
    Opened {
        /// How long.
        for_ms: Millis,
        /// Why.
        cause: Cause,
    },
    /// It closed: the target is well again.
    Closed,
}

/// Why a breaker opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// So many calls failed one after the other.
    InARow(u32),
    /// So many calls of so many failed.
    Share {
        /// Those that failed.
        failed: u64,
        /// All.
        of: u64,
    },
    /// A call that tried the target failed.
    Probe,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Cause::InARow(count) => write!(f, "{count} calls failed in a row"),
            Cause::Share { failed, of } => write!(f, "{failed} of {of} calls failed"),
            Cause::Probe => write!(f, "it failed again when it was tried"),
        }
    }
}

/// What a breaker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Calls pass.
    #[default]
    Closed,
    /// None does.
    Open {
        /// For how much longer.
        left_ms: Millis,
    },
    /// Some may try.
    HalfOpen {
        /// How many more at once.
        free: u32,
    },
}

impl State {
    /// Whether a call would be let through.
    pub fn admits(self) -> bool {
        !matches!(self, State::Open { .. } | State::HalfOpen { free: 0 })
    }
}

/// What this node's own calls made of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    Closed,
    Open { since: Millis, until: Millis },
    HalfOpen { under_way: u32, succeeded: u32, asked: Millis },
}

/// A target's breaker on one node.
#[derive(Debug, Clone)]
pub struct Breaker {
    config: Config,
    phase: Phase,
    /// Counts changes of the phase: passes are of one.
    period: u64,
    /// Calls that succeeded, and that failed.
    window: Window,
    in_a_row: u32,
    /// How often it opened without having been closed for long.
    trips: u32,
    closed_at: Millis,
    answered_at: Option<Millis>,
    /// What another node found out.
    spared: Option<Spared>,
    /// Whose word was wrong lately.
    doubt: Option<Doubt>,
    /// Counts what this node told of its own.
    number: u64,
}

impl Breaker {
    /// A closed one.
    pub fn new(config: Config) -> Self {
        Self {
            config,
            phase: Phase::Closed,
            period: 0,
            window: Window::new(config.window_ms),
            in_a_row: 0,
            trips: 0,
            closed_at: 0,
            answered_at: None,
            spared: None,
            doubt: None,
            number: 0,
        }
    }

    /// What it is now.
    pub fn state(&self, now: Millis) -> State {
        let own = if let Phase::Open { until, .. } = self.phase { until } else { 0 };
        let until = self.spared.as_ref().map_or(own, |spared| own.max(spared.until));
        match self.phase {
            _ if now < until => State::Open { left_ms: until - now },
            Phase::Closed if self.spared.is_none() => State::Closed,
            Phase::HalfOpen { under_way, asked, .. } if now < asked.saturating_add(self.config.probe_ms) => {
                State::HalfOpen { free: self.config.probes_max.saturating_sub(under_way) }
            }
            _ => State::HalfOpen { free: self.config.probes_max },
        }
    }

    /// Whether nothing is known here that a new one would not know.
    pub fn is_idle(&self, now: Millis) -> bool {
        let rested = now >= self.closed_at.saturating_add(self.config.open.max_ms);
        self.state(now) == State::Closed && self.window.sums(now) == [0, 0] && (rested || self.trips == 0)
    }

    /// Takes in what happened.
    pub fn step(&mut self, event: Event, now: Millis, draw: u64) -> Effect {
        self.settle(now);
        match event {
            Event::Asked => self.asked(now),
            Event::Answered(pass) => self.answered(pass, now),
            Event::Failed(pass) => self.failed(pass, now, draw),
            Event::GivenUp(pass) => {
                if let (Phase::HalfOpen { under_way, .. }, true) = (&mut self.phase, pass.0 == self.period) {
                    *under_way = under_way.saturating_sub(1);
                }
                Effect::None
            }
        }
    }

    /// Lets pass what time alone changes.
    fn settle(&mut self, now: Millis) {
        let over = matches!(self.phase, Phase::Open { until, .. } if until <= now);
        let lapsed = self.spared.as_ref().is_some_and(|spared| spared.until <= now);
        if lapsed {
            self.spared = None;
        }
        if over || (lapsed && self.phase == Phase::Closed) {
            self.turn(Phase::HalfOpen { under_way: 0, succeeded: 0, asked: now });
        }
    }

    fn turn(&mut self, phase: Phase) {
        (self.phase, self.period) = (phase, self.period + 1);
        self.window.clear();
        self.in_a_row = 0;
    }

    fn asked(&mut self, now: Millis) -> Effect {
        let state = self.state(now);
        if !state.admits() {
            let left_ms = if let State::Open { left_ms } = state { left_ms } else { 0 };
            return Effect::Refused { left_ms };
        }
        if let (Phase::HalfOpen { under_way, asked, .. }, State::HalfOpen { free }) = (&mut self.phase, state)
        {
            // Those that nothing was heard of are no longer counted.
            *under_way = self.config.probes_max.saturating_sub(free) + 1;
            *asked = now;
        }
        Effect::Admitted(Pass(self.period))
    }

    fn answered(&mut self, pass: Pass, now: Millis) -> Effect {
        self.answered_at = Some(now);
        let contradicted = self.spared.take();
        if let Some(spared) = &contradicted {
            self.doubt = Some(Doubt::of(spared, now));
        }
        let current = pass.0 == self.period;
        match &mut self.phase {
            Phase::Closed => {
                self.in_a_row = 0;
                if current {
                    self.window.first(now);
                }
                if contradicted.is_some() { Effect::Closed } else { Effect::None }
            }
            // It was asked before what opened the breaker: no news.
            Phase::Open { .. } => Effect::None,
            Phase::HalfOpen { under_way, succeeded, .. } => {
                if !current {
                    return Effect::None;
                }
                *under_way = under_way.saturating_sub(1);
                *succeeded += 1;
                if *succeeded < self.config.successes {
                    return Effect::None;
                }
                self.turn(Phase::Closed);
                (self.closed_at, self.number) = (now, self.number + 1);
                Effect::Closed
            }
        }
    }

    fn failed(&mut self, pass: Pass, now: Millis, draw: u64) -> Effect {
        if pass.0 != self.period {
            return Effect::None;
        }
        let cause = match self.phase {
            Phase::Open { .. } => return Effect::None,
            Phase::HalfOpen { .. } => Cause::Probe,
            Phase::Closed => {
                self.in_a_row += 1;
                self.window.second(now);
                let [well, failed] = self.window.sums(now);
                let of = well.saturating_add(failed);
                let share = failed.saturating_mul(100) > of.saturating_mul(self.config.failed_percent);
                if self.in_a_row >= self.config.in_a_row {
                    Cause::InARow(self.in_a_row)
                } else if of >= self.config.calls_min && share {
                    Cause::Share { failed, of }
                } else {
                    return Effect::None;
                }
            }
        };
        // One that had been well for long starts with the shortest wait again.
        if self.phase == Phase::Closed && now >= self.closed_at.saturating_add(self.config.open.max_ms) {
            self.trips = 0;
        }
        self.trips = self.trips.saturating_add(1);
        let for_ms = self.config.open.wait(self.trips, draw);
        self.turn(Phase::Open { since: now, until: now.saturating_add(for_ms) });
        self.number += 1;
        Effect::Opened { for_ms, cause }
    }
}

#[cfg(test)]
mod tests;
