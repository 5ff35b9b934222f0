//! Keys that are replaced: which step comes when, and that nothing is ever sealed under a key that is gone.

use domain::decide::rotation::{self as decide, Step, Wait};
use domain::provider::{Kind as Speaks, Provider};
use domain::rotation::{Command as Step_, Holding, Kind, Place, Reject as Refused, Resealed, Stage, pending};
use domain::secret::{Sealed, Secret, Wrap, data_key_name, data_keys};
use domain::{
    Command, Incarnation, NodeId, Outcome, Reject, State, key, node, provider, restore, rotation, secret,
};
use proptest::prelude::*;

use crate::world::{World, a_node};

fn rotate(kind: Kind) -> Command {
    Command::Rotation(Step_::Ask { kind, forget: Vec::new() })
}

fn sealed(mark: Option<&str>, nonce: u64) -> Sealed {
    let nonce = [nonce.to_be_bytes().to_vec(), vec![0; 4]].concat();
    Sealed { nonce, bytes: vec![1; 32], key: mark.map(str::to_owned) }
}

fn wrap(node: u64, mark: Option<&str>) -> Wrap {
    Wrap { node: NodeId(node), ephemeral: vec![0; 32], sealed: sealed(None, 0), key: mark.map(str::to_owned) }
}

fn grant(node: u64, mark: Option<&str>) -> Command {
    Command::Secret(secret::Command::Grant(wrap(node, mark)))
}

fn put_provider(name: &str, mark: Option<&str>, nonce: u64) -> Command {
    let kind = Speaks::OpenAi { url: "https://p/v1".into(), api_key: Some(sealed(mark, nonce)) };
    let models = vec![name.to_owned()];
    Command::Provider(provider::Command::Put(Provider {
        name: name.into(),
        kind,
        models,
        revision: 0,
        created_at: 0,
    }))
}

/// Three nodes, all of which hold the data key, the cluster's own secrets and a provider, from before keys had marks.
fn cluster() -> World {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
    for id in 1..=3 {
        world.apply(grant(id, None)).unwrap();
    }
    for name in ["ca", "gossip"] {
        let secret = Secret { name: name.into(), public: format!("{name} 1"), sealed: sealed(None, 1) };
        world.apply(Command::Secret(secret::Command::Put(secret))).unwrap();
    }
    world.apply(put_provider("p", None, 1)).unwrap();
    world
}

fn mark_of(state: &State) -> String {
    let row = state.rotation(Kind::Data);
    row.and_then(|row| row.current.clone()).unwrap_or_else(|| "k0".to_owned())
}

/// What whoever holds the data key would prepare for a step, with what it knows.
fn prepare(state: &State, step: &Step, fresh: u64) -> Command {
    let row = |kind: Kind| state.rotation(kind).cloned().unwrap();
    let mark = mark_of(state);
    let secret = |name: &str| Secret {
        name: name.to_owned(),
        public: format!("{name} {fresh}"),
        sealed: sealed(Some(&mark), fresh),
    };
    Command::Rotation(match step {
        Step::Begin(Kind::Data) => {
            let next = format!("k{fresh}");
            let kept = Secret {
                name: data_key_name(&mark),
                public: String::new(),
                sealed: sealed(Some(&next), fresh),
            };
            let wraps = state.wraps.iter().map(|(id, _)| wrap(id.0, Some(&next))).collect();
            let version = row(Kind::Data).version;
            Step_::Begin { kind: Kind::Data, version, from: mark, next, secrets: vec![kept], wraps }
        }
        Step::Begin(kind) => {
            let row = row(*kind);
            let from = row.current.unwrap_or_else(|| "1".to_owned());
            let name = if *kind == Kind::Gossip { "gossip" } else { "ca-next" };
            let (next, secrets) = (fresh.to_string(), vec![secret(name)]);
            Step_::Begin { kind: *kind, version: row.version, from, next, secrets, wraps: Vec::new() }
        }
        Step::Switch(kind) => {
            let secrets = if *kind == Kind::Authority { vec![secret("ca")] } else { Vec::new() };
            Step_::Switch { kind: *kind, version: row(*kind).version, secrets }
        }
        Step::End(kind) => {
            let secrets = if *kind == Kind::Gossip { vec![secret("gossip")] } else { Vec::new() };
            Step_::End { kind: *kind, version: row(*kind).version, secrets }
        }
        Step::Reseal(places) => {
            let there = |place: &Place| match place {
                Place::Secret(name) => state.secrets.get(name).map(|row| row.sealed.clone()),
                Place::Provider(name) => state.providers.get(name).and_then(|row| row.sealed().cloned()),
            };
            let resealed = |place: &Place| {
                let was = there(place)?.nonce;
                Some(Resealed { place: place.clone(), was, sealed: sealed(Some(&mark), fresh) })
            };
            let values = places.iter().filter_map(resealed).collect();
            Step_::Reseal { version: row(Kind::Data).version, values }
        }
    })
}

impl World {
    /// A node says that it has taken in all there is.
    fn holds(&mut self, node: u64) -> Outcome {
        let version = |kind| self.state.rotation(kind).map_or(0, |row| row.version);
        let holding = Holding {
            node: NodeId(node),
            gossip: version(Kind::Gossip),
            authority: version(Kind::Authority),
            certificate: None,
            renew: 0,
            renewed: 0,
        };
        self.apply(Command::Rotation(Step_::Hold(holding)))
    }

    /// The leader takes one step, if one can be taken.
    fn step(&mut self) -> Option<Step> {
        let step = decide::next(&self.state)?;
        let command = prepare(&self.state, &step, self.index + 10);
        self.apply(command).unwrap();
        Some(step)
    }

    fn rotate_all(&mut self) -> Vec<Step> {
        let mut steps = Vec::new();
        loop {
            for node in self.state.nodes.iter().map(|(id, _)| id.0).collect::<Vec<_>>() {
                self.holds(node).unwrap();
            }
            let Some(step) = self.step() else { return steps };
            steps.push(step);
            assert!(steps.len() < 50, "{steps:?}");
        }
    }
}

/// Whether whoever holds the present data key opens everything there is.
fn all_opens(state: &State) -> bool {
    let first = state.rotation(Kind::Data).and_then(|row| row.first.clone());
    let current = mark_of(state);
    let opens = |mark: &Option<String>| match mark.as_ref().or(first.as_ref()) {
        None => true,
        Some(mark) => *mark == current || data_keys(state).any(|kept| kept == mark),
    };
    let providers = state.providers.rows().filter_map(|row| row.sealed()).all(|sealed| opens(&sealed.key));
    let rotated = state.rotation(Kind::Data).is_some_and(|row| row.current.is_some());
    let wraps = state.wraps.rows().all(|wrap| !rotated || wrap.key.as_ref() == Some(&current));
    providers && wraps && state.secrets.rows().all(|row| opens(&row.sealed.key))
}

#[test]
fn a_new_data_key_is_used_at_once_and_the_old_one_goes_when_nothing_is_sealed_under_it() {
    let mut world = cluster();
    let revision = world.state.providers.get(&"p".into()).unwrap().revision;
    assert_eq!(decide::next(&world.state), None);
    world.apply(rotate(Kind::Data)).unwrap();
    world.apply(rotate(Kind::Data)).unwrap();
    assert_eq!(world.step(), Some(Step::Begin(Kind::Data)));
    assert!(all_opens(&world.state));
    assert_eq!(data_keys(&world.state).collect::<Vec<_>>(), ["k0"]);
    assert_eq!(pending(&world.state).count(), 3);
    assert!(matches!(world.step(), Some(Step::Reseal(places)) if places.len() == 3));
    assert_eq!(world.step(), Some(Step::End(Kind::Data)));
    assert_eq!((world.step(), data_keys(&world.state).count()), (None, 0));
    assert_eq!(world.state.providers.get(&"p".into()).unwrap().revision, revision, "connections stay");
    assert_eq!(world.state.rotation(Kind::Data).unwrap().stage, Stage::Idle);
}

#[test]
fn a_new_voter_is_never_left_with_the_old_data_key_alone() {
    let mut world = cluster();
    world.apply(Command::Node(node::Command::Join(a_node(4, "a", 0)))).unwrap();
    world.apply(rotate(Kind::Data)).unwrap();
    // Prepared before the grant and taken after it: the new voter would be left out.
    let begin = prepare(&world.state, &Step::Begin(Kind::Data), 9);
    world.apply(grant(4, None)).unwrap();
    assert!(matches!(world.apply(begin), Err(Reject::Rotation(Refused::Stale(Kind::Data)))));
    assert_eq!(world.step(), Some(Step::Begin(Kind::Data)));
    // Wrapped before the rotation and granted after it, by a leader of any level.
    for stale in [None, Some("k0")] {
        let refused = world.apply(grant(4, stale));
        assert!(matches!(refused, Err(Reject::Secret(secret::Reject::OldKey))), "{refused:?}");
    }
    let current = mark_of(&world.state);
    world.apply(grant(4, Some(&current))).unwrap();
    assert!(all_opens(&world.state));
}

#[test]
fn what_was_sealed_under_the_old_key_comes_in_while_that_is_kept_and_not_afterwards() {
    let mut world = cluster();
    world.apply(rotate(Kind::Data)).unwrap();
    world.step().unwrap();
    world.apply(put_provider("late", Some("k0"), 5)).unwrap();
    world.apply(put_provider("later", None, 6)).unwrap();
    assert!(matches!(world.step(), Some(Step::Reseal(places)) if places.len() == 5));
    assert_eq!(world.step(), Some(Step::End(Kind::Data)));
    for stale in [None, Some("k0"), Some("k7")] {
        let refused = world.apply(put_provider("p", stale, 7));
        assert!(matches!(refused, Err(Reject::Secret(secret::Reject::OldKey))), "{refused:?}");
    }
    assert!(all_opens(&world.state));
}

#[test]
fn a_value_that_was_changed_meanwhile_is_not_overwritten_by_its_former_self() {
    let mut world = cluster();
    world.apply(rotate(Kind::Data)).unwrap();
    world.step().unwrap();
    let step = decide::next(&world.state).unwrap();
    let reseal = prepare(&world.state, &step, 9);
    let current = mark_of(&world.state);
    world.apply(put_provider("p", Some(&current), 77)).unwrap();
    world.apply(reseal).unwrap();
    let row = world.state.providers.get(&"p".into()).unwrap().clone();
    assert_eq!(row.sealed().unwrap().nonce, sealed(None, 77).nonce);
}

#[test]
fn the_gossip_key_waits_for_nodes_that_are_there_and_for_no_others() {
    let mut world = cluster();
    world.lose(3);
    world.apply(rotate(Kind::Gossip)).unwrap();
    assert_eq!(world.step(), Some(Step::Begin(Kind::Gossip)));
    assert_eq!(decide::of(&world.state, Kind::Gossip), Err(Wait::Nodes(vec![NodeId(1), NodeId(2)])));
    world.holds(1).unwrap();
    assert_eq!((world.step(), world.holds(2).is_ok()), (None, true));
    assert_eq!(world.step(), Some(Step::Switch(Kind::Gossip)));
    assert_eq!(world.step(), None, "the old key is good until all use the new one");
    world.holds(1).unwrap();
    world.holds(2).unwrap();
    assert_eq!(world.step(), Some(Step::End(Kind::Gossip)));
}

#[test]
fn an_authority_waits_for_every_node_until_it_is_forgotten() {
    let mut world = cluster();
    world.lose(3);
    world.apply(rotate(Kind::Authority)).unwrap();
    world.step().unwrap();
    world.holds(1).unwrap();
    world.holds(2).unwrap();
    assert_eq!(decide::of(&world.state, Kind::Authority), Err(Wait::Nodes(vec![NodeId(3)])));
    assert_eq!(rotation::authorities(&world.state).len(), 2);
    let forget = Step_::Ask { kind: Kind::Authority, forget: vec![NodeId(3)] };
    world.apply(Command::Rotation(forget)).unwrap();
    assert_eq!(world.step(), Some(Step::Switch(Kind::Authority)));
    assert_eq!(rotation::authorities(&world.state).len(), 2, "the old one is trusted still");
    assert_eq!(world.step(), None);
    world.holds(1).unwrap();
    world.holds(2).unwrap();
    assert_eq!(world.step(), Some(Step::End(Kind::Authority)));
    assert_eq!(rotation::authorities(&world.state).len(), 1);
}

#[test]
fn a_newcomer_is_waited_for_even_by_a_step_that_was_decided_before_it_came() {
    let mut world = cluster();
    world.apply(rotate(Kind::Authority)).unwrap();
    world.step().unwrap();
    (1..=3).for_each(|node| drop(world.holds(node)));
    let switch = prepare(&world.state, &Step::Switch(Kind::Authority), 9);
    world.apply(Command::Node(node::Command::Join(a_node(4, "a", 0)))).unwrap();
    assert!(matches!(world.apply(switch), Err(Reject::Rotation(Refused::Stale(_)))));
}

#[test]
fn what_a_removed_node_knew_is_replaced_without_being_asked_for() {
    let mut world = cluster();
    world.lose(3);
    world.apply(Command::Node(node::Command::Remove { id: NodeId(3) })).unwrap();
    let kinds: Vec<Kind> = Kind::ALL
        .into_iter()
        .filter(|kind| world.state.rotation(*kind).is_some_and(|row| row.stage == Stage::Asked))
        .collect();
    assert_eq!(kinds, [Kind::Data, Kind::Gossip]);
    let steps = world.rotate_all();
    assert!(steps.contains(&Step::End(Kind::Data)) && steps.contains(&Step::End(Kind::Gossip)));
    // One that gives its vote away stays a member: that is for its operator to judge.
    world.apply(Command::Secret(secret::Command::Withdraw(NodeId(2)))).unwrap();
    assert!(world.state.rotation(Kind::Data).unwrap().due.is_some());
    assert_eq!(decide::next(&world.state), None);
    world.apply(rotate(Kind::Data)).unwrap();
    world.rotate_all();
    assert_eq!(world.state.rotation(Kind::Data).unwrap().due, None);
}

#[test]
fn a_key_is_replaced_once_more_when_a_node_goes_that_knew_the_new_one_already() {
    let mut world = cluster();
    for kind in [Kind::Gossip, Kind::Data] {
        world.apply(rotate(kind)).unwrap();
        assert_eq!(world.step(), Some(Step::Begin(kind)));
    }
    let known = [Kind::Data, Kind::Gossip].map(|kind| {
        let row = world.state.rotation(kind).unwrap();
        row.next.clone().or(row.current.clone())
    });
    world.lose(3);
    world.apply(Command::Node(node::Command::Remove { id: NodeId(3) })).unwrap();
    let steps = world.rotate_all();
    for (kind, known) in [Kind::Data, Kind::Gossip].into_iter().zip(known) {
        assert_eq!(steps.iter().filter(|step| **step == Step::End(kind)).count(), 2, "{kind:?}");
        let row = world.state.rotation(kind).unwrap();
        assert!(row.stage == Stage::Idle && row.again.is_none() && row.current != known, "{row:?}");
    }
    assert!(all_opens(&world.state));
}

#[test]
fn the_data_key_of_a_node_that_left_in_order_is_replaced_though_it_gave_its_wrap_back_first() {
    let mut world = cluster();
    world.apply(Command::Secret(secret::Command::Withdraw(NodeId(3)))).unwrap();
    assert_eq!(decide::next(&world.state), None, "it is a member still");
    world.lose(3);
    world.apply(Command::Node(node::Command::Remove { id: NodeId(3) })).unwrap();
    assert!(world.rotate_all().contains(&Step::End(Kind::Data)));
    let row = world.state.rotation(Kind::Data).unwrap();
    assert!(row.kept.is_empty() && row.due.is_none(), "{row:?}");
}

#[test]
fn a_restore_keeps_the_data_keys_it_needs() {
    let mut world = cluster();
    let create = key::Command::Create {
        name: "a".into(),
        hash: vec![1; 32],
        prefix: "sk".into(),
        scopes: vec![domain::key::Scope::Admin],
    };
    let Ok(domain::Reply::Key(keep)) = world.apply(Command::Key(create)) else { panic!() };
    world.apply(rotate(Kind::Data)).unwrap();
    world.step().unwrap();
    let begin = |mark: &str| {
        let name = data_key_name("b0");
        let old = Secret { name, public: String::new(), sealed: sealed(Some(mark), 3) };
        let (backup, data_keys) = ("b".to_owned(), vec![old]);
        Command::Restore(restore::Command::Begin { backup, base: 1, keep, data_keys, replace: true })
    };
    assert!(world.apply(begin("gone")).is_err());
    world.apply(begin("k0")).unwrap();
    while world.step().is_some() {}
    assert_eq!(decide::of(&world.state, Kind::Data), Err(Wait::Restore));
    let end = restore::Command::End { backup: "b".to_owned() };
    world.apply(Command::Restore(end)).unwrap();
    assert_eq!(world.rotate_all(), [Step::End(Kind::Data)]);
    assert_eq!(data_keys(&world.state).count(), 0);
}

proptest! {
    #[test]
    fn whatever_happens_meanwhile_everything_opens_and_rotations_end_with_one_key_of_each_kind(
        story in proptest::collection::vec((0u8..9, 1u64..7, 0usize..4), 0..60)
    ) {
        let mut world = cluster();
        // What somebody may still believe who was away for a while.
        let mut past: Vec<State> = vec![world.state.clone()];
        for (what, id, ago) in story {
            let believed = past[past.len().saturating_sub(ago + 1)].clone();
            let there = world.state.nodes.contains(&NodeId(id));
            let mark = mark_of(&believed);
            match what {
                0 => drop(world.apply(rotate(Kind::ALL[ago % 3]))),
                1 | 2 => if let Some(step) = decide::next(&believed) {
                    let command = prepare(&believed, &step, world.index + 10);
                    drop(world.apply(command));
                },
                3 => drop(world.holds(id)),
                4 => drop(world.apply(put_provider(&format!("p{id}"), Some(&mark), world.index + 100))),
                5 if there => drop(world.apply(grant(id, Some(&mark)))),
                6 => drop(world.apply(Command::Node(node::Command::Join(a_node(id + 10, "a", 0))))),
                7 if there => world.lose(id),
                8 if there => {
                    let incarnation = Incarnation(1);
                    drop(world.apply(Command::Node(node::Command::Lose { id: NodeId(id), incarnation })));
                    drop(world.apply(Command::Node(node::Command::Remove { id: NodeId(id) })));
                }
                _ => {}
            }
            prop_assert!(all_opens(&world.state));
            past.push(world.state.clone());
        }
        world.rotate_all();
        prop_assert!(all_opens(&world.state));
        prop_assert_eq!(pending(&world.state).count(), 0);
        prop_assert_eq!(data_keys(&world.state).count(), 0);
        for kind in Kind::ALL {
            prop_assert!(world.state.rotation(kind).is_none_or(|row| row.stage == Stage::Idle));
        }
        prop_assert_eq!(rotation::authorities(&world.state).len(), 1);
    }
}
