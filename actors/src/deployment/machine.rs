//! What a replica does next: checks its file, starts its engine, waits until it answers, watches it, starts it again with
//! growing pauses, gives up after too many attempts, and stops it politely before it stops it hard. Driven by
//! `actor.rs`; times are monotonic milliseconds.

use domain::Millis;
use domain::decide::backoff::Backoff;
use domain::deployment::Phase;
use domain::limits::cut_reason;
use serde::{Deserialize, Serialize};

use super::events::{Effect, Event, Timer};
use super::liveness::Liveness;
use super::reporting::{Answer, Reporting};
use crate::gate::Work;

/// Starts in a row without having been well before the replica is given up here.
pub const ATTEMPTS_MAX: u32 = 5;
/// An engine that was ready for this long was well: its attempts count from the beginning again.
pub const WELL_MS: Millis = 30_000;
/// Pauses between attempts.
pub const RETRY: Backoff = Backoff { first_ms: 200, max_ms: 10_000 };
/// How often an engine that loads is asked whether it is ready.
pub const READY_PROBE_MS: Millis = 100;
/// How often a ready engine is asked whether it is well.
pub const LIVE_PROBE_MS: Millis = 2_000;
/// Log lines that a failure's reason quotes at most.
pub const QUOTED_LINES_MAX: usize = 3;

/// Where the replica is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Nothing was done yet.
    New,
    /// Its model file is looked at.
    CheckingFile,
    /// Its engine is being started.
    Spawning,
    /// Its engine runs and loads.
    WaitingReady,
    /// Its engine answers.
    Ready,
    /// Its engine ended; it is started again after a pause.
    BackingOff,
    /// It finishes its calls before its engine is stopped.
    Draining,
    /// Its engine is being stopped, to be started anew or for good.
    Stopping,
    /// It cannot run here.
    Failed,
    /// It is over.
    Ended,
}

/// What an engine's end is for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Aim {
    Over,
    Anew(String),
}

/// A replica's machine.
#[derive(Debug, Clone)]
pub struct Machine {
    state: State,
    ready_timeout_ms: Millis,
    grace_ms: Millis,
    run: u32,
    /// Whether there is a process.
    alive: bool,
    /// Starts in a row without having been well.
    attempts: u32,
    ready_since: Option<Millis>,
    liveness: Liveness,
    last_answer: String,
    aim: Aim,
    why: Option<String>,
    since: Millis,
    reporting: Reporting,
}

impl Machine {
    /// A replica that has not begun. `grace_ms` is the time from asking an engine to end to ending it.
    pub fn new(ready_timeout_ms: Millis, grace_ms: Millis) -> Self {
        Self {
            state: State::New,
            ready_timeout_ms,
            grace_ms,
            run: 0,
            alive: false,
            attempts: 0,
            ready_since: None,
            liveness: Liveness::default(),
            last_answer: String::new(),
            aim: Aim::Over,
            why: None,
            since: 0,
            reporting: Reporting::default(),
        }
    }

    /// Where it is.
    pub fn state(&self) -> &State {
        &self.state
    }
    /// What went wrong last, if it is not well.
    pub fn why(&self) -> Option<&str> {
        self.why.as_deref()
    }
    /// Starts in a row without having been well.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }
    /// Whether there is a process, as far as it was told.
    pub fn alive(&self) -> bool {
        self.alive
    }
    /// Whether it waits to hear that this start of its engine succeeded. One that ended before that was told is not waited
    /// for any more.
    pub fn awaits(&self, run: u32) -> bool {
        run == self.run && !self.alive && matches!(self.state, State::Spawning | State::Stopping)
    }
    /// Since when it is where it is.
    pub fn since(&self) -> Millis {
        self.since
    }

    /// Takes in what happened and tells what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        let mut out = Vec::new();
        if self.state == State::Ended {
            return out;
        }
        match event {
            Event::Begin if self.state == State::New => {
                self.enter(State::CheckingFile, now);
                out.push(Effect::CheckFile);
            }
            Event::FileChecked(found) if self.state == State::CheckingFile => match found {
                Ok(()) => self.spawn(now, &mut out),
                Err(reason) => self.give_up(reason, now, &mut out),
            },
            Event::Spawned { run } if self.awaits(run) => self.spawned(now, &mut out),
            Event::SpawnFailed { run, reason, for_good } if run == self.run => {
                self.spawn_failed(reason, for_good, now, &mut out);
            }
            Event::Probed { run, answer, work } if run == self.run => {
                self.probed(answer, work, now, &mut out);
            }
            Event::Weighed { run, used_mib, share_mib } if run == self.run => {
                self.weighed(used_mib, share_mib, now, &mut out);
            }
            Event::Exited { run, status, tail } if run == self.run => {
                self.exited(&status, &tail, now, &mut out);
            }
            Event::Due(timer) => self.due(timer, now, &mut out),
            Event::Drained if self.state == State::Draining => self.end_engine(Aim::Over, now, &mut out),
            Event::Reported(answer) => self.reported(answer, now, &mut out),
            Event::Seen(phase) => self.reporting.seen(phase, now, &mut out),
            Event::Stop => self.stop(now, &mut out),
            _ => {}
        }
        out
    }

    fn enter(&mut self, state: State, now: Millis) {
        self.state = state;
        self.since = now;
    }

    fn spawn(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.run += 1;
        self.enter(State::Spawning, now);
        out.push(Effect::Spawn { run: self.run });
        if self.attempts == 0 {
            self.reporting.want(Phase::Starting, now, out);
        }
    }

    fn spawned(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.alive = true;
        match self.state {
            State::Spawning => {
                self.enter(State::WaitingReady, now);
                self.last_answer = "it was not asked yet".to_owned();
                out.push(Effect::Probe { run: self.run });
                out.push(Effect::After(self.ready_timeout_ms, Timer::ReadyTimeout { run: self.run }));
            }
            // It was stopped while its engine was being started.
            _ => self.terminate(out),
        }
    }

    fn spawn_failed(&mut self, reason: String, for_good: bool, now: Millis, out: &mut Vec<Effect>) {
        match self.state {
            State::Spawning if for_good => self.give_up(reason, now, out),
            State::Spawning => self.try_again(reason, now, out),
            State::Stopping => self.engine_gone(now, out),
            _ => {}
        }
    }

    fn probed(&mut self, answer: Result<(), String>, work: Work, now: Millis, out: &mut Vec<Effect>) {
        let run = self.run;
        match (&self.state, answer) {
            (State::WaitingReady, Ok(())) => {
                self.enter(State::Ready, now);
                self.ready_since = Some(now);
                self.liveness.answered(work, now);
                self.why = None;
                out.push(Effect::Open);
                out.push(Effect::After(LIVE_PROBE_MS, Timer::Probe { run }));
                self.reporting.want(Phase::Ready, now, out);
            }
            (State::WaitingReady, Err(reason)) => {
                self.last_answer = reason;
                out.push(Effect::After(READY_PROBE_MS, Timer::Probe { run }));
            }
            (State::Ready, Ok(())) => {
                self.liveness.answered(work, now);
                out.push(Effect::After(LIVE_PROBE_MS, Timer::Probe { run }));
            }
            (State::Ready, Err(reason)) => {
                if !self.liveness.missed(work, now) {
                    out.push(Effect::After(LIVE_PROBE_MS, Timer::Probe { run }));
                } else {
                    self.start_anew(format!("its engine does not answer any more: {reason}"), now, out);
                }
            }
            _ => {}
        }
    }

    fn weighed(&mut self, used_mib: u64, share_mib: u64, now: Millis, out: &mut Vec<Effect>) {
        if self.state == State::Ready && share_mib > 0 && used_mib > share_mib {
            let why = format!(
                "its engine holds {used_mib} MiB of memory, more than its share of {share_mib} MiB: \
                 give it more by resources.memoryMib, or look for what it leaks"
            );
            self.start_anew(why, now, out);
        }
    }

    fn due(&mut self, timer: Timer, now: Millis, out: &mut Vec<Effect>) {
        match timer {
            Timer::Retry { run } if run == self.run && self.state == State::BackingOff => {
                // The file may have gone since the last start.
                self.enter(State::CheckingFile, now);
                out.push(Effect::CheckFile);
            }
            Timer::Probe { run } if run == self.run => {
                if matches!(self.state, State::WaitingReady | State::Ready) {
                    self.reporting.repeat(now, out);
                    out.push(Effect::Probe { run });
                }
            }
            Timer::ReadyTimeout { run } if run == self.run && self.state == State::WaitingReady => {
                let ms = self.ready_timeout_ms;
                let why = format!("its engine was not ready after {ms} ms: {}", self.last_answer);
                self.end_engine(Aim::Anew(why), now, out);
            }
            Timer::Grace { run } if run == self.run && self.state == State::Stopping && self.alive => {
                out.push(Effect::Kill);
            }
            Timer::Report => self.reporting.due(now, out),
            _ => {}
        }
    }

    fn exited(&mut self, status: &str, tail: &[String], now: Millis, out: &mut Vec<Effect>) {
        self.alive = false;
        match self.state {
            // Its end may be told before its start: whoever waits for the one does not wait for who tells the other.
            State::Spawning | State::WaitingReady | State::Ready => {
                let why = format!("its engine ended: {status}{}", quote(tail));
                if self.state == State::Ready {
                    out.push(Effect::Close(why.clone()));
                }
                self.try_again(why, now, out);
            }
            State::Draining | State::Stopping => self.engine_gone(now, out),
            _ => {}
        }
    }

    /// The engine has ended as it was asked to.
    fn engine_gone(&mut self, now: Millis, out: &mut Vec<Effect>) {
        match std::mem::replace(&mut self.aim, Aim::Over) {
            Aim::Over => self.over(now, out),
            Aim::Anew(why) => self.try_again(why, now, out),
        }
    }

    fn try_again(&mut self, why: String, now: Millis, out: &mut Vec<Effect>) {
        if self.ready_since.take().is_some_and(|since| now.saturating_sub(since) >= WELL_MS) {
            self.attempts = 0;
        }
        self.attempts += 1;
        if self.attempts >= ATTEMPTS_MAX {
            self.give_up(format!("gave up after {} attempts: {why}", self.attempts), now, out);
            return;
        }
        self.enter(State::BackingOff, now);
        out.push(Effect::Pause { attempt: self.attempts, run: self.run });
        let reason = one_line(&why);
        self.why = Some(reason.clone());
        self.reporting.want(Phase::Restarting { attempt: self.attempts, reason }, now, out);
    }

    fn give_up(&mut self, why: String, now: Millis, out: &mut Vec<Effect>) {
        self.enter(State::Failed, now);
        let reason = one_line(&why);
        self.why = Some(reason.clone());
        out.push(Effect::Close(reason.clone()));
        self.reporting.want(Phase::Failed { reason }, now, out);
    }

    /// Ends an engine that is ready and not well, to start another.
    fn start_anew(&mut self, why: String, now: Millis, out: &mut Vec<Effect>) {
        out.push(Effect::Close(why.clone()));
        self.end_engine(Aim::Anew(why), now, out);
    }

    fn end_engine(&mut self, aim: Aim, now: Millis, out: &mut Vec<Effect>) {
        self.aim = aim;
        self.enter(State::Stopping, now);
        if self.alive {
            self.terminate(out);
        }
    }

    fn terminate(&mut self, out: &mut Vec<Effect>) {
        out.push(Effect::Terminate);
        out.push(Effect::After(self.grace_ms, Timer::Grace { run: self.run }));
    }

    fn stop(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.reporting.cease();
        match self.state {
            State::Ready => {
                out.push(Effect::Close("it is being stopped on this node".to_owned()));
                out.push(Effect::Drain);
                self.enter(State::Draining, now);
            }
            State::WaitingReady | State::Spawning => self.end_engine(Aim::Over, now, out),
            State::Stopping => self.aim = Aim::Over,
            State::Draining | State::Ended => {}
            State::New | State::CheckingFile | State::BackingOff | State::Failed => self.over(now, out),
        }
    }

    fn over(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.enter(State::Ended, now);
        out.push(Effect::End);
    }

    fn reported(&mut self, answer: Answer, now: Millis, out: &mut Vec<Effect>) {
        let stale = answer == Answer::Stale;
        self.reporting.answered(answer, now, out);
        if stale {
            self.why = Some("it was given to another node or epoch".to_owned());
            self.stop(now, out);
        }
    }
}

/// The last log lines, for a reason.
fn quote(tail: &[String]) -> String {
    let from = tail.len().saturating_sub(QUOTED_LINES_MAX);
    let lines: Vec<&str> = tail[from..].iter().map(|l| l.trim()).filter(|l| !l.is_empty()).collect();
    if lines.is_empty() {
        "; it logged nothing".to_owned()
    } else {
        format!("; it logged: {}", lines.join(" | "))
    }
}

fn one_line(text: &str) -> String {
    cut_reason(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
}
