//! Breakers that open, close and tell each other, by example and by chance.

use super::told::{Statement, Told};
use super::*;
use crate::ids::{Incarnation, NodeId};
use proptest::prelude::*;

const LIFE: Incarnation = Incarnation(1);

fn closed() -> Breaker {
    Breaker::new(Config::default())
}

fn ask(breaker: &mut Breaker, now: Millis) -> Option<Pass> {
    match breaker.step(Event::Asked, now, 0) {
        Effect::Admitted(pass) => Some(pass),
        _ => None,
    }
}

fn fail(breaker: &mut Breaker, now: Millis) -> Effect {
    let pass = ask(breaker, now).unwrap();
    breaker.step(Event::Failed(pass), now, 0)
}

fn answer(breaker: &mut Breaker, now: Millis) -> Effect {
    let pass = ask(breaker, now).unwrap();
    breaker.step(Event::Answered(pass), now, 0)
}

/// Open since `now`, by what it saw itself.
fn opened(now: Millis) -> Breaker {
    let mut breaker = closed();
    let effects: Vec<Effect> = (0..5).map(|_| fail(&mut breaker, now)).collect();
    assert_eq!(effects[4], Effect::Opened { for_ms: 1_000, cause: Cause::InARow(5) });
    breaker
}

fn left(breaker: &Breaker, now: Millis) -> Millis {
    if let State::Open { left_ms } = breaker.state(now) { left_ms } else { 0 }
}

#[test]
fn it_opens_after_failures_in_a_row_and_refuses_until_its_time_is_over() {
    let mut breaker = opened(100);
    assert_eq!(breaker.state(600), State::Open { left_ms: 500 });
    assert_eq!(breaker.step(Event::Asked, 600, 0), Effect::Refused { left_ms: 500 });
    assert_eq!(breaker.state(1_100), State::HalfOpen { free: 2 });
}

#[test]
fn it_opens_when_more_than_half_of_enough_calls_failed() {
    let mut breaker = closed();
    for now in 0..20 {
        answer(&mut breaker, now);
        assert_eq!(fail(&mut breaker, now), Effect::None, "half of them is not more than half");
    }
    let cause = Cause::Share { failed: 21, of: 41 };
    assert!(matches!(fail(&mut breaker, 20), Effect::Opened { cause: found, .. } if found == cause));
}

#[test]
fn a_few_probes_pass_at_once_and_enough_successes_close_it() {
    let mut breaker = opened(0);
    let first = ask(&mut breaker, 2_000).unwrap();
    let second = ask(&mut breaker, 2_000).unwrap();
    assert_eq!(ask(&mut breaker, 2_000), None);
    assert_eq!(breaker.step(Event::Answered(first), 2_100, 0), Effect::None);
    assert_eq!(breaker.step(Event::GivenUp(second), 2_100, 0), Effect::None);
    assert_eq!(breaker.state(2_100), State::HalfOpen { free: 2 });
    assert_eq!(answer(&mut breaker, 2_200), Effect::Closed);
    assert_eq!(breaker.state(2_200), State::Closed);
}

#[test]
fn a_probe_that_fails_opens_it_for_longer_each_time() {
    let mut breaker = opened(0);
    let mut now = 0;
    for wait in [2_000, 4_000, 8_000] {
        now += left(&breaker, now);
        assert_eq!(fail(&mut breaker, now), Effect::Opened { for_ms: wait, cause: Cause::Probe });
    }
    for _ in 0..20 {
        now += left(&breaker, now);
        fail(&mut breaker, now);
    }
    assert_eq!(left(&breaker, now), 30_000, "no longer than its bound");
}

#[test]
fn probes_that_nothing_is_heard_of_do_not_keep_it_half_open_for_ever() {
    let mut breaker = opened(0);
    ask(&mut breaker, 2_000).unwrap();
    ask(&mut breaker, 2_000).unwrap();
    assert!(!breaker.state(31_999).admits());
    assert_eq!(breaker.state(32_000), State::HalfOpen { free: 2 });
    assert!(ask(&mut breaker, 32_000).is_some());
    assert_eq!(breaker.state(32_000), State::HalfOpen { free: 1 });
}

#[test]
fn calls_begun_before_it_opened_say_nothing_afterwards() {
    let mut breaker = closed();
    let old = ask(&mut breaker, 0).unwrap();
    for _ in 0..5 {
        fail(&mut breaker, 0);
    }
    ask(&mut breaker, 2_000).unwrap();
    assert_eq!(breaker.step(Event::Failed(old), 2_000, 0), Effect::None);
    assert_eq!(breaker.step(Event::Answered(old), 2_000, 0), Effect::None);
    assert_eq!(breaker.state(2_000), State::HalfOpen { free: 1 });
}

#[test]
fn anothers_word_opens_it_for_what_remains_and_then_it_tries_itself() {
    let told = opened(1_000).statement(NodeId(1), LIFE, 1_200).unwrap();
    assert_eq!((told.age_ms, told.told), (200, Told::Open { for_ms: 1_000 }));
    let mut other = closed();
    assert!(other.merge(&told, 50_000));
    assert_eq!(other.state(50_000), State::Open { left_ms: 800 });
    assert!(!other.merge(&told, 50_000), "the same again is no news");
    assert_eq!(other.statement(NodeId(2), LIFE, 50_000), None, "it saw nothing itself");
    assert_eq!(other.state(50_800), State::HalfOpen { free: 2 });
    assert_eq!(fail(&mut other, 50_800), Effect::Opened { for_ms: 1_000, cause: Cause::Probe });
    assert!(other.statement(NodeId(2), LIFE, 50_900).is_some(), "that it saw itself");
}

#[test]
fn own_success_is_believed_over_anothers_word() {
    let told = opened(1_000).statement(NodeId(1), LIFE, 1_500).unwrap();
    let mut newer = closed();
    answer(&mut newer, 9_600);
    assert!(!newer.merge(&told, 10_000), "it answered after the other's had opened");
    let mut older = closed();
    answer(&mut older, 9_400);
    let under_way = ask(&mut older, 9_450).unwrap();
    assert!(older.merge(&told, 10_000));
    assert_eq!(older.step(Event::Answered(under_way), 10_100, 0), Effect::Closed);
    assert_eq!(older.state(10_100), State::Closed);
    let again = Statement { number: 7, age_ms: 0, ..told };
    assert!(!older.merge(&again, 10_200), "the other's trouble is its own");
    assert!(older.merge(&Statement { node: NodeId(3), ..again }, 10_200));
}

#[test]
fn a_word_that_is_taken_back_holds_no_longer() {
    let mut first = opened(0);
    let open = first.statement(NodeId(1), LIFE, 0).unwrap();
    let mut other = closed();
    assert!(other.merge(&Statement { told: Told::Open { for_ms: 20_000 }, ..open }, 0));
    answer(&mut first, 1_500);
    answer(&mut first, 1_500);
    let taken_back = first.statement(NodeId(1), LIFE, 1_600).unwrap();
    assert_eq!(taken_back.told, Told::Closed);
    assert!(
        !other.merge(&Statement { node: NodeId(3), ..taken_back }, 1_600),
        "another's was never believed"
    );
    assert!(other.merge(&taken_back, 1_600));
    assert_eq!(other.state(1_600), State::HalfOpen { free: 2 });
    assert_eq!(first.statement(NodeId(1), LIFE, 100_000), None, "long over");
    assert!(first.is_idle(100_000));
}

/// What may happen to a pair of nodes that call the same target.
#[derive(Debug, Clone, Copy)]
enum Happens {
    Call { at: usize, well: bool },
    Gossip { from: usize },
    Later(Millis),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        4 => (0..2usize, any::<bool>()).prop_map(|(at, well)| Happens::Call { at, well }),
        3 => (0..2usize).prop_map(|from| Happens::Gossip { from }),
        2 => (0..4_000u64).prop_map(Happens::Later),
    ]
}

/// Two breakers, and what the network still has of what they told.
struct Pair {
    breakers: [Breaker; 2],
    on_its_way: Vec<(Statement, Millis)>,
    now: Millis,
}

impl Pair {
    fn gossip(&mut self, from: usize, draw: u64) {
        let node = NodeId(from as u64);
        if let Some(told) = self.breakers[from].statement(node, LIFE, self.now) {
            self.on_its_way.push((told, self.now));
        }
        if self.on_its_way.is_empty() {
            return;
        }
        // Any of all that was ever told comes through, late and again.
        let (told, sent) = self.on_its_way[draw as usize % self.on_its_way.len()];
        let told = Statement { age_ms: told.age_ms + (self.now - sent), ..told };
        for (place, breaker) in self.breakers.iter_mut().enumerate() {
            if NodeId(place as u64) != told.node {
                breaker.merge(&told, self.now);
            }
        }
    }

    fn call(&mut self, at: usize, well: bool, draw: u64) {
        if let Effect::Admitted(pass) = self.breakers[at].step(Event::Asked, self.now, draw) {
            let event = if well { Event::Answered(pass) } else { Event::Failed(pass) };
            self.breakers[at].step(event, self.now, draw);
        }
    }
}

proptest! {
    #[test]
    fn without_failures_two_breakers_close_whatever_they_told_each_other(
        past in proptest::collection::vec((happens(), any::<u64>()), 0..300),
        draws in proptest::collection::vec(any::<u64>(), 200..201),
    ) {
        let breakers = [closed(), closed()];
        let mut pair = Pair { breakers, on_its_way: Vec::new(), now: 0 };
        for (what, draw) in past {
            match what {
                Happens::Call { at, well } => pair.call(at, well, draw),
                Happens::Gossip { from } => pair.gossip(from, draw),
                Happens::Later(ms) => pair.now += ms,
            }
        }
        // From here on nothing fails, and they go on to tell each other what they know.
        let open_max = Config::default().open.max_ms;
        let quiet = pair.now;
        for draw in draws {
            pair.gossip(0, draw);
            pair.gossip(1, draw >> 8);
            for breaker in &pair.breakers {
                let opened_later = matches!(breaker.phase, Phase::Open { since, .. } if since > quiet);
                prop_assert!(!opened_later, "nothing failed");
            }
            if pair.now > quiet + open_max {
                let shut = pair.breakers.iter().any(|b| left(b, pair.now) > 0);
                prop_assert!(!shut);
                for at in 0..2 {
                    pair.call(at, true, draw);
                    pair.call(at, true, draw);
                }
                prop_assert!(pair.breakers.iter().all(|b| b.state(pair.now) == State::Closed));
            }
            pair.now += open_max / 100;
        }
    }

    #[test]
    fn only_a_node_whose_own_calls_failed_says_that_it_is_open(
        events in proptest::collection::vec((happens(), any::<u64>()), 0..300),
    ) {
        // The second node's calls never fail.
        let mut pair = Pair { breakers: [closed(), closed()], on_its_way: Vec::new(), now: 0 };
        for (what, draw) in events {
            match what {
                Happens::Call { at, well } => pair.call(at, well || at == 1, draw),
                Happens::Gossip { from } => pair.gossip(from, draw),
                Happens::Later(ms) => pair.now += ms,
            }
            let told = pair.breakers[1].statement(NodeId(1), LIFE, pair.now).map(|s| s.told);
            prop_assert!(!matches!(told, Some(Told::Open { .. })), "{told:?}");
        }
    }

    #[test]
    fn probes_at_once_never_exceed_their_bound(
        events in proptest::collection::vec((0..4u8, 0..1_000u64), 0..200), draw: u64,
    ) {
        let mut breaker = opened(0);
        let (mut now, mut probes) = (1_000, Vec::new());
        for (what, later) in events {
            now += later;
            if !matches!(breaker.state(now), State::HalfOpen { .. }) {
                break;
            }
            match (what, probes.pop()) {
                (0, Some(pass)) => { breaker.step(Event::GivenUp(pass), now, draw); }
                (1, Some(pass)) => { breaker.step(Event::Answered(pass), now, draw); }
                (_, last) => {
                    probes.extend(last);
                    probes.extend(ask(&mut breaker, now));
                }
            }
            prop_assert!(probes.len() <= Config::default().probes_max as usize || now > 30_000);
        }
    }
}
