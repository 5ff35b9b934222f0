//! The simulator keeps its first promise: a seed is a run. Two processes that run the same seed log the same lines.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sim::child::{Running, What};
use sim::choice::Choice;
use sim::recipe::Recipe;

fn replay(seed: u64, scenario: &str, trace: &Path) -> Output {
    Command::new(env!("CARGO_BIN_EXE_sim"))
        .args(["replay", "--seed", &seed.to_string(), "--scenario", scenario, "--trace"])
        .arg(trace)
        .output()
        .unwrap()
}

/// Compares the traces of two processes line by line; answers how many lines there were.
fn same_twice(seed: u64, scenario: &str) -> usize {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let traces = [1, 2].map(|n| folder.join(format!("{scenario}-{seed}-{n}")));
    for trace in &traces {
        let ran = replay(seed, scenario, trace);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
    }
    let [first, second] = traces.map(|trace| fs::read_to_string(trace).unwrap());
    for (number, (one, other)) in first.lines().zip(second.lines()).enumerate() {
        assert_eq!(one, other, "line {} of {scenario} under seed {seed}", number + 1);
    }
    assert_eq!(first.lines().count(), second.lines().count());
    first.lines().count()
}

#[test]
fn one_seed_twice_gives_the_same_trace_line_by_line() {
    assert!(same_twice(7, "swarm") > 500);
}

#[test]
fn a_named_scenario_twice_gives_the_same_trace_line_by_line() {
    assert!(same_twice(1, "leader_killed") > 500);
}

#[test]
fn a_run_kept_as_a_file_is_the_run_of_its_seed() {
    let seed = 3;
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("kept.json");
    Recipe::new(seed, sim::swarm::scenario(seed), None).write(&file).unwrap();
    let outcome = |what: &What<'_>| {
        let program = Path::new(env!("CARGO_BIN_EXE_sim"));
        Running::start(program, what).unwrap().wait().unwrap()
    };
    let choice = Choice { scenario: sim::swarm::NAME.to_owned(), nodes: None };
    let (named, kept) =
        (outcome(&What::Seed(seed, &choice)), outcome(&What::File(&file, &Recipe::read(&file).unwrap())));
    assert!(named.passed(), "{:?}", named.broken);
    assert_eq!((named.lines, named.hash), (kept.lines, kept.hash));
}

#[test]
fn a_scenario_that_does_not_exist_is_told_with_those_that_do() {
    let ran = replay(1, "no_such", Path::new("/dev/null"));
    assert!(!ran.status.success());
    let said = String::from_utf8_lossy(&ran.stderr).into_owned();
    assert!(said.contains("no_such") && said.contains("leader_killed"), "{said}");
}
