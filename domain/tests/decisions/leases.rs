//! Leases: nobody is given up before a whole lease has passed, and everybody is told once.

use domain::decide::lease::{LOSSES_PER_TICK_MAX, Leases, Verdict};
use domain::limits::LEASE_MS;
use domain::node::{Node, Standing};
use domain::{Incarnation, NodeId};

use crate::world::a_node;

#[test]
fn a_new_leader_waits_a_whole_lease_before_it_gives_anyone_up() {
    let mut leases = Leases::new(1_000);
    let nodes = [a_node(1, "a", 0)];
    assert!(leases.tick(nodes.iter(), 1_000 + LEASE_MS - 1).is_empty());
    assert_eq!(leases.tick(nodes.iter(), 1_000 + LEASE_MS), [Verdict::Lose(NodeId(1), Incarnation(1))]);
}

#[test]
fn a_node_that_renews_keeps_its_work_and_one_that_renews_again_returns() {
    let mut leases = Leases::new(0);
    let active = [a_node(1, "a", 0)];
    leases.renew(NodeId(1), Incarnation(1), 5_000);
    assert!(leases.tick(active.iter(), 10_999).is_empty());
    assert_eq!(leases.tick(active.iter(), 11_000).len(), 1);
    let lost = [Node { standing: Standing::Lost, ..a_node(1, "a", 0) }];
    assert!(leases.tick(lost.iter(), 11_100).is_empty(), "told once");
    leases.renew(NodeId(1), Incarnation(1), 12_000);
    assert_eq!(leases.tick(lost.iter(), 12_001), [Verdict::Return(NodeId(1))]);
}

#[test]
fn an_older_life_does_not_keep_the_lease_of_a_newer_one() {
    let mut leases = Leases::new(0);
    leases.renew(NodeId(1), Incarnation(0), 5_000);
    let node = [a_node(1, "a", 0)];
    assert_eq!(leases.tick(node.iter(), 11_000).len(), 1);
}

#[test]
fn a_bounded_number_is_given_up_at_once() {
    let nodes: Vec<_> = (1..=40).map(|i| a_node(i, "a", 0)).collect();
    assert_eq!(Leases::new(0).tick(nodes.iter(), LEASE_MS).len(), LOSSES_PER_TICK_MAX);
}

#[test]
fn a_node_that_joins_has_a_whole_lease_to_renew_for_the_first_time() {
    let mut leases = Leases::new(0);
    let first = a_node(1, "a", 0);
    leases.renew(NodeId(1), Incarnation(1), 99_000);
    assert!(leases.tick([&first].into_iter(), 100_000).is_empty());
    let both = [first, a_node(2, "b", 0)];
    leases.renew(NodeId(1), Incarnation(1), 100_500);
    assert!(leases.tick(both.iter(), 100_500).is_empty());
    leases.renew(NodeId(1), Incarnation(1), 106_000);
    assert!(leases.tick(both.iter(), 106_499).is_empty());
    assert_eq!(leases.tick(both.iter(), 106_500), [Verdict::Lose(NodeId(2), Incarnation(1))]);
}
