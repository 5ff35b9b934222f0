//! What the reconciler starts and stops, and that it settles on what is wanted whatever happened before.

use std::collections::{BTreeMap, BTreeSet};

use domain::deployment::Phase;
use domain::{DeploymentId, ProviderName};
use proptest::prelude::*;

use super::machine::{Effect, Event, Item, Key, Machine, Version, Wanted};

fn replica(ordinal: u32) -> Key {
    Key::Replica(DeploymentId(7), ordinal)
}

fn provider() -> Key {
    Key::Provider(ProviderName::from("openai"))
}

fn wanted(items: &[(Key, u64)]) -> Wanted {
    let item = |key: &Key, version| {
        let phase = matches!(key, Key::Replica(..)).then_some((Phase::Assigned, 0));
        Item { version: Version(version, 0), phase }
    };
    items.iter().map(|(key, version)| (key.clone(), item(key, *version))).collect()
}

fn ended(key: Key, version: u64, failure: Option<&str>) -> Event {
    Event::Ended { key, version: Version(version, 0), failure: failure.map(str::to_owned), draw: 1 }
}

#[test]
fn a_new_epoch_starts_when_the_old_one_has_ended() {
    let mut machine = Machine::default();
    let first = machine.step(Event::Look(wanted(&[(replica(0), 10)])), 0);
    assert_eq!(first, [Effect::Start(replica(0), Version(10, 0))]);
    let second = machine.step(Event::Look(wanted(&[(replica(0), 20)])), 0);
    assert_eq!(second, [Effect::Stop(replica(0), Version(10, 0))]);
    assert_eq!(machine.step(Event::Look(wanted(&[(replica(0), 20)])), 0), []);
    let third = machine.step(ended(replica(0), 10, None), 0);
    assert_eq!(third, [Effect::Start(replica(0), Version(20, 0))]);
}

#[test]
fn a_changed_provider_is_replaced_at_once() {
    let mut machine = Machine::default();
    machine.step(Event::Look(wanted(&[(provider(), 1)])), 0);
    let effects = machine.step(Event::Look(wanted(&[(provider(), 2)])), 0);
    let expected = [Effect::Stop(provider(), Version(1, 0)), Effect::Start(provider(), Version(2, 0))];
    assert_eq!(effects, expected);
    assert_eq!(machine.step(ended(provider(), 1, None), 0), [], "the old one's end is no news");
}

#[test]
fn what_ended_by_itself_is_started_only_under_another_version() {
    let mut machine = Machine::default();
    machine.step(Event::Look(wanted(&[(replica(0), 10)])), 0);
    assert_eq!(machine.step(ended(replica(0), 10, None), 0), []);
    assert_eq!(machine.step(Event::Look(wanted(&[(replica(0), 10)])), 0), []);
    let effects = machine.step(Event::Look(wanted(&[(replica(0), 11)])), 0);
    assert_eq!(effects, [Effect::Start(replica(0), Version(11, 0))]);
}

#[test]
fn what_was_stopped_and_is_wanted_again_is_started_under_the_same_version() {
    let mut machine = Machine::default();
    machine.step(Event::Look(wanted(&[(replica(0), 10)])), 0);
    machine.step(Event::Look(wanted(&[])), 0);
    assert_eq!(machine.step(Event::Look(wanted(&[(replica(0), 10)])), 0), []);
    let effects = machine.step(ended(replica(0), 10, None), 0);
    assert_eq!(effects, [Effect::Start(replica(0), Version(10, 0))]);
}

#[test]
fn what_failed_is_started_after_a_pause() {
    let mut machine = Machine::default();
    machine.step(Event::Look(wanted(&[(replica(0), 10)])), 0);
    let effects = machine.step(ended(replica(0), 10, Some("panicked")), 0);
    assert!(matches!(effects[..], [Effect::After(..)]), "{effects:?}");
    let effects = machine.step(Event::Due { key: replica(0), version: Version(10, 0) }, 200);
    assert_eq!(effects[0], Effect::Start(replica(0), Version(10, 0)));
    assert_eq!(machine.records().next().unwrap().1.restarts, 1);
}

#[test]
fn a_replica_is_told_what_the_tables_show() {
    let mut machine = Machine::default();
    machine.step(Event::Look(wanted(&[(replica(0), 10)])), 0);
    let mut look = wanted(&[(replica(0), 10)]);
    look.get_mut(&replica(0)).unwrap().phase = Some((Phase::Ready, 5));
    let told = [Effect::Tell(replica(0), Version(10, 0), Phase::Ready)];
    assert_eq!(machine.step(Event::Look(look.clone()), 0), told);
    assert_eq!(machine.step(Event::Look(look), 0), []);
}

#[test]
fn a_phase_that_came_back_unseen_is_told_as_well() {
    let mut machine = Machine::default();
    machine.step(Event::Look(wanted(&[(replica(0), 10)])), 0);
    let mut look = wanted(&[(replica(0), 10)]);
    look.get_mut(&replica(0)).unwrap().phase = Some((Phase::Assigned, 5));
    let told = [Effect::Tell(replica(0), Version(10, 0), Phase::Assigned)];
    assert_eq!(machine.step(Event::Look(look), 0), told);
}

#[test]
fn it_is_quiet_when_everything_has_ended() {
    let mut machine = Machine::default();
    assert_eq!(Machine::default().step(Event::Quiesce, 0), [Effect::Quiet]);
    machine.step(Event::Look(wanted(&[(replica(0), 10), (replica(1), 11)])), 0);
    assert_eq!(machine.step(Event::Quiesce, 0).len(), 2);
    assert_eq!(machine.step(Event::Look(wanted(&[(replica(0), 10)])), 0), []);
    assert_eq!(machine.step(ended(replica(0), 10, None), 0), []);
    assert_eq!(machine.step(ended(replica(1), 11, None), 0), [Effect::Quiet]);
}

#[derive(Debug, Clone)]
enum Happens {
    Want(BTreeMap<u32, u64>),
    Fails(u32),
    Due,
    Ends,
}

fn happens() -> impl Strategy<Value = Happens> {
    prop_oneof![
        proptest::collection::btree_map(0u32..4, 1u64..4, 0..4).prop_map(Happens::Want),
        (0u32..4).prop_map(Happens::Fails),
        Just(Happens::Due),
        Just(Happens::Ends),
    ]
}

/// A world that does what the machine asks.
#[derive(Default)]
struct World {
    running: BTreeMap<Key, Version>,
    stopping: BTreeSet<Key>,
    due: Vec<(Key, Version)>,
}

impl World {
    fn obey(&mut self, effects: Vec<Effect>) -> Result<(), TestCaseError> {
        for effect in effects {
            match effect {
                Effect::Start(key, version) => {
                    let twice = self.running.insert(key, version);
                    prop_assert!(twice.is_none(), "never two at once under one key");
                }
                Effect::Stop(key, version) => {
                    prop_assert_eq!(self.running.get(&key), Some(&version));
                    self.stopping.insert(key);
                }
                Effect::After(_, key, version) => self.due.push((key, version)),
                Effect::Tell(..) | Effect::Quiet => {}
            }
        }
        Ok(())
    }
}

proptest! {
    #[test]
    fn whatever_happens_what_runs_becomes_what_is_wanted(story in proptest::collection::vec(happens(), 0..60)) {
        let (mut machine, mut world, mut now) = (Machine::default(), World::default(), 0);
        let mut last = Wanted::new();
        let settle = [Happens::Ends, Happens::Due, Happens::Ends, Happens::Due];
        for step in story.into_iter().chain(settle) {
            now += 10_000;
            let events: Vec<Event> = match step {
                Happens::Want(map) => {
                    let items: Vec<_> = map.into_iter().map(|(n, version)| (replica(n), version)).collect();
                    last = wanted(&items);
                    vec![Event::Look(last.clone())]
                }
                Happens::Fails(n) => match world.running.remove(&replica(n)) {
                    Some(version) => {
                        world.stopping.remove(&replica(n));
                        vec![ended(replica(n), version.0, Some("boom"))]
                    }
                    None => Vec::new(),
                },
                Happens::Due => std::mem::take(&mut world.due)
                    .into_iter()
                    .map(|(key, version)| Event::Due { key, version })
                    .collect(),
                Happens::Ends => std::mem::take(&mut world.stopping)
                    .into_iter()
                    .filter_map(|key| world.running.remove(&key).map(|v| ended(key, v.0, None)))
                    .collect(),
            };
            for event in events {
                let effects = machine.step(event, now);
                world.obey(effects)?;
            }
        }
        let runs: BTreeMap<_, _> = world.running.iter().map(|(k, v)| (k.clone(), *v)).collect();
        let wants: BTreeMap<_, _> = last.iter().map(|(k, item)| (k.clone(), item.version)).collect();
        prop_assert_eq!(runs, wants);
    }
}

#[test]
fn a_successor_runs_where_it_is_prepared_and_goes_on_when_it_takes_over() {
    use domain::deployment::{Command, Spec};
    use domain::{Envelope, ModelId, NodeId, Outcome, Reply, RequestId, View, model, node};

    let mut view = View::default();
    let apply = |view: &mut View, command| -> Outcome {
        view.applied += 1;
        let envelope = Envelope::new(RequestId(u128::from(view.applied)), command);
        view.state.apply(view.applied, &envelope, &mut Vec::new())
    };
    for id in [1, 2] {
        let row = crate::scheduler::a_node(id);
        apply(&mut view, domain::Command::Node(node::Command::Join(row))).unwrap();
    }
    let (id, name) = (ModelId::from("m"), String::new());
    let row = model::Model { id, name, description: String::new(), path: None, created_at: 0 };
    apply(&mut view, domain::Command::Model(model::Command::Put(row))).unwrap();
    let spec = Spec {
        name: "m".to_owned(),
        model: ModelId::from("m"),
        engine: "mock".to_owned(),
        replicas: 1,
        resources: Default::default(),
        env: Default::default(),
        args: Vec::new(),
        policy: Default::default(),
    };
    let step = |view: &mut View, command| apply(view, domain::Command::Deployment(command)).unwrap();
    let Reply::Deployment(id) = step(&mut view, Command::Create(spec)) else { panic!() };
    let (first, second) = (NodeId(1), NodeId(2));
    let assign = Command::Assign { id, ordinal: 0, was: None, node: first, gpus: vec![] };
    let Reply::Epoch(old) = step(&mut view, assign) else { panic!() };
    let prepare = Command::Prepare { id, ordinal: 0, was: old, node: second, gpus: vec![] };
    let Reply::Epoch(new) = step(&mut view, prepare) else { panic!() };
    let epochs = |view: &View, node| -> Vec<u64> {
        super::machine::wanted(view, node).values().map(|item| item.version.0).collect()
    };
    assert_eq!((epochs(&view, first), epochs(&view, second)), (vec![old], vec![new]));
    step(&mut view, Command::Report { id, ordinal: 0, epoch: new, phase: Phase::Ready });
    let before = super::machine::wanted(&view, second);
    step(&mut view, Command::Promote { id, ordinal: 0, successor: new });
    assert_eq!((epochs(&view, first), super::machine::wanted(&view, second)), (vec![], before));
}
