//! Tables: idempotence, refusals that change nothing, and rows that read back to the same state.

use domain::deployment::Phase;
use domain::key::Scope;
use domain::secret::{Sealed, Wrap};
use domain::{
    Command, Incarnation, NodeId, Reject, RequestId, State, TokenId, deployment, key, node, secret, token,
};
use proptest::prelude::*;

use crate::world::{World, a_node, a_spec};

#[test]
fn a_retry_gets_the_first_outcome_and_changes_nothing() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let create = Command::Deployment(deployment::Command::Create(a_spec("x", 1)));
    let first = world.apply_as(RequestId(99), create.clone());
    assert!(first.is_ok());
    assert_eq!(world.apply_as(RequestId(99), create.clone()), first);
    assert_eq!(world.state.deployments.len(), 1);
    assert!(matches!(
        world.apply_as(RequestId(100), create),
        Err(Reject::Deployment(deployment::Reject::NameTaken { .. }))
    ));
}

#[test]
fn a_key_stands_for_one_request_and_all_its_steps() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let create = |name: &str| Command::Deployment(deployment::Command::Create(a_spec(name, 1)));
    let first = world.apply_as(RequestId::of_key(7, 1, 1), create("x"));
    assert!(first.is_ok());
    assert!(world.apply_as(RequestId::of_key(7, 1, 2), create("y")).is_ok(), "another step");
    for other in [2, 3] {
        assert_eq!(world.apply_as(RequestId::of_key(7, other, 1), create("z")), Err(Reject::KeyReused));
    }
    assert_eq!(
        world.apply_as(RequestId::of_key(7, 1, 1), create("x")),
        first,
        "it still stands for the first"
    );
    assert!(world.apply_as(RequestId::of_key(8, 2, 1), create("z")).is_ok(), "another key");
    assert_eq!(world.state.deployments.len(), 3);
}

#[test]
fn time_never_goes_back_and_old_request_ids_are_forgotten() {
    let mut world = World::with_nodes(&[("a", 0)]);
    world.now = 5_000;
    world.deploy(a_spec("x", 1));
    world.now = 4_000;
    world.deploy(a_spec("y", 1));
    assert_eq!(world.state.clock(), 5_000);
    let old = RequestId(u128::from(world.index));
    assert!(world.state.outcome(&old).is_some());
    world.now += domain::limits::REQUEST_AGE_MAX_MS + 10_000;
    world.deploy(a_spec("z", 1));
    assert!(world.state.outcome(&old).is_none());
}

#[test]
fn a_name_is_taken_until_its_node_is_lost_and_the_old_id_never_returns() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let namesake = node::Node { name: "node1".into(), ..a_node(7, "a", 0) };
    let join = Command::Node(node::Command::Join(namesake));
    assert!(matches!(world.apply(join.clone()), Err(Reject::Node(node::Reject::NameTaken { .. }))));
    world.lose(1);
    world.apply(join).unwrap();
    assert!(!world.state.nodes.contains(&NodeId(1)) && world.state.nodes.contains(&NodeId(7)));
    assert!(world.state.gone.contains(&NodeId(1)));
    let back = Command::Node(node::Command::Join(a_node(1, "a", 0)));
    assert!(matches!(world.apply(back), Err(Reject::Node(node::Reject::Unknown(_)))));
}

#[test]
fn a_report_under_an_old_epoch_is_refused() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    let id = world.deploy(a_spec("x", 1));
    world.place();
    let old = world.state.deployments.get(&id).unwrap().replicas[0].clone();
    world.lose(old.node.0);
    world.place();
    let late = deployment::Command::Report { id, ordinal: 0, epoch: old.epoch, phase: Phase::Ready };
    assert!(matches!(
        world.apply(Command::Deployment(late)),
        Err(Reject::Deployment(deployment::Reject::Stale { .. }))
    ));
    let stale =
        deployment::Command::Assign { id, ordinal: 0, was: Some(old.epoch), node: old.node, gpus: vec![] };
    assert!(world.apply(Command::Deployment(stale)).is_err());
}

#[test]
fn a_node_that_starts_again_starts_its_replicas_again() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let id = world.deploy(a_spec("x", 1));
    world.place();
    world.report_all(Phase::Ready);
    world.register(NodeId(1), Incarnation(2));
    assert_eq!(world.state.deployments.get(&id).unwrap().replicas[0].phase, Phase::Assigned);
    let stale = Command::Node(node::Command::Lose { id: NodeId(1), incarnation: Incarnation(1) });
    assert!(matches!(world.apply(stale), Err(Reject::Node(node::Reject::Stale(_)))));
}

#[test]
fn a_token_counts_its_uses_and_expires() {
    let mut world = World::new();
    let (id, hash) = (TokenId(5), vec![1; 32]);
    let create = token::Command::Create { id, hash: hash.clone(), lifetime_ms: 1_000, uses: 1 };
    world.apply(Command::Token(create)).unwrap();
    let admit = |n: u64, hash: &[u8]| {
        Command::Node(node::Command::Admit { node: a_node(n, "a", 0), token: id, hash: hash.to_vec() })
    };
    let wrong = world.apply(admit(1, &[2; 32]));
    assert!(matches!(wrong, Err(Reject::Token(token::Reject::Unknown(_)))));
    assert!(world.state.nodes.is_empty());
    world.apply(admit(1, &hash)).unwrap();
    world.apply(admit(1, &hash)).expect("it asks again since it did not hear the answer");
    assert!(matches!(world.apply(admit(2, &hash)), Err(Reject::Token(token::Reject::UsedUp(_)))));
    world.now += 2_000;
    assert!(matches!(world.apply(admit(2, &hash)), Err(Reject::Token(token::Reject::Expired(_)))));
}

#[test]
fn a_newcomer_whose_name_is_taken_does_not_use_up_its_token() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let (token, hash) = (TokenId(5), vec![1; 32]);
    let create = token::Command::Create { id: token, hash: hash.clone(), lifetime_ms: 1_000, uses: 1 };
    world.apply(Command::Token(create)).unwrap();
    let namesake = node::Node { name: "node1".into(), ..a_node(7, "a", 0) };
    let admit = node::Command::Admit { node: namesake, token, hash };
    assert!(matches!(world.apply(Command::Node(admit)), Err(Reject::Node(node::Reject::NameTaken { .. }))));
    assert_eq!(world.state.tokens.get(&token).unwrap().uses_left, 1);
}

#[test]
fn nobody_takes_over_the_id_of_another_node() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let (token, hash) = (TokenId(5), vec![1; 32]);
    let create = token::Command::Create { id: token, hash: hash.clone(), lifetime_ms: 1_000, uses: 9 };
    world.apply(Command::Token(create)).unwrap();
    for thief in [
        node::Node { seal_public: vec![9; 32], ..a_node(1, "a", 0) },
        node::Node { cert_fingerprint: vec![9; 32], ..a_node(1, "a", 0) },
    ] {
        let admit = node::Command::Admit { node: thief, token, hash: hash.clone() };
        assert!(matches!(world.apply(Command::Node(admit)), Err(Reject::Node(node::Reject::IdTaken(_)))));
    }
    assert_eq!(world.state.tokens.get(&token).unwrap().uses_left, 9);
}

#[test]
fn who_keeps_the_data_key_is_not_removed_while_it_takes_part() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
    let remove = |id| Command::Node(node::Command::Remove { id: NodeId(id) });
    let grant = |world: &mut World, id| {
        let sealed = Sealed { nonce: vec![0; 12], bytes: vec![0; 48], key: None };
        let wrap = Wrap { node: NodeId(id), ephemeral: vec![0; 32], sealed, key: None };
        world.apply(Command::Secret(secret::Command::Grant(wrap))).unwrap();
    };
    grant(&mut world, 1);
    world.lose(1);
    assert!(matches!(world.apply(remove(1)), Err(Reject::Node(node::Reject::LastKeeper(_)))));
    grant(&mut world, 2);
    assert!(matches!(world.apply(remove(2)), Err(Reject::Node(node::Reject::InUse(_)))));
    world.apply(remove(1)).unwrap();
    world.apply(remove(3)).unwrap();
}

#[test]
fn a_spec_that_would_bloat_every_snapshot_is_refused() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let spec = domain::deployment::Spec { args: vec!["x".repeat(70_000)], ..a_spec("x", 1) };
    let refused = world.apply(Command::Deployment(deployment::Command::Create(spec)));
    assert!(refused.unwrap_err().to_string().contains("70000 bytes"));
}

#[test]
fn the_last_admin_key_cannot_be_revoked() {
    let mut world = World::new();
    let create = |name: &str, n: u8, scope| {
        let (name, prefix) = (name.to_owned(), "sk".to_owned());
        Command::Key(key::Command::Create { name, hash: vec![n; 32], prefix, scopes: vec![scope] })
    };
    world.apply(create("root", 1, Scope::Admin)).unwrap();
    world.apply(create("app", 2, Scope::Inference)).unwrap();
    let root = world.state.key_by_hash(&[1; 32]).unwrap().id;
    let app = world.state.key_by_hash(&[2; 32]).unwrap().id;
    assert!(world.apply(Command::Key(key::Command::Revoke(root))).is_err());
    world.apply(Command::Key(key::Command::Revoke(app))).unwrap();
    assert!(world.state.key_by_hash(&[2; 32]).is_none());
}

fn reload(world: &World) -> State {
    let mut state = State::default();
    for (key, value) in &world.rows {
        state.load(key, value).unwrap();
    }
    state.reindex();
    state
}

proptest! {
    #[test]
    fn the_rows_written_read_back_to_the_same_state(steps in proptest::collection::vec((0..8u8, 0..4u64), 1..60)) {
        let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
        for (what, which) in steps {
            world.now += 100;
            let id = world.state.deployments.iter().nth(which as usize).map(|(id, _)| *id);
            match (what, id) {
                (0, _) => drop(world.apply(Command::Deployment(deployment::Command::Create(a_spec(&format!("d{which}"), 2))))),
                (1, Some(id)) => drop(world.apply(Command::Deployment(deployment::Command::Delete(id)))),
                (2, Some(id)) => drop(world.apply(Command::Deployment(deployment::Command::Scale { id, replicas: 3 }))),
                (3, _) => { world.place(); }
                (4, _) => world.report_all(Phase::Ready),
                (5, _) => world.lose(which % 3 + 1),
                (6, _) => drop(world.apply(Command::Node(node::Command::Return { id: NodeId(which % 3 + 1) }))),
                _ => {}
            }
        }
        let again = reload(&world);
        let shape = |s: &State| format!("{:?} {:?} {:?} {:?}", s.nodes, s.deployments, s.models, s.clock());
        prop_assert_eq!(shape(&again), shape(&world.state));
        for n in 0..4 {
            let name = format!("d{n}");
            prop_assert_eq!(again.deployment_named(&name), world.state.deployment_named(&name));
        }
        for id in 1..=u128::from(world.index) {
            prop_assert_eq!(again.outcome(&RequestId(id)), world.state.outcome(&RequestId(id)));
        }
    }
}
