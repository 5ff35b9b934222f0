//! What a call takes of each limit: before it is made, as far as that can be told, and after.

use super::Tokens;
use crate::limit::{Limit, Unit};
use crate::limits::OUTPUT_TOKENS_ASSUMED;
use crate::price::Rates;

/// What a call may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Estimate {
    /// A call that may take more than a limit's whole window is not admitted.
    sure: u64,
    /// What is reserved, but no more than a whole window.
    likely: u64,
}

/// What a call may take of limits, as far as it can be told before it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Need {
    tokens: Estimate,
    money: Estimate,
}

impl Need {
    /// Of a call whose question has about so many tokens, and whose answer may have `output_max`, where the client says so.
    pub fn new(prompt: u64, output_max: Option<u64>, rates: Rates) -> Self {
        let with = |completion| Tokens { prompt, completion };
        let (sure, likely) =
            (with(output_max.unwrap_or(0)), with(output_max.unwrap_or(OUTPUT_TOKENS_ASSUMED)));
        let estimate = |of: &dyn Fn(Tokens) -> u64| Estimate { sure: of(sure), likely: of(likely) };
        Self { tokens: estimate(&Tokens::all), money: estimate(&|tokens| rates.cost(tokens)) }
    }

    fn of(&self, unit: Unit) -> Estimate {
        match unit {
            Unit::Requests => Estimate { sure: 1, likely: 1 },
            Unit::Tokens => self.tokens,
            Unit::Money => self.money,
        }
    }

    /// What it takes of a limit, to be held until it is known what it used.
    pub fn reserve(&self, limit: &Limit) -> u64 {
        self.of(limit.unit).likely.min(limit.amount)
    }

    /// What it may take of a limit, if that alone is more than a whole window has.
    pub fn too_large(&self, limit: &Limit) -> Option<u64> {
        Some(self.of(limit.unit).sure).filter(|sure| *sure > limit.amount)
    }
}

/// What a call used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Used {
    /// Tokens read and written.
    pub tokens: u64,
    /// What they cost, in millionths of a unit of money.
    pub money: u64,
}

impl Used {
    /// What so many tokens are at these rates.
    pub fn new(tokens: Tokens, rates: Rates) -> Self {
        Self { tokens: tokens.all(), money: rates.cost(tokens) }
    }

    /// Of a unit.
    pub fn of(&self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => 1,
            Unit::Tokens => self.tokens,
            Unit::Money => self.money,
        }
    }
}
