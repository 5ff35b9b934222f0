//! Admission: what the limits of the caller's key allow. A call takes from them before it is made, and settles when it is
//! over, however it ends. Keys without limits never come here.

use std::borrow::Cow;
use std::time::Duration;

use actors::limiter::{Admitted, Reason, Refusal, Reservation, Standing};
use actors::ports::Body;
use adapters::{Call, Usage};
use domain::Millis;
use domain::decide::limiter::{Answer, Need, Tokens, Used, tokens_used};
use domain::decide::routing::{self, Reason as Unserved};
use domain::key::Key;
use domain::limit::{Unit, window_text};
use domain::limits::CALL_TOKENS_MAX;
use domain::price::Rates;
use http::{HeaderValue, Response, StatusCode};

use super::no_target;
use crate::inner::Inner;
use crate::metrics::Outcome;
use crate::problem::{Problem, RETRY_SOON};

/// What a call took, and what is known of what it used.
pub(super) struct Claim {
    reservation: Reservation,
    prompt: u64,
    /// What its tokens cost, as it began.
    rates: Rates,
    /// Whether a target was asked.
    asked: bool,
    /// Parts of the answer that passed, one token each; `None` for an answer that comes whole.
    parts: Option<u64>,
    told: Option<Tokens>,
}

impl Claim {
    /// A target is asked: from here on the request counts.
    pub(super) fn asked(&mut self) {
        self.asked = true;
    }

    /// The answer comes whole.
    pub(super) fn whole(&mut self) {
        self.parts = None;
    }

    /// So many parts of the answer passed.
    pub(super) fn passed(&mut self, parts: u64) {
        self.parts = Some(parts);
    }

    /// The answer told what it used.
    pub(super) fn used(&mut self, usage: Usage) {
        let [prompt, completion] =
            [usage.prompt_tokens, usage.completion_tokens].map(|tokens| tokens.min(CALL_TOKENS_MAX));
        self.told = Some(Tokens { prompt, completion });
    }

    /// The call is over.
    pub(super) fn settle(self, outcome: Outcome) {
        if !self.asked {
            return self.reservation.cancel();
        }
        let answer = match (outcome, self.parts) {
            (Outcome::Refused | Outcome::Failed, _) => Answer::None,
            (_, Some(parts)) => Answer::Parts(parts),
            (_, None) => Answer::Whole,
        };
        // Dropped without being settled, a reservation counts whole.
        if let Some(tokens) = tokens_used(self.told, answer, self.prompt) {
            self.reservation.settle(Used::new(tokens, self.rates));
        }
    }
}

/// Admits a call of a key with limits, or tells the client why not.
pub(super) async fn admit(
    inner: &Inner,
    key: &Key,
    call: &Call,
    standings: &mut Vec<Standing>,
) -> Result<Claim, Problem> {
    let rates = rates(inner, key, &call.model)?;
    let prompt = call.prompt_estimate();
    match inner.deps.limiter.admit(key, Need::new(prompt, call.output_max, rates)).await {
        Ok(Admitted { reservation, standings: now }) => {
            *standings = now;
            inner.metrics.admitted.add(1);
            let parts = call.stream.then_some(0);
            Ok(Claim { reservation, prompt, rates, asked: false, parts, told: None })
        }
        Err(refusal) => {
            inner.metrics.refused(refusal.limit.unit, &refusal.reason);
            Err(refused(refusal, standings))
        }
    }
}

/// What the model's tokens cost. What nobody said the price of cannot be counted in money.
fn rates(inner: &Inner, key: &Key, model: &str) -> Result<Rates, Problem> {
    let view = inner.deps.view.peek();
    match routing::rates(&view, model) {
        Some(rates) => Ok(rates),
        None if key.limits.iter().all(|limit| limit.unit != Unit::Money) => Ok(Rates::default()),
        None => Err(match routing::targets(&view, model) {
            Err(reason @ Unserved::UnknownModel) => no_target(model, &reason),
            _ => unpriced(model),
        }),
    }
}

fn unpriced(model: &str) -> Problem {
    let message = format!(
        "this API key has a limit in money, and model `{model}` has no price: have one set with `llmhub price set`, or \
         ask for a model that has one"
    );
    let problem =
        Problem::new(StatusCode::FORBIDDEN, "insufficient_permissions", "model_not_priced", message);
    Problem { param: Some("model".into()), ..problem }
}

fn refused(refusal: Refusal, standings: &mut Vec<Standing>) -> Problem {
    let Refusal { limit, reason, asked, left, reset_ms } = refusal;
    let unit = limit.unit.as_str();
    let text = |amount| limit.unit.text(amount);
    let allowed = format!("{} {unit} per {}", text(limit.amount), window_text(limit.window_ms));
    let wait = Duration::from_millis(reset_ms);
    let (code, message, retry_after) = match &reason {
        Reason::Exhausted => {
            let message = format!(
                "this API key's limit of {allowed} is reached: {} left, {} asked for; the next window \
                 begins in {}",
                text(left),
                text(asked),
                duration_text(reset_ms)
            );
            ("rate_limit_exceeded", message, Some(wait))
        }
        Reason::NotGranted(why) => {
            let message = format!(
                "this API key's limit of {allowed} cannot be counted just now: what this node was granted of it is \
                 used, and the cluster grants no more ({why}); try again, or at another node"
            );
            ("rate_limit_unavailable", message, Some(RETRY_SOON))
        }
        Reason::TooLarge => {
            let message = format!(
                "the call may take {} {unit}, more than this API key's whole limit of {allowed}: allow fewer \
                 tokens with `max_tokens`, or ask less",
                text(asked)
            );
            ("rate_limit_exceeded", message, None)
        }
    };
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, unit, code, Cow::from(message));
    standings.push(Standing { limit, left, reset_ms });
    Problem { retry_after, in_vain: reason == Reason::TooLarge, ..problem }
}

/// Tells how the limits stand, in the headers that OpenAI's API has: of several limits of a unit the one that has least left.
pub(super) fn show(response: &mut Response<Body>, standings: &[Standing]) {
    for unit in Unit::ALL {
        let of_unit = standings.iter().filter(|standing| standing.limit.unit == unit);
        let Some(standing) = of_unit.min_by_key(|s| (s.left, std::cmp::Reverse(s.reset_ms))) else {
            continue;
        };
        let names = match unit {
            Unit::Requests => {
                ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"]
            }
            Unit::Tokens => {
                ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]
            }
            Unit::Money => {
                ["x-ratelimit-limit-money", "x-ratelimit-remaining-money", "x-ratelimit-reset-money"]
            }
        };
        let Standing { limit, left, reset_ms } = *standing;
        let texts = [unit.text(limit.amount), unit.text(left), duration_text(reset_ms)];
        for (name, text) in names.into_iter().zip(texts) {
            if let Ok(text) = HeaderValue::try_from(text) {
                response.headers_mut().insert(name, text);
            }
        }
    }
}

/// A duration as OpenAI's API writes it: `120ms`, `59s`, `6m0s`, `1h0m0s`.
fn duration_text(ms: Millis) -> String {
    if ms < 1_000 {
        return format!("{ms}ms");
    }
    let seconds = ms.div_ceil(1_000);
    match (seconds / 3_600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s}s"),
        (0, m, s) => format!("{m}m{s}s"),
        (h, m, s) => format!("{h}h{m}m{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_clients_know_them() {
        for (ms, text) in [
            (0, "0ms"),
            (999, "999ms"),
            (1_001, "2s"),
            (60_000, "1m0s"),
            (3_599_500, "1h0m0s"),
            (90_061_000, "25h1m1s"),
        ] {
            assert_eq!(duration_text(ms), text);
        }
    }
}
