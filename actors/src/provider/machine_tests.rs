//! What a provider's machine does, event by event.

use super::machine::{
    Effect, Event, Health, Machine, OpenError, PROBE_FAILING_MS, PROBE_IDLE_MS, ProbeError,
};
use crate::gate::Tally;

fn opened() -> Machine {
    let mut machine = Machine::new(true, false);
    assert_eq!(machine.step(Event::Begin, 0), [Effect::OpenKey]);
    let effects = machine.step(Event::Opened(Ok(())), 0);
    assert_eq!(effects, [Effect::Open, Effect::LookLater, Effect::Probe]);
    machine
}

fn tally(answered: u64, failed: u64) -> Tally {
    Tally { answered, failed, reason: (failed > 0).then(|| "it answered 502".to_owned()) }
}

#[test]
fn the_mock_takes_calls_at_once_and_is_never_asked() {
    let mut machine = Machine::new(false, false);
    assert_eq!(machine.step(Event::Begin, 0), [Effect::Open]);
    assert_eq!(machine.health(), &Health::Well);
}

#[test]
fn a_key_that_nobody_can_open_just_now_is_asked_for_again() {
    let mut machine = Machine::new(true, false);
    machine.step(Event::Begin, 0);
    for attempt in 1..5 {
        let unavailable = Event::Opened(Err(OpenError::Unavailable("no voter".to_owned())));
        let effects = machine.step(unavailable, 0);
        assert_eq!(effects, [Effect::Close("no voter".to_owned()), Effect::Pause { attempt }]);
        assert_eq!(machine.step(Event::OpenDue, 0), [Effect::OpenKey]);
    }
}

#[test]
fn a_damaged_key_is_not_asked_for_again() {
    let mut machine = Machine::new(true, false);
    machine.step(Event::Begin, 0);
    let effects = machine.step(Event::Opened(Err(OpenError::Damaged("damaged".to_owned()))), 0);
    assert!(matches!(effects[..], [Effect::Close(_)]));
    assert!(matches!(machine.health(), Health::Unusable { .. }));
    assert_eq!(machine.step(Event::OpenDue, 0), []);
}

#[test]
fn a_provider_that_answers_calls_is_not_asked() {
    let mut machine = opened();
    machine.step(Event::Probed(Ok(())), 0);
    for n in 1..60 {
        assert_eq!(machine.step(Event::Look(tally(n, 0)), n * 1_000), [Effect::LookLater]);
    }
    assert_eq!(machine.health(), &Health::Well);
}

#[test]
fn an_idle_provider_is_asked_now_and_then() {
    let mut machine = opened();
    machine.step(Event::Probed(Ok(())), 0);
    assert_eq!(machine.step(Event::Look(tally(0, 0)), PROBE_IDLE_MS - 1), [Effect::LookLater]);
    let effects = machine.step(Event::Look(tally(0, 0)), PROBE_IDLE_MS);
    assert_eq!(effects, [Effect::Probe, Effect::LookLater]);
    let later = machine.step(Event::Look(tally(0, 0)), PROBE_IDLE_MS * 3);
    assert_eq!(later, [Effect::LookLater], "one request at a time");
}

#[test]
fn a_provider_that_fails_is_avoided_until_it_answers_again() {
    let mut machine = opened();
    machine.step(Event::Probed(Ok(())), 0);
    machine.step(Event::Look(tally(0, 1)), 1_000);
    assert_eq!(machine.health(), &Health::Failing { reason: "it answered 502".to_owned() });
    let effects = machine.step(Event::Look(tally(0, 1)), 1_000 + PROBE_FAILING_MS);
    assert_eq!(effects[0], Effect::Probe);
    let failed = Event::Probed(Err(ProbeError::Failed("no".to_owned())));
    assert_eq!(machine.step(failed, 7_000), [Effect::Avoid]);
    assert_eq!(machine.step(Event::Probed(Ok(())), 12_000), [Effect::Forgive]);
    assert_eq!(machine.health(), &Health::Well);
}

#[test]
fn a_key_that_may_not_list_models_is_told_and_not_held_against_the_provider() {
    let mut machine = opened();
    machine.step(Event::Probed(Err(ProbeError::Failed("no".to_owned()))), 0);
    let refused = || Event::Probed(Err(ProbeError::Refused("401".to_owned())));
    assert_eq!(machine.step(refused(), 1_000), [Effect::Forgive], "it is there again");
    assert_eq!(machine.health(), &Health::Doubtful { reason: "401".to_owned() });
    machine.step(Event::Look(tally(1, 0)), 2_000);
    assert_eq!(machine.health(), &Health::Well, "calls pass");
    let effects = machine.step(Event::Look(tally(1, 0)), 2_000 + PROBE_FAILING_MS);
    assert_eq!(effects, [Effect::LookLater], "it is not asked as often as one that fails");
}

#[test]
fn a_key_that_is_exchanged_opens_with_its_first_token_and_is_exchanged_again_before_that_dies() {
    let mut machine = Machine::new(true, true);
    machine.step(Event::Begin, 0);
    assert_eq!(machine.step(Event::Opened(Ok(())), 0), [Effect::Exchange]);
    let away = || Event::Granted(Err(OpenError::Unavailable("no answer".to_owned())));
    let effects = machine.step(away(), 0);
    assert_eq!(effects, [Effect::ExchangePause { attempt: 1 }, Effect::Close("no answer".to_owned())]);
    assert_eq!(machine.step(Event::GrantDue, 0), [Effect::Exchange]);
    let effects = machine.step(Event::Granted(Ok(100_000)), 0);
    assert_eq!(effects, [Effect::Open, Effect::LookLater, Effect::Probe, Effect::ExchangeLater(75_000)]);
    // While no new one is granted, the old one is used.
    assert_eq!(machine.step(away(), 80_000), [Effect::ExchangePause { attempt: 1 }]);
    assert_eq!(machine.health(), &Health::Unknown);
    let effects = machine.step(Event::Granted(Ok(100_000)), 81_000);
    assert_eq!(effects, [Effect::Open, Effect::ExchangeLater(75_000)]);
    let effects = machine.step(Event::Probed(Err(ProbeError::Refused("401".to_owned()))), 82_000);
    assert_eq!(effects, [Effect::Exchange, Effect::Forgive], "tokens can be taken back");
}

#[test]
fn a_key_that_is_refused_when_it_is_exchanged_makes_a_provider_unusable() {
    let mut machine = Machine::new(true, true);
    machine.step(Event::Begin, 0);
    machine.step(Event::Opened(Ok(())), 0);
    machine.step(Event::Granted(Err(OpenError::Damaged("wrong key".to_owned()))), 0);
    assert_eq!(machine.health(), &Health::Unusable { reason: "wrong key".to_owned() });
}
