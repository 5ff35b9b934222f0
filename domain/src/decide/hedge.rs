//! Whether a second target is asked while the first keeps silent, and when. It helps against the slow few of many calls, and
//! costs what an answer costs that nobody reads: so only a route that says so does it, within the retry budget, once a call,
//! and only before the first token went to the client.

use crate::decide::retry_budget::Budget;
use crate::ids::Millis;
use crate::route::Hedge;

/// Answers that have to be known before the time that most of them take is believed.
pub const SAMPLES_MIN: u64 = 20;
/// Where a route names no time, a second target is asked after what so many of 100 calls take.
const PERCENT: u64 = 95;
/// And no sooner than this: what is so quick need not be asked twice.
const AFTER_MIN_MS: Millis = 20;

/// What decides about a second target.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// What the route says of it.
    pub hedge: Option<&'a Hedge>,
    /// Whether a token went to the client already.
    pub streaming: bool,
    /// Whether answering changes something beside the answer: a tool that the provider itself runs, a stored conversation.
    pub acts: bool,
    /// Whether another target is asked already, or was.
    pub hedged: bool,
    /// Targets that can still be asked.
    pub others: usize,
    /// How long the first target's first tokens take.
    pub spread: Option<&'a Spread>,
}

/// What is decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// The second target is asked so long after the first, counted from when that was.
    After(Millis),
    /// None is.
    Never(Why),
}

/// Why no second target is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// The route does not say so.
    NotAsked,
    /// The answer has begun.
    Streaming,
    /// It would do something twice.
    Acts,
    /// There is one already.
    Hedged,
    /// There is no other target.
    NoOther,
    /// It is not known yet how long answers take.
    Unknown,
    /// Too many calls are made twice already.
    Budget,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Why::NotAsked => "the route asks for no hedging",
            Why::Streaming => "the answer has begun",
            Why::Acts => "the call would do something twice",
            Why::Hedged => "a second target is asked already",
            Why::NoOther => "there is no other target",
            Why::Unknown => "it is not known yet how long first tokens take",
            Why::Budget => "the retry budget is spent",
        })
    }
}

/// When a second target is asked. To be looked at again when that time has come, by [`ask_now`].
pub fn when(facts: &Facts<'_>) -> Decision {
    let Some(hedge) = facts.hedge else { return Decision::Never(Why::NotAsked) };
    let reasons = [
        (facts.streaming, Why::Streaming),
        (facts.acts, Why::Acts),
        (facts.hedged, Why::Hedged),
        (facts.others == 0, Why::NoOther),
    ];
    if let Some((_, why)) = reasons.into_iter().find(|(is, _)| *is) {
        return Decision::Never(why);
    }
    match hedge.after_ms.or_else(|| facts.spread.and_then(|spread| spread.quantile_ms(PERCENT))) {
        Some(after) => {
            Decision::After(if hedge.after_ms.is_some() { after } else { after.max(AFTER_MIN_MS) })
        }
        None => Decision::Never(Why::Unknown),
    }
}

/// Whether the second target is asked now, when the time has come; draws from the budget if it is.
///
/// # Errors
/// Why it is not.
pub fn ask_now(facts: &Facts<'_>, budget: &mut Budget, now: Millis) -> Result<(), Why> {
    match when(facts) {
        Decision::Never(why) => Err(why),
        Decision::After(_) if budget.draw(now) => Ok(()),
        Decision::After(_) => Err(Why::Budget),
    }
}

/// Steps of each doubling of time: a quantile is right to a fifth.
const STEPS: u64 = 4;
/// Doublings of a millisecond that are told apart: up to about an hour.
const DOUBLINGS: u64 = 22;
/// After so many samples, older ones count half.
const FADE_AFTER: u64 = 512;

/// How long a target's first tokens take, as counts of lengths of time, the recent ones more than the old.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    counts: Vec<u64>,
    all: u64,
}

impl Default for Spread {
    fn default() -> Self {
        Self { counts: vec![0; (STEPS * DOUBLINGS) as usize], all: 0 }
    }
}

impl Spread {
    /// A first token came after so long.
    pub fn observe(&mut self, took_ms: Millis) {
        if self.all >= FADE_AFTER {
            self.counts.iter_mut().for_each(|count| *count /= 2);
            self.all = self.counts.iter().sum();
        }
        let place = place(took_ms).min(self.counts.len() - 1);
        self.counts[place] += 1;
        self.all += 1;
    }

    /// What so many of 100 first tokens take at most; `None` while too few are known.
    pub fn quantile_ms(&self, percent: u64) -> Option<Millis> {
        if self.all < SAMPLES_MIN {
            return None;
        }
        let wanted = (self.all * percent).div_ceil(100);
        let mut sum = 0;
        let place = self.counts.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        place.map(end_of)
    }
}

/// The count that a length of time belongs to: four for each doubling.
fn place(ms: Millis) -> usize {
    let x = ms.max(1);
    let doubling = u64::from(63 - x.leading_zeros());
    let step = (x << (63 - doubling) >> 61) & (STEPS - 1);
    (doubling * STEPS + step) as usize
}

/// The longest time that belongs to a count.
fn end_of(place: usize) -> Millis {
    let (doubling, step) = (place as u64 / STEPS, place as u64 % STEPS);
    ((STEPS + step + 1) << doubling).div_ceil(STEPS) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decide::retry_budget::Config;
    use proptest::prelude::*;

    const BY_QUANTILE: Hedge = Hedge { after_ms: None };

    fn facts<'a>(hedge: &'a Hedge, spread: &'a Spread) -> Facts<'a> {
        let hedge = Some(hedge);
        Facts { hedge, streaming: false, acts: false, hedged: false, others: 1, spread: Some(spread) }
    }

    fn spread(ms: impl IntoIterator<Item = Millis>) -> Spread {
        let mut spread = Spread::default();
        ms.into_iter().for_each(|ms| spread.observe(ms));
        spread
    }

    #[test]
    fn only_a_route_that_says_so_asks_a_second_target_and_only_where_that_does_no_harm() {
        let known = spread(vec![100; 50]);
        let told = Hedge { after_ms: Some(7) };
        let good = facts(&told, &known);
        assert_eq!(when(&good), Decision::After(7));
        for (facts, why) in [
            (Facts { hedge: None, ..good }, Why::NotAsked),
            (Facts { streaming: true, ..good }, Why::Streaming),
            (Facts { acts: true, ..good }, Why::Acts),
            (Facts { hedged: true, ..good }, Why::Hedged),
            (Facts { others: 0, ..good }, Why::NoOther),
            (Facts { hedge: Some(&BY_QUANTILE), spread: None, ..good }, Why::Unknown),
            (facts(&BY_QUANTILE, &spread(vec![100; 19])), Why::Unknown),
        ] {
            assert_eq!(when(&facts), Decision::Never(why));
        }
    }

    #[test]
    fn without_a_time_it_waits_for_what_most_answers_take() {
        let slow_few = spread((0..100).map(|n| if n < 94 { 100 } else { 5_000 }));
        let Decision::After(after) = when(&facts(&BY_QUANTILE, &slow_few)) else { panic!() };
        assert!((5_000..=6_250).contains(&after), "{after}");
        let fewer = spread((0..100).map(|n| if n < 96 { 100 } else { 5_000 }));
        let Decision::After(after) = when(&facts(&BY_QUANTILE, &fewer)) else { panic!() };
        assert!((100..=125).contains(&after), "{after}");
        assert_eq!(when(&facts(&BY_QUANTILE, &spread(vec![1; 50]))), Decision::After(AFTER_MIN_MS));
    }

    #[test]
    fn hedges_draw_from_the_retry_budget() {
        let (known, told) = (Spread::default(), Hedge { after_ms: Some(7) });
        let mut budget = Budget::new(Config { percent: 20, per_second_min: 0 });
        let good = facts(&told, &known);
        assert_eq!(ask_now(&good, &mut budget, 0), Err(Why::Budget));
        (0..5).for_each(|_| budget.called(0));
        assert_eq!(ask_now(&Facts { streaming: true, ..good }, &mut budget, 0), Err(Why::Streaming));
        assert_eq!(ask_now(&good, &mut budget, 0), Ok(()));
        assert_eq!(ask_now(&good, &mut budget, 0), Err(Why::Budget));
    }

    proptest! {
        #[test]
        fn a_quantile_is_right_to_a_quarter(
            mut seen in proptest::collection::vec(1u64..3_000_000, 20..400), percent in 1u64..=100,
        ) {
            let found = spread(seen.clone()).quantile_ms(percent).unwrap();
            seen.sort_unstable();
            let exact = seen[(seen.len() * percent as usize).div_ceil(100) - 1];
            prop_assert!(exact <= found && found <= exact + exact / 4, "{found} for {exact}");
        }

        #[test]
        fn what_is_recent_counts_more_than_what_is_old(old in 10u64..100, new in 1_000u64..10_000) {
            let mut spread = spread(vec![old; 5_000]);
            (0..1_000).for_each(|_| spread.observe(new));
            prop_assert!(spread.quantile_ms(50).unwrap() >= new);
        }
    }
}
