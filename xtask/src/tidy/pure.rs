//! Rule: the same input gives the same decision on every node and in every replay: no clock, no random number and no
//! order of a hash map in `domain` and in any `machine.rs`. `domain` and the actors' machines do nothing but decide:
//! they do not wait, log or touch the system either. (The state machine of consensus waits for its disk.)

use super::Finding;
use super::source::Source;

const RULE: &str = "pure";

/// What differs between two runs of the same input, and what to use instead.
const UNREPEATABLE: &[(&str, &str)] = &[
    ("Instant", "take the time as an argument"),
    ("SystemTime", "take the time as an argument"),
    ("UNIX_EPOCH", "take the time as an argument"),
    ("HashMap", "its order differs between runs: use BTreeMap or an imbl map that is ordered"),
    ("HashSet", "its order differs between runs: use BTreeSet or an imbl set that is ordered"),
    ("RandomState", "it is seeded by the system: use an ordered map"),
    ("rand::", "take the draw as an argument"),
    ("getrandom", "take the draw as an argument"),
];

/// What does something instead of deciding it.
const DOING: &[(&str, &str)] = &[
    ("tokio::", "return an effect and let the caller do it"),
    ("async", "return an effect and let the caller wait"),
    (".await", "return an effect and let the caller wait"),
    ("tracing::", "return the reason and let the caller log it"),
    ("log::", "return the reason and let the caller log it"),
    ("println!", "return the reason and let the caller log it"),
    ("eprintln!", "return the reason and let the caller log it"),
    ("std::fs", "return an effect and let the caller do it"),
    ("std::env", "take the value as an argument"),
    ("std::thread", "return an effect and let the caller do it"),
];

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let is_machine = source.stem() == "machine";
    let decides = source.path.starts_with("domain/src") || (is_machine && source.path.starts_with("actors"));
    let mut forbidden = Vec::new();
    if decides || is_machine {
        forbidden.extend(UNREPEATABLE);
    }
    if decides {
        forbidden.extend(DOING);
    }
    let mut findings = Vec::new();
    for (piece, instead) in forbidden {
        for index in source.matches(piece) {
            findings.push(source.at(index, RULE, format!("{piece} in code that only decides: {instead}")));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn a_decision_over_its_arguments_passes() {
        let text = "use std::collections::BTreeMap; fn decide(now: Millis, draw: u64, wait: Duration) {}";
        assert_eq!(findings("domain/src/placement.rs", text), 0);
    }

    #[test]
    fn clocks_hash_maps_and_random_numbers_do_not() {
        assert_eq!(
            findings("domain/src/a.rs", "use std::{time::Instant, collections::{HashMap, HashSet}};"),
            3
        );
        assert_eq!(findings("actors/src/gpu/machine.rs", "let draw = rand::random();"), 1);
        assert_eq!(findings("actors/src/gpu/machine.rs", "async fn step() {}"), 1);
    }

    #[test]
    fn a_state_machine_over_a_disk_may_wait_but_not_read_the_clock() {
        assert_eq!(findings("consensus/src/store/machine.rs", "async fn apply() { disk.write().await }"), 0);
        assert_eq!(findings("consensus/src/store/machine.rs", "let now = Instant::now();"), 1);
    }

    #[test]
    fn other_files_and_tests_may_use_them() {
        assert_eq!(findings("node/src/clock.rs", "use std::time::Instant;"), 0);
        assert_eq!(
            findings("domain/src/a.rs", "#[cfg(test)] mod tests { use std::collections::HashSet; }"),
            0
        );
    }
}
