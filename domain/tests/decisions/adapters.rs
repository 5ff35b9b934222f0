//! Declared dialects: versions, ways back, and what is refused.

use std::collections::BTreeMap;

use domain::adapter::{self, Command as Change, LEVEL};
use domain::limits::{ADAPTER_LEN_MAX, ADAPTER_VERSIONS_MAX, ADAPTERS_MAX};
use domain::provider::{Api, Kind, Provider};
use domain::restore::{self, Fate, fate};
use domain::{Command, Outcome, Reject, Reply, provider};

use crate::world::World;

fn put(world: &mut World, name: &str, text: &str) -> Outcome {
    world.apply(Command::Adapter(Change::Put { name: name.into(), declaration: text.into() }))
}

fn rollback(world: &mut World, version: u32) -> Outcome {
    world.apply(Command::Adapter(Change::Rollback { name: "own".into(), version }))
}

fn remove(world: &mut World, name: &str) -> Outcome {
    world.apply(Command::Adapter(Change::Remove(name.into())))
}

fn spoken(world: &World) -> (u32, String) {
    let row = world.state.adapters.get(&"own".to_owned()).unwrap();
    let version = row.spoken().unwrap();
    (version.number, version.declaration.clone())
}

fn speaker(dialect: &str) -> Command {
    let api = Api {
        dialect: dialect.into(),
        url: "https://p".into(),
        api_key: None,
        options: BTreeMap::new(),
        own_names: BTreeMap::new(),
    };
    let (name, models) = ("p".into(), vec!["m".into()]);
    let row = Provider { name, kind: Kind::Api(Box::new(api)), models, revision: 0, created_at: 0 };
    Command::Provider(provider::Command::Put(row))
}

#[test]
fn the_last_declaration_is_spoken_until_an_older_one_is_wanted_again() {
    let mut world = World::with_nodes(&[("a", 0)]);
    assert_eq!(put(&mut world, "own", "{1}"), Ok(Reply::Revision(1)));
    assert_eq!(put(&mut world, "own", "{2}"), Ok(Reply::Revision(2)));
    assert_eq!(put(&mut world, "own", "{2}"), Ok(Reply::Revision(2)), "it is spoken already");
    assert_eq!(spoken(&world), (2, "{2}".into()));
    rollback(&mut world, 1).unwrap();
    assert_eq!(spoken(&world), (1, "{1}".into()));
    assert_eq!(put(&mut world, "own", "{3}"), Ok(Reply::Revision(3)), "numbers are not used again");
    let told = rollback(&mut world, 9).unwrap_err().to_string();
    assert!(told.contains("1, 2, 3"), "{told}");
    let texts: Vec<String> = world.state.events.rows().map(|event| event.text.clone()).collect();
    for text in ["own was put as version 2", "own is spoken in version 1 again"] {
        assert!(texts.iter().any(|told| told.contains(text)), "{texts:?}");
    }
}

#[test]
fn only_the_newest_versions_are_kept() {
    let mut world = World::with_nodes(&[("a", 0)]);
    for n in 1..=ADAPTER_VERSIONS_MAX + 5 {
        put(&mut world, "own", &n.to_string()).unwrap();
    }
    let row = world.state.adapters.get(&"own".to_owned()).unwrap();
    let numbers: Vec<u32> = row.versions.iter().map(|version| version.number).collect();
    assert_eq!(numbers, (6..=15).collect::<Vec<u32>>());
    assert!(matches!(
        rollback(&mut world, 5),
        Err(Reject::Adapter(adapter::Reject::NoVersion { version: 5, .. }))
    ));
}

#[test]
fn an_adapter_that_a_provider_speaks_stays() {
    let mut world = World::with_nodes(&[("a", 0)]);
    put(&mut world, "own", "{}").unwrap();
    world.apply(speaker("own")).unwrap();
    let (name, provider) = ("own".to_owned(), "p".into());
    assert_eq!(remove(&mut world, "own"), Err(Reject::Adapter(adapter::Reject::InUse { name, provider })));
    world.apply(speaker("gemini")).unwrap();
    remove(&mut world, "own").unwrap();
    assert_eq!(remove(&mut world, "own"), Err(Reject::Adapter(adapter::Reject::Unknown("own".into()))));
    assert!(rollback(&mut world, 1).is_err());
    assert!(world.state.adapters.is_empty());
}

#[test]
fn what_is_too_large_or_called_wrong_is_refused() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let large = "x".repeat(ADAPTER_LEN_MAX + 1);
    for (name, text, says) in [
        ("a b", "{}", "the name"),
        ("own", "", "the declaration"),
        ("own", large.as_str(), "the declaration"),
    ] {
        let told = put(&mut world, name, text).unwrap_err().to_string();
        assert!(told.contains(says), "{told}");
    }
    for n in 0..ADAPTERS_MAX {
        put(&mut world, &format!("a{n}"), "{}").unwrap();
    }
    assert_eq!(put(&mut world, "own", "{}"), Err(Reject::Adapter(adapter::Reject::TooMany(ADAPTERS_MAX))));
    put(&mut world, "a0", "{1}").unwrap();
}

#[test]
fn adapters_are_loaded_again_and_come_back_from_backups() {
    let mut old = World::with_nodes(&[("a", 0)]);
    put(&mut old, "own", "{1}").unwrap();
    put(&mut old, "own", "{2}").unwrap();
    rollback(&mut old, 1).unwrap();
    let mut again = domain::State::default();
    for (key, value) in &old.rows {
        again.load(key, value).unwrap();
    }
    assert_eq!(again.adapters, old.state.adapters);
    let row = restore::page(&old.state, &[], 1 << 20).pop().unwrap();
    assert_eq!((row.key[0], fate(19)), (19, Some(Fate::Kept("adapters"))));
    let step = restore::Command::Rows { backup: "b".into(), rows: vec![row] };
    assert_eq!(Command::Restore(step.clone()).level(), LEVEL, "older nodes know no such row");
    assert_eq!(Command::Adapter(Change::Remove("own".into())).level(), LEVEL);

    let mut new = World::with_nodes(&[("a", 0)]);
    let hash = vec![1; 32];
    let key = domain::key::Command::Create {
        name: "k".into(),
        hash,
        prefix: "sk".into(),
        scopes: vec![domain::key::Scope::Admin],
    };
    let Ok(Reply::Key(keep)) = new.apply(Command::Key(key)) else { panic!() };
    put(&mut new, "other", "{}").unwrap();
    let (backup, base) = ("b".to_owned(), 100);
    let begin = |replace| restore::Command::Begin {
        backup: backup.clone(),
        base,
        keep,
        data_keys: Vec::new(),
        replace,
    };
    let told = new.apply(Command::Restore(begin(false))).unwrap_err().to_string();
    assert!(told.contains("1 adapters"), "{told}");
    new.apply(Command::Restore(begin(true))).unwrap();
    new.apply(Command::Restore(step.clone())).unwrap();
    new.apply(Command::Restore(step)).unwrap();
    assert_eq!(new.state.adapters, old.state.adapters);
}
