//! Leases, placement and Raft's membership, as the leader keeps them.

use std::time::Duration;

use domain::deployment::Phase;
use domain::node::{self, Standing};
use domain::{Command, NodeId};

use crate::cluster::ME;
use crate::engines::Manners;
use crate::world::{FILE, World, join, until};

const OTHER: NodeId = NodeId(2);

fn standing(world: &World, id: NodeId) -> Standing {
    world.cluster.view.load().state.nodes.get(&id).unwrap().standing
}

fn losses(world: &World) -> usize {
    world.cluster.proposed(|c| matches!(c, Command::Node(node::Command::Lose { .. })))
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_good_while_a_leader_renews_it_and_ends_without_one() {
    let world = World::start().await;
    let directory = world.directory();
    let membership = directory.membership();
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!membership.lease_valid());
    world.cluster.lead(Some(1));
    until("the lease is good", || membership.lease_valid()).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(membership.lease_valid());
    world.cluster.lead(None);
    tokio::time::sleep(Duration::from_millis(5_100)).await;
    assert!(!membership.lease_valid());
    assert_eq!(losses(&world), 0);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_renew_is_told_lost_once_and_its_replica_moves() {
    let world = World::start().await;
    join(&world.cluster, OTHER);
    let id = world.deploy("llama", FILE);
    world.assign(id, OTHER);
    world.cluster.lead(Some(1));
    until("the other node is lost", || standing(&world, OTHER) == Standing::Lost).await;
    world.until_ready(id).await;
    assert_eq!(world.row(id).replica(0).unwrap().node, ME);
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!((losses(&world), standing(&world, ME)), (1, Standing::Active));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_not_lead_moves_nothing() {
    let world = World::start().await;
    join(&world.cluster, OTHER);
    let id = world.deploy("llama", FILE);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(world.cluster.proposed(|_| true), 0);
    assert_eq!(world.phase(id), None);
    assert_eq!(world.directory().scheduler().observe().term, None);
}

#[tokio::test(start_paused = true)]
async fn what_no_node_can_run_is_shown_with_its_reason() {
    let world = World::start().await;
    world.cluster.lead(Some(1));
    world.machine.behave(Manners { missing: true, ..Manners::default() });
    let id = world.deploy("llama", FILE);
    until("it failed here", || world.row(id).refusals.contains_key(&ME)).await;
    until("that is shown", || !world.directory().scheduler().observe().unplaced.is_empty()).await;
    let unplaced = world.directory().scheduler().observe().unplaced;
    assert!(unplaced[0].contains("llama-server"), "{unplaced:?}");
    assert!(matches!(world.phase(id), Some(Phase::Failed { .. })));
}

#[tokio::test(start_paused = true)]
async fn without_a_quorum_the_leader_asks_again_but_does_not_flood() {
    let world = World::start().await;
    let id = world.deploy("llama", FILE);
    world.cluster.lead(Some(1));
    world.cluster.inner.lock().unwrap().headless = true;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let asked = world.cluster.proposed(|_| true);
    assert!((10..60).contains(&asked), "{asked}");
    world.cluster.inner.lock().unwrap().headless = false;
    world.until_ready(id).await;
}

#[tokio::test(start_paused = true)]
async fn the_leader_lets_new_nodes_learn_and_vote() {
    let world = World::start().await;
    let me =
        actors::ports::Member { node: ME, votes: true, addr: "10.0.0.1:7602".to_owned(), caught_up: true };
    world.cluster.inner.lock().unwrap().members = vec![me];
    world.cluster.lead(Some(1));
    join(&world.cluster, OTHER);
    join(&world.cluster, NodeId(3));
    let voters = || {
        let inner = world.cluster.inner.lock().unwrap();
        inner.members.iter().filter(|m| m.votes).count()
    };
    until("all three vote", || voters() == 3).await;
    let state = world.cluster.view.load().state.clone();
    for id in [ME, OTHER, NodeId(3)] {
        assert!(state.wraps.contains(&id), "{id} can open the secrets");
    }
    let recent = world.directory().membership().observe().recent;
    assert!(recent.iter().any(|step| step.contains("learns the log")), "{recent:?}");
}

#[tokio::test(start_paused = true)]
async fn a_step_of_rafts_membership_that_panics_is_taken_again() {
    let world = World::start().await;
    let me =
        actors::ports::Member { node: ME, votes: true, addr: "10.0.0.1:7602".to_owned(), caught_up: true };
    world.cluster.inner.lock().unwrap().members = vec![me];
    world.cluster.inner.lock().unwrap().broken_steps = 2;
    world.cluster.lead(Some(1));
    join(&world.cluster, OTHER);
    until("the other node learns", || world.cluster.inner.lock().unwrap().members.len() == 2).await;
    let recent = world.directory().membership().observe().recent;
    assert!(recent.iter().any(|step| step.contains("raft's membership is broken")), "{recent:?}");
}
