//! Queues by example and by chance: bounds, turns, and that everybody hears what becomes of it.

use std::collections::{BTreeMap, BTreeSet};

use super::*;
use proptest::prelude::*;

const A: KeyId = KeyId(1);
const B: KeyId = KeyId(2);
const C: KeyId = KeyId(3);

fn queue(in_flight_max: u32, waiting_max: u32) -> Queue {
    Queue::new(route::Queue { in_flight_max, waiting_max, wait_ms: 1_000 })
}

fn waits(queue: &mut Queue, caller: KeyId, priority: i32) -> Ticket {
    match queue.offer(caller, priority, 0) {
        Offer::Waits { ticket, displaced: None } => ticket,
        other => panic!("{other:?}"),
    }
}

/// A queue with one place, which is taken.
fn busy(waiting_max: u32) -> Queue {
    let mut queue = queue(1, waiting_max);
    assert_eq!(queue.offer(C, 0, 0), Offer::Admitted);
    queue
}

#[test]
fn callers_take_turns_whoever_has_more_calls() {
    let mut queue = busy(10);
    let a: Vec<Ticket> = (0..3).map(|_| waits(&mut queue, A, 0)).collect();
    let b = waits(&mut queue, B, 0);
    let order: Vec<Ticket> = (0..4).map_while(|_| queue.release(1, 0)).collect();
    assert_eq!(order, [a[0], b, a[1], a[2]]);
    assert_eq!(queue.release(1, 0), None);
    assert!(queue.is_idle());
}

#[test]
fn a_higher_priority_goes_first_and_where_all_is_taken_a_lower_one_gives_way() {
    let mut queue = busy(3);
    let low: Vec<Ticket> = (0..2).map(|_| waits(&mut queue, A, 0)).collect();
    let high = waits(&mut queue, B, 5);
    let Offer::Waits { ticket, displaced } = queue.offer(B, 5, 0) else { panic!() };
    assert_eq!(displaced, Some(low[1]), "the newest of the lowest");
    let full = Why::Full { waiting: 3 };
    assert!(matches!(queue.offer(A, 0, 0), Offer::Refused { why, .. } if why == full));
    assert_eq!([(); 3].map(|()| queue.release(1, 0)), [Some(high), Some(ticket), Some(low[0])]);
}

#[test]
fn who_waits_for_much_gives_way_to_who_waits_for_little() {
    let mut queue = busy(4);
    let a: Vec<Ticket> = (0..4).map(|_| waits(&mut queue, A, 0)).collect();
    let mut gave_way = Vec::new();
    while let Offer::Waits { displaced, .. } = queue.offer(B, 0, 0) {
        gave_way.extend(displaced);
    }
    assert_eq!(gave_way, [a[3], a[2]], "until both have as many");
}

#[test]
fn who_would_wait_too_long_is_told_so_at_once() {
    let mut queue = busy(100);
    assert_eq!(queue.release(400, 0), None);
    assert_eq!(queue.offer(A, 0, 0), Offer::Admitted);
    waits(&mut queue, A, 0);
    waits(&mut queue, A, 0);
    let why = Why::TooLong { expected_ms: 1_200, allowed_ms: 1_000 };
    assert_eq!(queue.offer(A, 0, 0), Offer::Refused { retry_after_ms: 200, why });
    waits(&mut queue, B, 0);
    waits(&mut queue, B, 9);
}

#[test]
fn who_waited_long_enough_is_named_once_and_never_goes_on() {
    let mut queue = busy(10);
    let first = waits(&mut queue, A, 0);
    let Offer::Waits { ticket: second, .. } = queue.offer(A, 0, 500) else { panic!() };
    assert_eq!(queue.next_expiry(), Some(1_000));
    assert_eq!(queue.release(1, 1_000), Some(second));
    assert_eq!((queue.expire(1_000), queue.expire(2_000)), (vec![first], vec![]));
    assert!(!queue.leave(first) && !queue.leave(second));
}

#[test]
fn more_room_lets_more_go_on_and_less_room_lets_them_end() {
    let mut queue = busy(10);
    let [a, b] = [waits(&mut queue, A, 0), waits(&mut queue, B, 0)];
    queue.set(route::Queue { in_flight_max: 3, waiting_max: 10, wait_ms: 1_000 });
    assert_eq!([(); 3].map(|()| queue.admit(0)), [Some(a), Some(b), None]);
    let c = waits(&mut queue, C, 0);
    queue.set(route::Queue { in_flight_max: 1, waiting_max: 0, wait_ms: 1_000 });
    assert!(matches!(queue.offer(A, 9, 0), Offer::Refused { .. }), "none may wait");
    assert_eq!([(); 3].map(|()| queue.release(1, 0)), [None, None, Some(c)]);
}

/// What may happen to a queue.
#[derive(Debug, Clone, Copy)]
enum Happens {
    Offer { caller: u64, priority: i32 },
    Release { took_ms: Millis },
    Leave { which: usize },
    Expire,
    Later(Millis),
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        6 => (0..4u64, 0..3i32).prop_map(|(caller, priority)| Happens::Offer { caller, priority }),
        4 => (1..500u64).prop_map(|took_ms| Happens::Release { took_ms }),
        1 => (0..50usize).prop_map(|which| Happens::Leave { which }),
        1 => Just(Happens::Expire),
        2 => (0..600u64).prop_map(Happens::Later),
    ]
}

/// A queue, and what it must be.
struct Model {
    queue: Queue,
    waiting: BTreeMap<Ticket, (KeyId, i32)>,
    in_flight: u32,
    now: Millis,
}

impl Model {
    /// Somebody goes on: nobody of a higher priority waits.
    fn goes_on(&mut self, ticket: Ticket) {
        let (_, priority) = self.waiting.remove(&ticket).expect("it was waiting");
        let late: BTreeSet<Ticket> = self.queue.expired.iter().copied().collect();
        let mut others = self.waiting.iter().filter(|(ticket, _)| !late.contains(ticket));
        assert!(others.all(|(_, (_, other))| *other <= priority));
        self.in_flight += 1;
    }

    fn happen(&mut self, what: Happens) {
        match what {
            Happens::Offer { caller, priority } => {
                match self.queue.offer(KeyId(caller), priority, self.now) {
                    Offer::Admitted => self.in_flight += 1,
                    Offer::Waits { ticket, displaced } => {
                        if let Some(gone) = displaced {
                            let (_, other) = self.waiting.remove(&gone).expect("it was waiting");
                            assert!(other <= priority);
                        }
                        assert!(self.waiting.insert(ticket, (KeyId(caller), priority)).is_none());
                    }
                    Offer::Refused { retry_after_ms, .. } => assert!(retry_after_ms > 0),
                }
            }
            Happens::Release { took_ms } if self.in_flight > 0 => {
                self.in_flight -= 1;
                if let Some(ticket) = self.queue.release(took_ms, self.now) {
                    self.goes_on(ticket);
                }
            }
            Happens::Leave { which } => {
                if let Some(ticket) = self.waiting.keys().nth(which).copied() {
                    assert!(self.queue.leave(ticket));
                    self.waiting.remove(&ticket);
                }
            }
            Happens::Expire => {
                for ticket in self.queue.expire(self.now) {
                    assert!(self.waiting.remove(&ticket).is_some());
                }
            }
            Happens::Later(ms) => self.now += ms,
            Happens::Release { .. } => {}
        }
    }
}

proptest! {
    #[test]
    fn a_queue_never_exceeds_its_bounds_and_names_everybody_who_waits_once(
        events in proptest::collection::vec(happens(), 0..400), in_flight_max in 1..4u32, waiting_max in 0..6u32,
    ) {
        let queue = queue(in_flight_max, waiting_max);
        let mut model = Model { queue, waiting: BTreeMap::new(), in_flight: 0, now: 0 };
        for what in events {
            model.happen(what);
            let queue = &model.queue;
            prop_assert!(queue.in_flight() <= in_flight_max && queue.waiting() <= waiting_max as usize);
            prop_assert_eq!((queue.in_flight(), queue.waiting()), (model.in_flight, model.waiting.len()));
            prop_assert_eq!(queue.until.len(), queue.lines.len());
            prop_assert!(queue.lines.len() == 0 || queue.in_flight() == in_flight_max, "none waits for nothing");
        }
        // In the end everybody has heard.
        model.now += 1_000;
        model.happen(Happens::Expire);
        prop_assert!(model.waiting.is_empty());
    }

    #[test]
    fn nobody_passes_twice_while_another_of_the_same_priority_waits(
        callers in proptest::collection::vec((0..5u64, any::<bool>()), 1..200),
    ) {
        let mut queue = busy(1_000);
        // Since a caller began to wait: how often each other one has gone before it.
        let mut waiting: BTreeMap<KeyId, usize> = BTreeMap::new();
        let mut passed: BTreeMap<(KeyId, KeyId), usize> = BTreeMap::new();
        let mut tickets = BTreeMap::new();
        for (caller, release) in callers {
            let caller = KeyId(caller);
            tickets.insert(waits(&mut queue, caller, 0), caller);
            *waiting.entry(caller).or_default() += 1;
            if !release {
                continue;
            }
            let Some(ticket) = queue.release(0, 0) else { continue };
            let first = tickets[&ticket];
            passed.retain(|(waits, _), _| *waits != first);
            let left = waiting.get_mut(&first).unwrap();
            *left -= 1;
            if *left == 0 {
                waiting.remove(&first);
            }
            for other in waiting.keys().filter(|other| **other != first) {
                let times = passed.entry((*other, first)).or_default();
                *times += 1;
                prop_assert!(*times <= 1, "{first} went {times} times while {other} waited");
            }
        }
    }
}
