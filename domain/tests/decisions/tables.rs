//! Tables: idempotence, refusals that change nothing, and rows that read back to the same state.

use domain::deployment::Phase;
use domain::key::Scope;
use domain::{Command, Incarnation, NodeId, Reject, RequestId, State, TokenId, deployment, key, node, token};
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
    let node = a_node(1, "a", 0);
    world
        .apply(Command::Node(node::Command::Register {
            id: node.id,
            incarnation: Incarnation(2),
            zone: node.zone,
            cluster_addr: node.cluster_addr,
            http_addr: node.http_addr,
            capacity: node.capacity,
            version: node.version,
        }))
        .unwrap();
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
    let using = |hash: &[u8]| Command::Token(token::Command::Use { id, hash: hash.to_vec() });
    let wrong = world.apply(using(&[2; 32]));
    assert!(matches!(wrong, Err(Reject::Token(token::Reject::Unknown(_)))));
    world.apply(using(&hash)).unwrap();
    assert!(matches!(world.apply(using(&hash)), Err(Reject::Token(token::Reject::UsedUp(_)))));
    world.now += 2_000;
    assert!(matches!(world.apply(using(&hash)), Err(Reject::Token(token::Reject::Expired(_)))));
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
