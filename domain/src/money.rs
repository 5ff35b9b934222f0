//! Amounts of money, in millionths of one unit of the cluster's currency: which that is, is for operators to say. Whole
//! numbers, so that every node counts the same.

use std::fmt;
use std::str::FromStr;

/// Millionths of a unit of money.
pub const MICROS: u64 = 1_000_000;

/// How an amount should look.
const SHAPE: &str = "write an amount such as 12 or 0.25, with six decimals at most";

/// An amount of money, in millionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Money(pub u64);

impl Money {
    /// The amount that a number of JSON says.
    ///
    /// # Errors
    /// How it should look.
    pub fn from_number(number: f64) -> Result<Self, &'static str> {
        // As people would write it, so that 0.15 is exactly that.
        number.to_string().parse()
    }

    /// As a number for JSON: exact up to eight billion.
    pub fn to_number(self) -> f64 {
        self.0 as f64 / MICROS as f64
    }
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.0 / MICROS, self.0 % MICROS);
        match rest {
            0 => write!(f, "{whole}"),
            _ => write!(f, "{whole}.{}", format!("{rest:06}").trim_end_matches('0')),
        }
    }
}

impl FromStr for Money {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, &'static str> {
        let (whole, rest) = text.split_once('.').unwrap_or((text, "0"));
        let digits = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_digit());
        if !digits(whole) || !digits(rest) || rest.len() > 6 {
            return Err(SHAPE);
        }
        // More than there can be is more than any bound allows, and that is what is told.
        let whole = whole.parse::<u64>().unwrap_or(u64::MAX).saturating_mul(MICROS);
        let rest = format!("{rest:0<6}").parse::<u64>().map_err(|_| SHAPE)?;
        Ok(Money(whole.saturating_add(rest)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_amount_reads_back_what_it_prints() {
        for (text, micros) in [("0", 0), ("12", 12_000_000), ("0.25", 250_000), ("3.000001", 3_000_001)] {
            assert_eq!(text.parse(), Ok(Money(micros)));
            assert_eq!(Money(micros).to_string(), text);
            assert_eq!(Money::from_number(Money(micros).to_number()), Ok(Money(micros)));
        }
        assert_eq!("1.50".parse(), Ok(Money(1_500_000)));
        assert_eq!(Money::from_number(0.15), Ok(Money(150_000)));
        assert_eq!(Money::from_number(1e9), Ok(Money(1_000_000_000 * MICROS)));
        assert_eq!(Money::from_number(1e300), Ok(Money(u64::MAX)));
    }

    #[test]
    fn what_is_not_an_amount_is_told_how_it_should_look() {
        for text in ["", "-1", "1.", ".5", "1.0000001", "1e3", "1,5", "NaN"] {
            assert_eq!(text.parse::<Money>(), Err(SHAPE), "{text}");
        }
        for number in [-0.5, f64::NAN, f64::INFINITY, 1e-7] {
            assert_eq!(Money::from_number(number), Err(SHAPE), "{number}");
        }
    }
}
