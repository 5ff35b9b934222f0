//! When the lease is renewed and until when it is good.

use domain::NodeId;
use domain::limits::{LEASE_MARGIN_MS, LEASE_MS, LEASE_RENEW_MS};
use proptest::prelude::*;

use super::machine::{Effect, Event, Machine, RETRY_MS};

const A: NodeId = NodeId(1);
const B: NodeId = NodeId(2);

fn answered(leader: NodeId, sent: u64, answer: Result<u64, &str>) -> Event {
    Event::Answered { leader, sent, answer: answer.map_err(str::to_owned) }
}

#[test]
fn a_lease_counts_from_when_it_was_asked_for() {
    let mut machine = Machine::default();
    assert_eq!(machine.step(Event::Look(None), 100), []);
    assert_eq!(machine.step(Event::Look(Some(A)), 100), [Effect::Ask(A)]);
    assert_eq!(machine.step(Event::Look(Some(A)), 200), [], "one request at a time");
    let effects = machine.step(answered(A, 100, Ok(3)), 700);
    assert_eq!(effects, [Effect::LookAfter(LEASE_RENEW_MS - 600)]);
    assert_eq!(machine.ends(), 100 + LEASE_MS - LEASE_MARGIN_MS);
}

#[test]
fn a_new_leader_is_told_at_once() {
    let mut machine = Machine::default();
    machine.step(Event::Look(Some(A)), 0);
    machine.step(answered(A, 0, Ok(3)), 10);
    assert_eq!(machine.step(Event::Look(Some(A)), 20), []);
    assert_eq!(machine.step(Event::Look(Some(B)), 30), [Effect::Ask(B)]);
}

#[test]
fn a_request_that_failed_is_repeated_soon_and_gives_nothing() {
    let mut machine = Machine::default();
    machine.step(Event::Look(Some(A)), 0);
    let effects = machine.step(answered(A, 0, Err("not leading")), 50);
    assert_eq!(effects, [Effect::LookAfter(RETRY_MS)]);
    assert_eq!((machine.ends(), machine.failure()), (0, Some("not leading")));
    assert_eq!(machine.step(Event::Look(Some(A)), 50 + RETRY_MS), [Effect::Ask(A)]);
}

#[test]
fn a_leader_of_an_older_term_gives_nothing() {
    let mut machine = Machine::default();
    machine.step(Event::Look(Some(B)), 0);
    machine.step(answered(B, 0, Ok(5)), 10);
    let ends = machine.ends();
    machine.step(Event::Look(Some(A)), 2_000);
    machine.step(answered(A, 2_000, Ok(4)), 2_010);
    assert_eq!(machine.ends(), ends);
}

proptest! {
    #[test]
    fn a_lease_never_lasts_longer_here_than_the_leader_thinks(
        delays in proptest::collection::vec((0u64..900, 0u64..900), 1..50)
    ) {
        // The leader counts from when the request came in, which is never before it was sent.
        let (mut machine, mut now, mut leader_thinks) = (Machine::default(), 1, 0);
        for (there, back) in delays {
            for effect in machine.step(Event::Look(Some(A)), now) {
                let Effect::Ask(_) = effect else { continue };
                leader_thinks = now + there + LEASE_MS;
                let sent = now;
                now += there + back;
                machine.step(answered(A, sent, Ok(1)), now);
            }
            now += LEASE_RENEW_MS;
        }
        prop_assert!(machine.ends() + LEASE_MARGIN_MS <= leader_thinks);
    }
}
