//! Backups and restores: what is kept, what is left, and that a restored cluster goes on numbering where the old one was.

use domain::config::{self, Expect};
use domain::key::Scope;
use domain::price::{self, Rates};
use domain::provider::{Kind, Provider};
use domain::restore::{self, Command as Step, Fate, RawRow, Reject as Refused};
use domain::secret::{Sealed, Secret, data_key_name};
use domain::table::LoadError;
use domain::{
    Command, Envelope, Incarnation, KeyId, ModelId, NodeId, Outcome, Reject, Reply, RequestId, State,
    deployment, key, model, node, provider, route, secret,
};

use crate::world::{World, a_spec};

const BACKUP: &str = "b-1";

fn pages(state: &State, bytes: usize) -> Vec<RawRow> {
    let (mut rows, mut after) = (Vec::new(), Vec::new());
    loop {
        let page = restore::page(state, &after, bytes);
        let Some(last) = page.last() else { return rows };
        after.clone_from(&last.key);
        rows.extend(page);
    }
}

fn a_key(name: &str, first: u8) -> Command {
    let mut hash = vec![0; 32];
    hash[0] = first;
    let scopes = vec![Scope::Admin];
    Command::Key(key::Command::Create { name: name.into(), hash, prefix: "sk".into(), scopes })
}

fn sealed() -> Sealed {
    Sealed { nonce: vec![0; 12], bytes: vec![1; 32], key: None }
}

/// A cluster in use: placed deployments, a provider with a key, two API keys, secrets of its own.
fn in_use() -> World {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0)]);
    world.apply(a_key("admin", 1)).unwrap();
    for name in ["ca", "gossip"] {
        let secret = Secret { name: name.into(), public: String::new(), sealed: sealed() };
        world.apply(Command::Secret(secret::Command::Put(secret))).unwrap();
    }
    for name in ["x", "y", "z"] {
        world.deploy(a_spec(name, 2));
    }
    world.place();
    world.report_all(deployment::Phase::Ready);
    let kind = Kind::OpenAi { url: "https://p/v1".into(), api_key: Some(sealed()) };
    let row = Provider { name: "p".into(), kind, models: vec!["gpt".into()], revision: 0, created_at: 0 };
    world.apply(Command::Provider(provider::Command::Put(row))).unwrap();
    world.apply(a_key("app", 2)).unwrap();
    let value = config::Command::Put { key: "k".into(), bytes: vec![0, 255], expect: Expect::Absent };
    world.apply(Command::Config(value)).unwrap();
    let rates = Rates { input: 1, output: 2 };
    world.apply(Command::Price(price::Command::Set { model: "gpt".into(), rates })).unwrap();
    let row = route::Route { name: "chat-best".into(), ..route::Route::default() };
    world.apply(Command::Route(route::Command::Put(Box::new(row)))).unwrap();
    world
}

/// A new cluster with one node and its first key.
fn fresh() -> (World, KeyId) {
    let mut world = World::new();
    world.apply(Command::Node(node::Command::Join(crate::world::a_node(9, "c", 0)))).unwrap();
    let Ok(Reply::Key(id)) = world.apply(a_key("first", 9)) else { panic!() };
    (world, id)
}

fn begin(old: &World, keep: KeyId, replace: bool) -> Command {
    let data_key = Secret { name: data_key_name("00"), public: String::new(), sealed: sealed() };
    Command::Restore(Step::Begin {
        backup: BACKUP.into(),
        base: restore::numbers(&old.state, old.index),
        keep,
        data_keys: vec![data_key],
        replace,
    })
}

fn rows(rows: &[RawRow]) -> Command {
    Command::Restore(Step::Rows { backup: BACKUP.into(), rows: rows.to_vec() })
}

fn end() -> Command {
    Command::Restore(Step::End { backup: BACKUP.into() })
}

fn row_refused(outcome: Outcome) -> String {
    match outcome {
        Err(Reject::Restore(Refused::Row { reason, .. })) => reason,
        other => panic!("{other:?}"),
    }
}

#[test]
fn pages_of_any_size_hold_the_same_rows_without_what_is_the_clusters_own() {
    let old = in_use();
    let all = pages(&old.state, usize::MAX);
    assert_eq!(pages(&old.state, 1), all);
    assert_eq!(pages(&old.state, 300), all);
    assert!(all.windows(2).all(|pair| pair[0].key < pair[1].key));
    let tables: Vec<u8> = all.iter().map(|row| row.key[0]).collect();
    assert_eq!(
        tables,
        [2, 3, 3, 3, 4, 5, 5, 12, 18, 20],
        "a model, deployments, a provider, keys, a value, a price, a route"
    );
}

#[test]
fn rows_that_older_programs_do_not_know_stay_out_until_every_node_does() {
    let old = in_use();
    let mut new = World::new();
    let version = domain::level::stamp("0", price::LEVEL - 1);
    let node = node::Node { version, ..crate::world::a_node(9, "c", 0) };
    new.apply(Command::Node(node::Command::Join(node))).unwrap();
    let Ok(Reply::Key(first)) = new.apply(a_key("first", 9)) else { panic!() };
    new.apply(begin(&old, first, false)).unwrap();
    let all = pages(&old.state, usize::MAX);
    let (prices, others): (Vec<RawRow>, Vec<RawRow>) =
        all.into_iter().filter(|row| row.key[0] != 20).partition(|row| row.key[0] == 18);
    new.apply(rows(&others)).unwrap();
    let known = price::LEVEL - 1;
    assert_eq!(new.apply(rows(&prices)), Err(Reject::TooNew { version: price::LEVEL, known }));
    // As an older program passes it on, which does not know what is in it.
    let stamped = Envelope { version: 2, ..Envelope::new(RequestId(77), rows(&prices)) };
    let reason = row_refused(new.state.apply(new.index + 1, &stamped, &mut Vec::new()));
    assert!(reason.contains("upgrade every node"), "{reason}");
    assert!(new.state.prices.is_empty());
}

#[test]
fn every_table_is_either_kept_or_left() {
    for table in 0..=u8::MAX {
        let known = State::default().load(&[table], &[]) != Err(LoadError::UnknownTable(table));
        assert_eq!(restore::fate(table).is_some(), known, "table {table}");
    }
    assert_eq!(restore::fate(1), Some(Fate::Left));
}

#[test]
fn a_restored_cluster_has_the_same_rows_and_goes_on_numbering_above_them() {
    let old = in_use();
    let all = pages(&old.state, usize::MAX);
    let (mut new, first) = fresh();
    new.apply(begin(&old, first, false)).unwrap();
    for row in &all {
        new.apply(rows(std::slice::from_ref(row))).unwrap();
    }
    new.apply(end()).unwrap();
    let kept = new.state.keys.rows().find(|k| k.name == "first").unwrap().id;
    assert!(kept.0 > restore::numbers(&old.state, old.index), "the first key made room");
    let restored: Vec<RawRow> = pages(&new.state, usize::MAX)
        .into_iter()
        .filter(|row| !row.key.ends_with(&kept.0.to_be_bytes()))
        .collect();
    assert_eq!(restored, all);
    assert!(new.state.deployments.rows().all(|d| d.replicas.is_empty() && d.wanted() == 2));
    assert_eq!(new.state.deployment_named("y").map(|d| d.id), old.state.deployment_named("y").map(|d| d.id));
    assert!(new.state.key_by_hash(&old.state.keys.rows().next().unwrap().hash).is_some());
    assert_eq!(new.state.providers_of("gpt").count(), 1);

    let id = new.deploy(a_spec("later", 1));
    assert!(old.state.deployments.iter().all(|(old, _)| id > *old));
    assert!(new.place() > 0);
    for deployment in new.state.deployments.rows() {
        assert!(deployment.replicas.iter().all(|replica| replica.epoch > deployment.generation));
    }

    // From its rows alone it is the same again.
    let mut loaded = State::default();
    for (key, value) in &new.rows {
        loaded.load(key, value).unwrap();
    }
    loaded.reindex();
    assert_eq!(restore::numbers(&loaded, new.index), restore::numbers(&new.state, new.index));
    assert_eq!(pages(&loaded, usize::MAX), pages(&new.state, usize::MAX));
}

#[test]
fn a_restore_that_broke_off_goes_on_and_repeated_rows_do_no_harm() {
    let old = in_use();
    let all = pages(&old.state, usize::MAX);
    let (mut new, first) = fresh();
    assert!(matches!(new.apply(rows(&all)), Err(Reject::Restore(Refused::NotBegun(_)))));
    new.apply(begin(&old, first, false)).unwrap();
    new.apply(rows(&all[..4])).unwrap();
    // The scheduler did not wait for the rest.
    assert!(new.place() > 0);
    new.apply(begin(&old, first, false)).unwrap();
    new.apply(rows(&all)).unwrap();
    assert!(new.state.deployments.rows().any(|d| !d.replicas.is_empty()), "what was placed stays");
    new.apply(end()).unwrap();
    new.apply(end()).expect("asked for twice");
    assert!(restore::under_way(&new.state).is_none());
    assert!(matches!(new.apply(rows(&all)), Err(Reject::Restore(Refused::NotBegun(_)))));
}

#[test]
fn a_cluster_in_use_is_refused_unless_it_is_to_be_replaced() {
    let old = in_use();
    let mut other = in_use();
    let keep = other.state.keys.rows().find(|k| k.name == "app").unwrap().id;
    let refused = other.apply(begin(&old, keep, false)).unwrap_err();
    assert!(refused.to_string().contains("3 deployments"), "{refused}");
    other.apply(begin(&old, keep, true)).unwrap();
    assert_eq!(
        (other.state.deployments.len(), other.state.providers.len(), other.state.keys.len()),
        (0, 0, 1)
    );
    assert!(other.state.secrets.contains(&"ca".to_owned()), "the cluster's own stay");
    let all = pages(&old.state, usize::MAX);
    other.apply(rows(&all)).unwrap();
    assert_eq!(pages(&other.state, usize::MAX), all, "the key that was kept is one of the backup's");
}

#[test]
fn another_restore_waits_for_the_first() {
    let old = in_use();
    let (mut new, first) = fresh();
    new.apply(begin(&old, first, false)).unwrap();
    let keep = new.state.keys.rows().next().unwrap().id;
    let Command::Restore(Step::Begin { base, data_keys, .. }) = begin(&old, keep, false) else { panic!() };
    let other = |replace| {
        Command::Restore(Step::Begin {
            backup: "b-2".into(),
            base,
            keep,
            data_keys: data_keys.clone(),
            replace,
        })
    };
    assert!(matches!(new.apply(other(false)), Err(Reject::Restore(Refused::Other(_)))));
    new.apply(other(true)).unwrap();
    assert_eq!(restore::under_way(&new.state).map(|r| r.backup.as_str()), Some("b-2"));
}

#[test]
fn what_its_own_command_would_refuse_is_refused_and_nothing_of_the_step_stays() {
    let old = in_use();
    let all = pages(&old.state, usize::MAX);
    let (mut new, first) = fresh();
    new.apply(begin(&old, first, false)).unwrap();
    let find = |table: u8| all.iter().find(|row| row.key[0] == table).unwrap().clone();
    // What is remembered of the request and the clock change with each.
    let tables = |world: &World| world.rows.iter().filter(|(key, _)| ![9, 10].contains(&key[0])).count();
    let before = tables(&new);
    assert!(row_refused(new.apply(rows(&[find(3)]))).contains("there is no model"));
    let moved = RawRow { key: b"\x02other".to_vec(), ..find(2) };
    assert!(row_refused(new.apply(rows(&[find(2), moved]))).contains("another one's id"));
    let nodes = RawRow { key: vec![1, 0, 0, 0, 0, 0, 0, 0, 1], value: vec![0x80] };
    assert!(row_refused(new.apply(rows(&[nodes]))).contains("no such table"));
    let garbage = RawRow { value: vec![0xc1], ..find(2) };
    assert!(row_refused(new.apply(rows(&[garbage]))).contains("unreadable"));
    let own = RawRow { key: b"\x07ca".to_vec(), value: old.rows[&b"\x07ca".to_vec()].clone() };
    assert!(row_refused(new.apply(rows(&[own]))).contains("cluster's own"));
    assert_eq!((tables(&new), new.state.models.len()), (before, 0));
    let taken = model::Model {
        id: ModelId::from("m"),
        name: "other".into(),
        description: String::new(),
        path: None,
        created_at: 0,
    };
    new.apply(Command::Model(model::Command::Put(taken))).unwrap();
    assert!(row_refused(new.apply(rows(&[find(2)]))).contains("registered"));
}

#[test]
fn a_survivor_buries_everyone_else_and_keeps_what_the_cluster_has() {
    let mut world = in_use();
    world.register(NodeId(1), Incarnation(2));
    let survive = node::Command::Survive { id: NodeId(1), others: vec![NodeId(7)] };
    world.apply(Command::Node(survive)).unwrap();
    let nodes: Vec<NodeId> = world.state.nodes.iter().map(|(id, _)| *id).collect();
    assert_eq!(nodes, [NodeId(1)]);
    for id in [2, 7] {
        assert!(world.state.gone.contains(&NodeId(id)));
        let back = Command::Node(node::Command::Join(crate::world::a_node(id, "a", 0)));
        assert!(matches!(world.apply(back), Err(Reject::Node(node::Reject::Unknown(_)))));
    }
    world.place();
    let replicas =
        world.state.deployments.rows().flat_map(|d| &d.replicas).filter(|r| r.node == NodeId(1)).count();
    assert_eq!(replicas, 6);
    let unknown = node::Command::Survive { id: NodeId(3), others: Vec::new() };
    assert!(matches!(world.apply(Command::Node(unknown)), Err(Reject::Node(node::Reject::Unknown(_)))));
}

#[test]
fn a_deployment_pinned_to_what_is_no_more_comes_back_and_waits_for_it() {
    let mut old = in_use();
    let mut spec = a_spec("pinned", 1);
    spec.policy.nodes = vec!["node2".into()];
    spec.policy.zones = vec!["b".into()];
    old.apply(Command::Deployment(deployment::Command::CreateWith(spec.clone()))).unwrap();
    let (mut new, first) = fresh();
    let refused = new.apply(Command::Deployment(deployment::Command::CreateWith(spec.clone())));
    assert!(matches!(refused, Err(Reject::Deployment(deployment::Reject::BadSpec { .. }))), "{refused:?}");
    new.apply(begin(&old, first, false)).unwrap();
    new.apply(rows(&pages(&old.state, usize::MAX))).unwrap();
    new.apply(end()).unwrap();
    assert_eq!(new.state.deployment_named("pinned").map(|d| &d.spec), Some(&spec));
    new.place();
    assert!(new.state.deployment_named("pinned").is_some_and(|d| d.replicas.is_empty()));
}
