//! What a limit is: so much of a unit in each window, and how people write it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{CounterId, LEVEL};
use crate::ids::{KeyId, Millis};
use crate::limits::{
    LIMIT_AMOUNT_MAX, LIMIT_MONEY_MAX, LIMIT_WINDOW_MAX_MS, LIMIT_WINDOW_MIN_MS, LIMITS_PER_KEY_MAX,
};
use crate::money::Money;
use crate::price;

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unit {
    /// Calls.
    Requests,
    /// Tokens read and written.
    Tokens,
    /// What they cost, in millionths of a unit of money.
    Money,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 3] = [Unit::Requests, Unit::Tokens, Unit::Money];

    /// Its name in messages, fields and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
            Unit::Money => "money",
        }
    }

    /// Its name in a limit that is written as text.
    pub fn short(self) -> &'static str {
        match self {
            Unit::Requests => "req",
            Unit::Tokens => "tok",
            Unit::Money => "money",
        }
    }

    pub(super) fn number(self) -> u8 {
        match self {
            Unit::Requests => 1,
            Unit::Tokens => 2,
            Unit::Money => 3,
        }
    }

    pub(super) fn level(self) -> u16 {
        match self {
            Unit::Requests | Unit::Tokens => LEVEL,
            Unit::Money => price::LEVEL,
        }
    }

    /// An amount of it, for people.
    pub fn text(self, amount: u64) -> String {
        match self {
            Unit::Requests | Unit::Tokens => amount.to_string(),
            Unit::Money => Money(amount).to_string(),
        }
    }

    /// The largest amount of a limit, and how an amount should be.
    fn bounds(self) -> (u64, &'static str) {
        match self {
            Unit::Requests | Unit::Tokens => (LIMIT_AMOUNT_MAX, AMOUNT_HINT),
            Unit::Money => (LIMIT_MONEY_MAX, MONEY_HINT),
        }
    }
}

/// So much in each window. Windows are aligned to the Unix epoch on the cluster's clock: a day is one of UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Limit {
    /// What is counted.
    pub unit: Unit,
    /// How much of it a window has.
    pub amount: u64,
    /// How long a window is.
    pub window_ms: Millis,
}

/// As people write it: `100req/1m`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.unit.text(self.amount);
        write!(f, "{amount}{}/{}", self.unit.short(), window_text(self.window_ms))
    }
}

/// How a limit's text should look.
const SHAPE: &str =
    "write an amount, `req`, `tok` or `money`, and a window, such as 100req/1m, 50000tok/1h or 2.5money/1d";

impl FromStr for Limit {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let bad =
            |why: &str| format!("`{}` is not a limit: {why}", text.chars().take(40).collect::<String>());
        let (count, window) = text.split_once('/').ok_or_else(|| bad(SHAPE))?;
        let digits = count.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(count.len());
        let (amount, unit) = count.split_at(digits);
        let unit = match unit {
            "req" | "requests" => Unit::Requests,
            "tok" | "tokens" => Unit::Tokens,
            "money" => Unit::Money,
            _ => return Err(bad(SHAPE)),
        };
        let amount = match unit {
            Unit::Requests | Unit::Tokens => amount.parse().map_err(|_| bad(SHAPE))?,
            Unit::Money => amount.parse::<Money>().map_err(bad)?.0,
        };
        let window_ms = parse_window(window).map_err(|why| bad(&why))?;
        let limit = Limit { unit, amount, window_ms };
        limit.check().map_err(|(_, hint)| bad(hint))?;
        Ok(limit)
    }
}

const AMOUNT_HINT: &str = "use an amount from 1 to 1000000000000";
const MONEY_HINT: &str = "use an amount from 0.000001 to 1000000000";
const WINDOW_HINT: &str = "use a window from 1s to 31d";

impl Limit {
    /// Whether it can be.
    ///
    /// # Errors
    /// The field and what to do.
    pub fn check(&self) -> Result<(), (&'static str, &'static str)> {
        let (most, hint) = self.unit.bounds();
        if self.amount == 0 || self.amount > most {
            return Err(("amount", hint));
        }
        if !(LIMIT_WINDOW_MIN_MS..=LIMIT_WINDOW_MAX_MS).contains(&self.window_ms) {
            return Err(("window", WINDOW_HINT));
        }
        Ok(())
    }

    /// Where it is counted for a key.
    pub fn counter(&self, key: KeyId) -> CounterId {
        CounterId { key, unit: self.unit, window_ms: self.window_ms }
    }
}

/// A window as people write it.
pub fn window_text(ms: Millis) -> String {
    const UNITS: [(Millis, &str); 4] = [(86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s")];
    let found = UNITS.iter().find(|(unit, _)| ms >= *unit && ms.is_multiple_of(*unit));
    found.map_or_else(|| format!("{ms}ms"), |(unit, name)| format!("{}{name}", ms / unit))
}

/// Reads a window such as `30s`, `1m`, `1h` or `1d`.
///
/// # Errors
/// How it should look.
pub fn parse_window(text: &str) -> Result<Millis, String> {
    let hint = || {
        format!("`{}` is not a window: write 30s, 1m, 1h or 1d", text.chars().take(20).collect::<String>())
    };
    let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or_else(hint)?;
    let (count, unit) = text.split_at(digits);
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(hint()),
    };
    let count: Millis = count.parse().map_err(|_| hint())?;
    match count.checked_mul(unit) {
        Some(ms) if (LIMIT_WINDOW_MIN_MS..=LIMIT_WINDOW_MAX_MS).contains(&ms) => Ok(ms),
        _ => Err(WINDOW_HINT.to_owned()),
    }
}

/// Whether a key can have these limits.
///
/// # Errors
/// The field and what to do.
pub fn check(limits: &[Limit]) -> Result<(), (&'static str, String)> {
    if limits.len() > LIMITS_PER_KEY_MAX {
        return Err(("the number of limits", format!("a key has {LIMITS_PER_KEY_MAX} at most")));
    }
    for (n, limit) in limits.iter().enumerate() {
        limit.check().map_err(|(field, hint)| (field, hint.to_owned()))?;
        if limits[..n].iter().any(|l| (l.unit, l.window_ms) == (limit.unit, limit.window_ms)) {
            let (unit, window) = (limit.unit.as_str(), window_text(limit.window_ms));
            return Err((
                "the list of limits",
                format!("{unit} per {window} are limited twice: give one of them"),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_reads_back_what_it_prints() {
        for text in ["100req/1m", "50000tok/1h", "1req/1s", "7tok/31d", "5req/90s", "2.5money/1d"] {
            assert_eq!(text.parse::<Limit>().unwrap().to_string(), text);
        }
        assert_eq!("100requests/60s".parse::<Limit>().unwrap().to_string(), "100req/1m");
    }

    #[test]
    fn what_is_wrong_with_a_limit_is_told_with_what_to_do() {
        for (text, told) in [
            ("100", SHAPE),
            ("100/1m", SHAPE),
            ("req/1m", SHAPE),
            ("100calls/1m", SHAPE),
            ("99999999999999999999req/1m", SHAPE),
            ("0req/1m", AMOUNT_HINT),
            ("1.5req/1m", SHAPE),
            ("0money/1m", MONEY_HINT),
            ("1000000001money/1m", MONEY_HINT),
            ("99999999999999999999money/1m", MONEY_HINT),
            ("0.0000001money/1m", "six decimals at most"),
            ("100req/32d", WINDOW_HINT),
            ("100req/0s", WINDOW_HINT),
            ("100req/1w", "write 30s, 1m, 1h or 1d"),
            ("100req/m", "write 30s, 1m, 1h or 1d"),
        ] {
            let said = text.parse::<Limit>().unwrap_err();
            assert!(said.contains(told) && said.contains(text), "{said}");
        }
        let twice = ["1req/1m", "2req/60s"].map(|text| text.parse().unwrap());
        assert!(check(&twice).unwrap_err().1.contains("requests per 1m are limited twice"));
    }
}
