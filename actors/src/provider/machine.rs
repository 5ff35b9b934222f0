//! What a provider's actor does next: opens its key, lets calls pass, notices from calls and from requests of its own
//! whether the provider is well. Times are monotonic milliseconds.

use domain::Millis;
use domain::decide::backoff::Backoff;
use domain::limits::cut_reason;
use serde::{Deserialize, Serialize};

use crate::gate::Tally;

/// Pauses before a key is asked for again.
pub const OPEN_RETRY: Backoff = Backoff { first_ms: 200, max_ms: 10_000 };
/// A key is not exchanged more often than this while its tokens are granted, however short they live.
pub const EXCHANGE_MIN_MS: Millis = 10_000;
/// How often the calls' outcomes are looked at.
pub const LOOK_MS: Millis = 1_000;
/// A provider from which nothing was heard for this long is asked.
pub const PROBE_IDLE_MS: Millis = 15_000;
/// A provider that fails is asked this often.
pub const PROBE_FAILING_MS: Millis = 5_000;

/// Whether a provider is well, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "health", rename_all = "snake_case")]
pub enum Health {
    /// Its key is not open yet: no calls pass.
    Opening {
        /// What it waits for.
        reason: String,
    },
    /// Its key cannot be opened: no calls pass until it is given anew.
    Unusable {
        /// What to do.
        reason: String,
    },
    /// Nothing was heard from it yet.
    Unknown,
    /// It answers.
    Well,
    /// It answers, but refuses the question that it was asked to see whether it is well. Calls decide: a key may be good
    /// for them alone.
    Doubtful {
        /// What it refused.
        reason: String,
    },
    /// It does not answer; calls pass, others are tried first.
    Failing {
        /// What went wrong last.
        reason: String,
    },
}

/// Why a key is not open.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenError {
    /// Nobody who could open it can be reached.
    Unavailable(String),
    /// It cannot be opened or used at all; what to do.
    Damaged(String),
}

/// What is wrong with a provider that was asked whether it is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeError {
    /// It is there, but does not take the key for this question.
    Refused(String),
    /// It cannot be reached, or fails.
    Failed(String),
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Begin.
    Begin,
    /// The key was asked for.
    Opened(Result<(), OpenError>),
    /// It is time to ask for the key again.
    OpenDue,
    /// It is time to look at what the calls told; what they told since the beginning.
    Look(Tally),
    /// The provider was asked.
    Probed(Result<(), ProbeError>),
    /// The key was exchanged for a token, which lives for so long.
    Granted(Result<Millis, OpenError>),
    /// It is time to exchange the key again.
    GrantDue,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask for the key.
    OpenKey,
    /// Ask for the key again after a pause of [`OPEN_RETRY`].
    Pause {
        /// Which attempt comes then.
        attempt: u32,
    },
    /// Exchange the key for a token.
    Exchange,
    /// Exchange it again after so long.
    ExchangeLater(Millis),
    /// Exchange it again after a pause of [`OPEN_RETRY`].
    ExchangePause {
        /// Which attempt comes then.
        attempt: u32,
    },
    /// Let calls pass.
    Open,
    /// Let no calls pass.
    Close(String),
    /// Look again after [`LOOK_MS`].
    LookLater,
    /// Ask the provider.
    Probe,
    /// It is well again whatever calls said.
    Forgive,
    /// It is not well: others are tried first.
    Avoid,
}

/// A provider's machine.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Whether there is a network to it at all.
    remote: bool,
    /// Whether its key is exchanged for tokens, which calls carry.
    exchanges: bool,
    health: Health,
    attempts: u32,
    seen: Tally,
    heard_at: Option<Millis>,
    asked_at: Option<Millis>,
    asking: bool,
}

impl Machine {
    /// A provider that has not begun; the built-in mock is not remote and always well.
    pub fn new(remote: bool, exchanges: bool) -> Self {
        let health = Health::Opening { reason: "its key is being opened".to_owned() };
        Self {
            remote,
            exchanges,
            health,
            attempts: 0,
            seen: Tally::default(),
            heard_at: None,
            asked_at: None,
            asking: false,
        }
    }

    /// Whether it is well.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Takes in what happened and tells what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Begin if !self.remote => {
                self.health = Health::Well;
                out.push(Effect::Open);
            }
            Event::Begin | Event::OpenDue => {
                if matches!(self.health, Health::Opening { .. }) {
                    out.push(Effect::OpenKey);
                }
            }
            Event::Opened(answer) => self.opened(answer, now, &mut out),
            Event::Look(tally) => self.look(tally, now, &mut out),
            Event::Probed(answer) => self.probed(answer, now, &mut out),
            Event::Granted(answer) => self.granted(answer, now, &mut out),
            Event::GrantDue => out.push(Effect::Exchange),
        }
        out
    }

    fn opened(&mut self, answer: Result<(), OpenError>, now: Millis, out: &mut Vec<Effect>) {
        if !matches!(self.health, Health::Opening { .. }) {
            return;
        }
        match answer {
            Ok(()) if self.exchanges => {
                self.attempts = 0;
                out.push(Effect::Exchange);
            }
            Ok(()) => self.begin(now, out),
            Err(OpenError::Unavailable(reason)) => {
                self.attempts = self.attempts.saturating_add(1);
                let reason = cut_reason(reason);
                out.extend([Effect::Close(reason.clone()), Effect::Pause { attempt: self.attempts }]);
                self.health = Health::Opening { reason };
            }
            Err(OpenError::Damaged(reason)) => {
                let reason = cut_reason(reason);
                out.push(Effect::Close(reason.clone()));
                self.health = Health::Unusable { reason };
            }
        }
    }

    /// Calls may pass from now on.
    fn begin(&mut self, now: Millis, out: &mut Vec<Effect>) {
        self.health = Health::Unknown;
        out.extend([Effect::Open, Effect::LookLater]);
        self.ask(now, out);
    }

    /// A token that still lives goes on being used while no new one is granted.
    fn granted(&mut self, answer: Result<Millis, OpenError>, now: Millis, out: &mut Vec<Effect>) {
        let waits = matches!(self.health, Health::Opening { .. });
        match answer {
            Ok(lives) => {
                self.attempts = 0;
                if waits {
                    self.begin(now, out);
                } else {
                    out.push(Effect::Open);
                }
                out.push(Effect::ExchangeLater((lives / 4 * 3).max(EXCHANGE_MIN_MS)));
            }
            Err(OpenError::Damaged(reason)) if waits => {
                let reason = cut_reason(reason);
                out.push(Effect::Close(reason.clone()));
                self.health = Health::Unusable { reason };
            }
            Err(OpenError::Unavailable(reason) | OpenError::Damaged(reason)) => {
                self.attempts = self.attempts.saturating_add(1);
                out.push(Effect::ExchangePause { attempt: self.attempts });
                if waits {
                    let reason = cut_reason(reason);
                    out.push(Effect::Close(reason.clone()));
                    self.health = Health::Opening { reason };
                }
            }
        }
    }

    fn look(&mut self, tally: Tally, now: Millis, out: &mut Vec<Effect>) {
        if tally.answered > self.seen.answered {
            self.heard_at = Some(now);
            self.health = Health::Well;
        } else if tally.failed > self.seen.failed {
            let reason = tally.reason.clone().unwrap_or_else(|| "a call failed".to_owned());
            self.health = Health::Failing { reason };
        }
        self.seen = tally;
        let patience = match self.health {
            Health::Failing { .. } => PROBE_FAILING_MS,
            _ => PROBE_IDLE_MS,
        };
        let last = self.heard_at.max(self.asked_at).unwrap_or(0);
        if now.saturating_sub(last) >= patience {
            self.ask(now, out);
        }
        out.push(Effect::LookLater);
    }

    fn ask(&mut self, now: Millis, out: &mut Vec<Effect>) {
        if !self.asking {
            self.asking = true;
            self.asked_at = Some(now);
            out.push(Effect::Probe);
        }
    }

    fn probed(&mut self, answer: Result<(), ProbeError>, now: Millis, out: &mut Vec<Effect>) {
        self.asking = false;
        self.health = match answer {
            Ok(()) => Health::Well,
            Err(ProbeError::Refused(reason)) => {
                // Tokens can be taken back before they die.
                if self.exchanges {
                    out.push(Effect::Exchange);
                }
                Health::Doubtful { reason: cut_reason(reason) }
            }
            Err(ProbeError::Failed(reason)) => {
                self.health = Health::Failing { reason: cut_reason(reason) };
                return out.push(Effect::Avoid);
            }
        };
        self.heard_at = Some(now);
        out.push(Effect::Forgive);
    }
}
