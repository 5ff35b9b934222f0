//! Configuration values: revisions, conditions, bounds.

use domain::config::{Command, Expect, Reject};
use domain::limits::{CONFIG_KEY_LEN_MAX, CONFIG_VALUE_LEN_MAX};
use domain::{Command as Change, Outcome, Reject as Refusal, Reply};

use crate::world::World;

fn put(world: &mut World, key: &str, value: &str, expect: Expect) -> Outcome {
    let (key, bytes) = (key.to_owned(), value.as_bytes().to_vec());
    world.apply(Change::Config(Command::Put { key, bytes, expect }))
}

fn delete(world: &mut World, key: &str, expect: Expect) -> Outcome {
    world.apply(Change::Config(Command::Delete { key: key.to_owned(), expect }))
}

#[test]
fn a_change_is_made_only_on_what_was_expected() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let Ok(Reply::Revision(first)) = put(&mut world, "a/b", "1", Expect::Absent) else { panic!() };
    let changed = |found| Err(Refusal::Config(Reject::Changed { key: "a/b".into(), found }));
    assert_eq!(put(&mut world, "a/b", "2", Expect::Absent), changed(first));
    assert_eq!(put(&mut world, "a/b", "2", Expect::Revision(first + 9)), changed(first));
    let Ok(Reply::Revision(second)) = put(&mut world, "a/b", "2", Expect::Revision(first)) else { panic!() };
    assert!(second > first);
    assert_eq!(world.state.config.get(&"a/b".to_owned()).unwrap().bytes, b"2");
    assert_eq!(delete(&mut world, "a/b", Expect::Revision(first)), changed(second));
    assert_eq!(delete(&mut world, "a/b", Expect::Present), Ok(Reply::Done));
    assert_eq!(
        delete(&mut world, "a/b", Expect::Anything),
        Err(Refusal::Config(Reject::Unknown("a/b".into())))
    );
    assert_eq!(put(&mut world, "a/b", "3", Expect::Present), changed(0));
}

#[test]
fn keys_and_values_have_bounds_that_are_named() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let mut said = |key: &str, value: &str| {
        put(&mut world, key, value, Expect::Anything).map_err(|reject| reject.to_string())
    };
    for key in ["", "a\nb", &"k".repeat(CONFIG_KEY_LEN_MAX + 1)] {
        assert!(said(key, "v").unwrap_err().contains("512 bytes"));
    }
    assert!(said("k", &"v".repeat(CONFIG_VALUE_LEN_MAX + 1)).unwrap_err().contains("131073"));
    assert!(said(&"k".repeat(CONFIG_KEY_LEN_MAX), &"v".repeat(CONFIG_VALUE_LEN_MAX)).is_ok());
}
