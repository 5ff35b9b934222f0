//! What works without a majority: when, and that the documentation shows the same table.

use domain::decide::mode::{CONTACT_MAX_MS, Contact, DEGRADED, Mode};

const PAGE: &str = include_str!("../../../docs/operations.md");

#[test]
fn a_node_is_degraded_when_nobody_has_answered_for_longer_than_an_election_takes() {
    let mode = |age_ms| Mode::of(Contact { age_ms, ever: true });
    assert_eq!((mode(CONTACT_MAX_MS), mode(CONTACT_MAX_MS + 1)), (Mode::Normal, Mode::Degraded));
}

#[test]
fn the_documentation_shows_the_table() {
    let rows = DEGRADED.iter().map(|a| format!("| {} | {} | {} |\n", a.name, a.degree.name(), a.how));
    let table: String = rows.collect();
    assert!(PAGE.contains(&table), "docs/operations.md must have these rows:\n{table}");
}
