//! Prices: what a model's tokens cost those who call it, whichever target answers. Limits in money are counted by them.

use serde::{Deserialize, Serialize};

use super::Context;
use super::event::{self, Kind, Subject};
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::decide::limiter::Tokens;
use crate::ids::{Millis, check_name};
use crate::limits::{PRICE_MAX, PRICES_MAX};
use crate::money::Money;
use crate::table::Row;

/// The feature level from which models have prices, and keys limits in money.
pub const LEVEL: u16 = 5;

/// What a million tokens cost, in millionths of a unit of money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rates {
    /// Of those read.
    pub input: u64,
    /// Of those written.
    pub output: u64,
}

impl Rates {
    /// What so many tokens cost, in millionths of a unit of money, rounded up.
    pub fn cost(self, tokens: Tokens) -> u64 {
        let part = |count: u64, rate: u64| u128::from(count) * u128::from(rate);
        let cost = part(tokens.prompt, self.input) + part(tokens.completion, self.output);
        u64::try_from(cost.div_ceil(1_000_000)).unwrap_or(u64::MAX)
    }
}

/// A model's price.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Price {
    /// The model, by the name clients ask for.
    pub model: String,
    /// What its tokens cost.
    pub rates: Rates,
    /// When it was set.
    pub set_at: Millis,
}

impl Row for Price {
    const TABLE: u8 = 18;
    type Key = String;
}

/// Changes of the prices table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Sets a model's price: it holds for calls that begin from then on.
    Set {
        /// The model, by the name clients ask for.
        model: String,
        /// What its tokens cost.
        rates: Rates,
    },
    /// Takes a model's price away.
    Remove(String),
}

/// Why a price's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// There is no price to take away.
    #[error("model `{0}` has no price: list them with GET /api/prices")]
    Unknown(String),
    /// The name cannot be a model's.
    #[error("`{model}` cannot be a model's name: {hint}")]
    BadModel {
        /// The name.
        model: String,
        /// How it should look.
        hint: String,
    },
    /// It costs too much.
    #[error("the price of `{0}` is wrong: a million tokens cost {max} at most", max = Money(PRICE_MAX))]
    TooHigh(String),
    /// There are too many.
    #[error("there are {0} prices already, as many as a cluster takes: remove some first")]
    TooMany(usize),
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::Unknown(_) => RejectClass::NotFound,
            Reject::BadModel { .. } | Reject::TooHigh(_) => RejectClass::Invalid,
            Reject::TooMany(_) => RejectClass::Conflict,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Set { model, rates } => {
            let row = Price { model: model.clone(), rates: *rates, set_at: ctx.now };
            check(state, &row)?;
            state.prices.put(ctx.out, model.clone(), row);
            event::record(state, ctx, Kind::PriceChanged, Subject::default(), |_| {
                let [input, output] = [rates.input, rates.output].map(Money);
                format!("a million tokens of {model} cost {input} read and {output} written")
            });
        }
        Command::Remove(model) => {
            if !state.prices.remove(ctx.out, model) {
                return Err(Reject::Unknown(model.clone()).into());
            }
            event::record(state, ctx, Kind::PriceChanged, Subject::default(), |_| {
                format!("{model} has no price any more: keys with a limit in money cannot call it")
            });
        }
    }
    Ok(Reply::Done)
}

fn check(state: &State, row: &Price) -> Result<(), Reject> {
    let Price { model, rates, .. } = row;
    check_name(model).map_err(|hint| Reject::BadModel { model: model.clone(), hint: hint.to_owned() })?;
    if rates.input.max(rates.output) > PRICE_MAX {
        return Err(Reject::TooHigh(model.clone()));
    }
    if !state.prices.contains(model) && state.prices.len() >= PRICES_MAX {
        return Err(Reject::TooMany(PRICES_MAX));
    }
    Ok(())
}

/// Takes a price back in from a backup.
pub(super) fn restore(
    state: &mut State,
    (key, row): (String, Price),
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    check(state, &row).map_err(|e| e.to_string())?;
    match state.prices.get(&key) {
        Some(old) if **old == row => Ok(()),
        Some(_) => Err("it was changed here meanwhile".to_owned()),
        None if key != row.model => Err("it lies under another model's name".to_owned()),
        None => {
            state.prices.put(ctx.out, key, row);
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_cost_what_a_million_of_them_do_in_proportion_rounded_up() {
        let rates = Rates { input: 150_000, output: 600_000 };
        let cost = |prompt, completion| rates.cost(Tokens { prompt, completion });
        assert_eq!(cost(1_000_000, 1_000_000), 750_000);
        assert_eq!(cost(10, 0), 2, "1.5 millionths");
        assert_eq!(cost(0, 0), 0);
        let dear = Rates { input: PRICE_MAX, output: PRICE_MAX };
        assert_eq!(dear.cost(Tokens { prompt: u64::MAX, completion: u64::MAX }), u64::MAX);
        assert_eq!(Rates::default().cost(Tokens { prompt: 9, completion: 9 }), 0);
    }
}
