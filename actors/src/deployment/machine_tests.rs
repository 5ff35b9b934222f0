//! What a replica's machine does, told event by event, and what it never does, whatever comes.

use domain::Millis;
use domain::deployment::Phase;
use proptest::prelude::*;

use super::events::{Effect, Event, Timer};
use super::liveness::MISSES_MAX;
use super::machine::{ATTEMPTS_MAX, LIVE_PROBE_MS, Machine, State, WELL_MS};
use super::reporting::{Answer, RETRY_MS};
use crate::gate::Work;

const READY_TIMEOUT: Millis = 60_000;
const GRACE: Millis = 5_000;

struct Bench {
    machine: Machine,
    now: Millis,
    run: u32,
    work: Work,
}

impl Bench {
    fn new() -> Self {
        Self { machine: Machine::new(READY_TIMEOUT, GRACE), now: 1_000, run: 0, work: Work::default() }
    }

    /// Steps; reports are taken at once.
    fn step(&mut self, event: Event) -> Vec<Effect> {
        let mut effects = self.machine.step(event, self.now);
        let mut place = 0;
        while place < effects.len() {
            match &effects[place] {
                Effect::Report(_) => {
                    effects.extend(self.machine.step(Event::Reported(Answer::Taken), self.now))
                }
                Effect::Spawn { run } => self.run = *run,
                _ => {}
            }
            place += 1;
        }
        effects
    }

    fn start(&mut self) -> Vec<Effect> {
        if *self.machine.state() == State::New {
            self.step(Event::Begin);
        }
        let mut effects = self.step(Event::FileChecked(Ok(())));
        effects.extend(self.step(Event::Spawned { run: self.run }));
        effects
    }

    fn ready(&mut self) -> Vec<Effect> {
        self.start();
        self.probe(Ok(()))
    }

    /// The engine is asked; its calls stand still unless [`Bench::work`] is moved.
    fn probe(&mut self, answer: Result<(), &str>) -> Vec<Effect> {
        let answer = answer.map_err(str::to_owned);
        self.step(Event::Probed { run: self.run, answer, work: self.work })
    }

    fn exit(&mut self) -> Vec<Effect> {
        let tail = vec!["loading".to_owned(), "out of\tmemory".to_owned()];
        self.step(Event::Exited { run: self.run, status: "exit code 1".to_owned(), tail })
    }

    fn retry(&mut self) -> Vec<Effect> {
        let mut effects = self.step(Event::Due(Timer::Retry { run: self.run }));
        effects.extend(self.start());
        effects
    }
}

fn failed(effects: &[Effect]) -> Option<&str> {
    effects.iter().find_map(|e| match e {
        Effect::Report(Phase::Failed { reason }) => Some(reason.as_str()),
        _ => None,
    })
}

#[test]
fn a_replica_is_checked_started_awaited_and_opened() {
    let mut bench = Bench::new();
    assert_eq!(bench.step(Event::Begin), [Effect::CheckFile]);
    let started = bench.step(Event::FileChecked(Ok(())));
    assert_eq!(started, [Effect::Spawn { run: 1 }, Effect::Report(Phase::Starting)]);
    let spawned = bench.step(Event::Spawned { run: 1 });
    assert!(spawned.contains(&Effect::Probe { run: 1 }));
    let loading = bench.probe(Err("it answered 503"));
    assert!(matches!(loading[..], [Effect::After(_, Timer::Probe { run: 1 })]));
    let ready = bench.probe(Ok(()));
    assert!(ready.contains(&Effect::Open) && ready.contains(&Effect::Report(Phase::Ready)));
    assert_eq!(*bench.machine.state(), State::Ready);
}

#[test]
fn a_file_that_cannot_be_used_fails_the_replica_at_once() {
    let mut bench = Bench::new();
    bench.step(Event::Begin);
    let effects = bench.step(Event::FileChecked(Err("this node has no file /m".to_owned())));
    assert_eq!(failed(&effects), Some("this node has no file /m"));
    assert_eq!(*bench.machine.state(), State::Failed);
    assert_eq!(bench.step(Event::Stop), [Effect::End]);
}

#[test]
fn a_program_that_is_missing_fails_the_replica_at_once() {
    let mut bench = Bench::new();
    bench.step(Event::Begin);
    bench.step(Event::FileChecked(Ok(())));
    let reason = "program `llama-server` cannot be started".to_owned();
    let effects = bench.step(Event::SpawnFailed { run: 1, reason: reason.clone(), for_good: true });
    assert_eq!(failed(&effects), Some(reason.as_str()));
}

#[test]
fn an_engine_that_keeps_dying_is_given_up_with_its_last_lines() {
    let mut bench = Bench::new();
    bench.start();
    for attempt in 1..ATTEMPTS_MAX {
        let effects = bench.exit();
        assert!(effects.contains(&Effect::Pause { attempt, run: bench.run }), "{effects:?}");
        let reported = effects.iter().any(
            |e| matches!(e, Effect::Report(Phase::Restarting { attempt: told, .. }) if *told == attempt),
        );
        assert!(reported);
        bench.retry();
    }
    let effects = bench.exit();
    let reason = failed(&effects).unwrap();
    assert!(reason.contains("exit code 1") && reason.contains("loading | out of memory"), "{reason}");
    assert!(!reason.contains('\t') && !reason.contains('\n'));
}

#[test]
fn an_engine_that_was_well_for_a_while_starts_its_attempts_anew() {
    let mut bench = Bench::new();
    bench.ready();
    for _ in 0..ATTEMPTS_MAX * 2 {
        bench.now += WELL_MS;
        let effects = bench.exit();
        assert!(effects.contains(&Effect::Pause { attempt: 1, run: bench.run }), "{effects:?}");
        bench.step(Event::Due(Timer::Retry { run: bench.run }));
        bench.ready();
    }
}

#[test]
fn an_engine_that_stops_answering_is_started_anew() {
    let mut bench = Bench::new();
    bench.ready();
    let run = bench.run;
    for _ in 1..MISSES_MAX {
        let effects = bench.probe(Err("timeout"));
        assert_eq!(effects, [Effect::After(LIVE_PROBE_MS, Timer::Probe { run })]);
    }
    let effects = bench.probe(Err("timeout"));
    assert!(matches!(effects[..], [Effect::Close(_), Effect::Terminate, Effect::After(GRACE, _)]));
    assert_eq!(bench.step(Event::Due(Timer::Grace { run })), [Effect::Kill]);
    let effects = bench.exit();
    assert!(effects.contains(&Effect::Pause { attempt: 1, run }));
}

#[test]
fn one_good_answer_forgives_the_misses_before_it() {
    let mut bench = Bench::new();
    bench.ready();
    for _ in 0..10 {
        bench.probe(Err("slow"));
        bench.probe(Ok(()));
    }
    assert_eq!(*bench.machine.state(), State::Ready);
}

#[test]
fn an_engine_too_busy_for_its_probes_keeps_its_streams() {
    let mut bench = Bench::new();
    bench.ready();
    for _ in 0..MISSES_MAX * 10 {
        bench.now += LIVE_PROBE_MS;
        bench.work.parts += 20;
        let run = bench.run;
        assert_eq!(bench.probe(Err("timeout")), [Effect::After(LIVE_PROBE_MS, Timer::Probe { run })]);
    }
    for _ in 0..MISSES_MAX {
        assert_eq!(*bench.machine.state(), State::Ready);
        bench.probe(Err("timeout"));
    }
    assert_eq!(*bench.machine.state(), State::Stopping, "its streams stand still now");
}

#[test]
fn an_engine_whose_end_is_told_before_its_start_is_tried_again() {
    let mut bench = Bench::new();
    bench.step(Event::Begin);
    bench.step(Event::FileChecked(Ok(())));
    let effects = bench.exit();
    assert!(effects.contains(&Effect::Pause { attempt: 1, run: 1 }), "{effects:?}");
    assert!(bench.machine.why().unwrap().contains("exit code 1"));
    assert_eq!(bench.step(Event::Spawned { run: 1 }), [], "that start is over");
    assert!(!bench.machine.alive());
    bench.retry();
    assert_eq!(*bench.machine.state(), State::WaitingReady);
    assert_eq!(bench.step(Event::Spawned { run: 1 }), [], "so it is while another start is awaited");
}

#[test]
fn a_stopped_replica_whose_engines_end_is_told_before_its_start_is_over() {
    let mut bench = Bench::new();
    bench.step(Event::Begin);
    bench.step(Event::FileChecked(Ok(())));
    bench.step(Event::Stop);
    assert_eq!(bench.exit(), [Effect::End]);
    assert_eq!(bench.step(Event::Spawned { run: 1 }), []);
}

#[test]
fn a_stop_drains_then_asks_then_ends() {
    let mut bench = Bench::new();
    bench.ready();
    let run = bench.run;
    assert!(matches!(bench.step(Event::Stop)[..], [Effect::Close(_), Effect::Drain]));
    let effects = bench.step(Event::Drained);
    assert_eq!(effects, [Effect::Terminate, Effect::After(GRACE, Timer::Grace { run })]);
    assert_eq!(bench.step(Event::Due(Timer::Grace { run })), [Effect::Kill]);
    assert_eq!(bench.exit(), [Effect::End]);
    assert_eq!(bench.step(Event::Begin), []);
}

#[test]
fn a_stop_while_the_engine_is_being_started_ends_it_once_it_is_there() {
    let mut bench = Bench::new();
    bench.step(Event::Begin);
    bench.step(Event::FileChecked(Ok(())));
    assert_eq!(bench.step(Event::Stop), []);
    assert!(bench.step(Event::Spawned { run: 1 }).contains(&Effect::Terminate));
    assert_eq!(bench.exit(), [Effect::End]);
}

#[test]
fn an_engine_that_is_never_ready_is_ended_and_started_anew() {
    let mut bench = Bench::new();
    bench.start();
    bench.probe(Err("it answered 503"));
    assert!(bench.step(Event::Due(Timer::ReadyTimeout { run: 1 })).contains(&Effect::Terminate));
    let effects = bench.exit();
    assert!(bench.machine.why().unwrap().contains("503"), "{effects:?}");
}

#[test]
fn an_engine_that_holds_more_memory_than_its_share_is_started_anew() {
    let mut bench = Bench::new();
    let grown = |run| Event::Weighed { run, used_mib: 2048, share_mib: 512 };
    bench.start();
    assert!(bench.step(grown(bench.run)).is_empty(), "it loads still");
    bench.probe(Ok(()));
    assert!(bench.step(grown(bench.run + 1)).is_empty(), "that was another start");
    for (used_mib, share_mib) in [(512, 512), (2048, 0)] {
        assert!(bench.step(Event::Weighed { run: bench.run, used_mib, share_mib }).is_empty());
    }
    let effects = bench.step(grown(bench.run));
    assert!(matches!(&effects[..], [Effect::Close(why), Effect::Terminate, ..] if why.contains("2048 MiB")));
    bench.exit();
    assert_eq!(*bench.machine.state(), State::BackingOff);
    assert!(bench.machine.why().unwrap().contains("its share of 512 MiB"));
    bench.retry();
    assert_eq!(bench.probe(Ok(())).first(), Some(&Effect::Open));
}

#[test]
fn a_stale_report_stops_the_replica() {
    let mut machine = Machine::new(READY_TIMEOUT, GRACE);
    machine.step(Event::Begin, 0);
    machine.step(Event::FileChecked(Ok(())), 0);
    machine.step(Event::Spawned { run: 1 }, 0);
    let effects = machine.step(Event::Reported(Answer::Stale), 0);
    assert!(effects.contains(&Effect::Terminate), "{effects:?}");
    let exited = Event::Exited { run: 1, status: "signal 15".to_owned(), tail: Vec::new() };
    assert_eq!(machine.step(exited, 10), [Effect::End]);
}

#[test]
fn only_the_newest_phase_is_reported_and_until_it_is_taken() {
    let mut machine = Machine::new(READY_TIMEOUT, GRACE);
    machine.step(Event::Begin, 1_000);
    machine.step(Event::FileChecked(Ok(())), 1_000);
    machine.step(Event::Spawned { run: 1 }, 1_000);
    let effects = machine.step(Event::Probed { run: 1, answer: Ok(()), work: Work::default() }, 1_100);
    assert!(!effects.iter().any(|e| matches!(e, Effect::Report(_))), "one report is under way");
    let effects = machine.step(Event::Reported(Answer::Again), 1_200);
    assert!(matches!(effects[..], [Effect::After(_, Timer::Report)]), "{effects:?}");
    let effects = machine.step(Event::Due(Timer::Report), 1_000 + RETRY_MS);
    assert_eq!(effects, [Effect::Report(Phase::Ready)]);
}

#[test]
fn a_phase_that_the_tables_forgot_is_reported_again() {
    let mut bench = Bench::new();
    bench.ready();
    bench.now += 10 * RETRY_MS;
    let effects = bench.step(Event::Seen(Phase::Assigned));
    assert_eq!(effects, [Effect::Report(Phase::Ready)]);
    assert_eq!(bench.step(Event::Seen(Phase::Ready)), []);
}

fn any_event() -> impl Strategy<Value = Event> {
    let run = 0u32..4;
    let answer = prop_oneof![Just(Ok(())), Just(Err("no".to_owned()))];
    prop_oneof![
        Just(Event::Begin),
        answer.clone().prop_map(Event::FileChecked),
        run.clone().prop_map(|run| Event::Spawned { run }),
        (run.clone(), any::<bool>()).prop_map(|(run, for_good)| Event::SpawnFailed {
            run,
            reason: "no".to_owned(),
            for_good
        }),
        (run.clone(), answer, 0u64..3).prop_map(|(run, answer, parts)| Event::Probed {
            run,
            answer,
            work: Work { answered: 0, parts }
        }),
        run.clone().prop_map(|run| Event::Weighed { run, used_mib: 2, share_mib: 1 }),
        run.clone().prop_map(|run| Event::Exited { run, status: "exit".to_owned(), tail: Vec::new() }),
        run.clone().prop_map(|run| Event::Due(Timer::Retry { run })),
        run.clone().prop_map(|run| Event::Due(Timer::ReadyTimeout { run })),
        run.prop_map(|run| Event::Due(Timer::Grace { run })),
        Just(Event::Due(Timer::Report)),
        Just(Event::Drained),
        prop_oneof![Just(Answer::Taken), Just(Answer::Again), Just(Answer::Stale)].prop_map(Event::Reported),
        Just(Event::Seen(Phase::Assigned)),
        Just(Event::Stop),
    ]
}

proptest! {
    #[test]
    fn whatever_comes_calls_pass_only_while_ready_and_nothing_follows_the_end(
        events in proptest::collection::vec((any_event(), 0u64..10_000), 0..80)
    ) {
        let mut machine = Machine::new(READY_TIMEOUT, GRACE);
        let (mut now, mut open, mut ended, mut spawns, mut reports) = (0, false, false, 0u32, 0i32);
        for (event, pause) in events {
            now += pause;
            let answered = matches!(event, Event::Reported(_));
            let effects = machine.step(event, now);
            prop_assert!(!ended || effects.is_empty());
            if answered && reports > 0 {
                reports -= 1;
            }
            for effect in effects {
                match effect {
                    Effect::Open => open = true,
                    Effect::Close(_) => open = false,
                    Effect::Spawn { run } => {
                        spawns += 1;
                        prop_assert_eq!(run, spawns, "each start has its own number");
                    }
                    Effect::Report(_) => {
                        reports += 1;
                        prop_assert!(reports <= 1, "one report at a time");
                    }
                    Effect::End => ended = true,
                    _ => {}
                }
            }
            prop_assert_eq!(open, *machine.state() == State::Ready);
        }
    }

    #[test]
    fn a_stop_always_comes_to_an_end(
        events in proptest::collection::vec(any_event(), 0..40),
        starts in proptest::collection::vec(0u8..3, 8)
    ) {
        let mut machine = Machine::new(READY_TIMEOUT, GRACE);
        let mut run = 0;
        let mut alive = false;
        let mut queue: std::collections::VecDeque<Event> = events.into_iter().filter(|e| !matches!(
            // these are answers of the world, which the rest of the test gives truthfully
            e, Event::Spawned { .. } | Event::SpawnFailed { .. } | Event::Exited { .. }
        )).collect();
        queue.push_back(Event::Stop);
        let mut steps = 0;
        while let Some(event) = queue.pop_front() {
            steps += 1;
            prop_assert!(steps < 1_000);
            for effect in machine.step(event, steps * 50) {
                match effect {
                    Effect::Spawn { run: next } => {
                        run = next;
                        let exited = Event::Exited { run, status: "exit code 1".to_owned(), tail: Vec::new() };
                        // It runs on; it ends at once; or its end is told before its start.
                        match starts.get(run as usize).copied().unwrap_or(0) {
                            0 => { alive = true; queue.push_front(Event::Spawned { run }); }
                            1 => { queue.push_front(exited); queue.push_front(Event::Spawned { run }); }
                            _ => { queue.push_front(Event::Spawned { run }); queue.push_front(exited); }
                        }
                    }
                    Effect::Drain => queue.push_back(Event::Drained),
                    Effect::Terminate | Effect::Kill if alive => {
                        alive = false;
                        queue.push_back(Event::Exited { run, status: "signal 15".to_owned(), tail: Vec::new() });
                    }
                    _ => {}
                }
            }
        }
        prop_assert_eq!(machine.state(), &State::Ended);
        prop_assert!(!alive && !machine.alive(), "no engine is left behind");
    }
}
