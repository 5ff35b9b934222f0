//! Limits of keys as a node keeps them: what it is granted it uses without asking, and gives back when it stops.

use std::sync::Arc;
use std::time::Duration;

use actors::limiter::{Admitted, Reason};
use domain::decide::limiter::{Need, Used};
use domain::key::{self, Key, Scope};
use domain::{Command, Reply};

use crate::world::{World, until};

/// A node, and a key that has this limit.
async fn limited(limit: &str) -> (World, Arc<Key>) {
    let world = World::start().await;
    world.cluster.lead(Some(1));
    let limits = vec![limit.parse().unwrap()];
    let create = key::Command::create("k".into(), vec![7; 32], "sk".into(), vec![Scope::Inference], limits);
    let Ok(Reply::Key(id)) = world.cluster.apply(Command::Key(create)) else { panic!("it was made") };
    let key = world.cluster.truth().state.keys.get(&id).cloned().unwrap();
    (world, key)
}

fn refills(world: &World) -> usize {
    world.cluster.proposed(|command| matches!(command, Command::Limit(_)))
}

fn given(world: &World) -> u64 {
    world.cluster.truth().state.limit_counters.rows().map(|counter| counter.given).sum()
}

#[tokio::test(start_paused = true)]
async fn what_a_node_was_granted_it_uses_without_asking_and_gives_back_when_it_stops() {
    let (world, key) = limited("10000req/31d").await;
    let limiter = world.tree.limiter();
    for _ in 0..20 {
        let Admitted { reservation, .. } = limiter.admit(&key, Need::default()).await.unwrap();
        reservation.settle(Used::default());
    }
    assert_eq!(refills(&world), 1);
    assert!(given(&world) > 20 && limiter.leased().units[0] > 0);
    let cluster = world.cluster.clone();
    world.tree.shutdown().await;
    let state = cluster.truth().state;
    assert!(state.limit_leases.is_empty());
    assert_eq!(state.limit_counters.rows().map(|counter| counter.given).sum::<u64>(), 20);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_rests_gives_back_what_it_has_and_forgets_the_key() {
    let (world, key) = limited("10000req/31d").await;
    let limiter = world.tree.limiter();
    limiter.admit(&key, Need::default()).await.unwrap().reservation.cancel();
    until("nothing is held", || given(&world) == 0 && limiter.leased().keys == 0).await;
    let asked = refills(&world);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(refills(&world), asked, "a key that is not used costs nothing");
}

#[tokio::test(start_paused = true)]
async fn without_a_leader_a_call_waits_for_an_election_and_no_longer() {
    let (world, key) = limited("1req/31d").await;
    world.cluster.inner.lock().unwrap().headless = true;
    let limiter = world.tree.limiter();
    let began = tokio::time::Instant::now();
    let refusal = limiter.admit(&key, Need::default()).await.err().unwrap();
    assert_eq!(refusal.reason, Reason::NotGranted("no leader".to_owned()));
    assert!((2_000..2_100).contains(&began.elapsed().as_millis()), "{:?}", began.elapsed());
    assert!(refills(&world) <= 12, "{} commands", refills(&world));
    let began = tokio::time::Instant::now();
    assert!(limiter.admit(&key, Need::default()).await.is_err());
    assert!(began.elapsed().as_millis() <= 100, "the next one is refused soon: {:?}", began.elapsed());
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.cluster.inner.lock().unwrap().headless = false;
    limiter.admit(&key, Need::default()).await.unwrap().reservation.settle(Used::default());
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_panics_is_made_again() {
    let (world, key) = limited("10req/31d").await;
    world.cluster.inner.lock().unwrap().broken_proposals = 2;
    let admitted = world.tree.limiter().admit(&key, Need::default()).await;
    assert!(admitted.is_ok());
}
