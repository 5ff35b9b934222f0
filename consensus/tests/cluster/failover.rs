//! Leaders that die, are cut off, hand over; what was acknowledged stays.

use std::collections::BTreeSet;
use std::time::Duration;

use consensus::Error;
use consensus::mem::Crash;
use domain::NodeId;
use tokio::time::{Instant, sleep};

use crate::world::{World, create, missing, put};

#[tokio::test(start_paused = true)]
async fn writes_go_on_within_three_seconds_when_the_leader_dies() {
    for seed in 10..20 {
        let world = World::with_voters(seed, 3).await;
        let leader = world.leader().await.id();
        let other = world.follower().await;
        put(&other, 1).await;
        world.crash(leader.0, Crash::LosesAll).await;
        let start = Instant::now();
        put(&other, 2).await;
        let took = start.elapsed();
        assert!(took < Duration::from_millis(2_500), "seed {seed} took {took:?}");
        assert_eq!(world.converge().await, 2);
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_acknowledged_is_lost_or_doubled_while_leaders_die_under_load() {
    for seed in 20..26 {
        let mut world = World::with_voters(seed, 5).await;
        let mut acknowledged = BTreeSet::new();
        let mut number = 0;
        for round in 0..6 {
            let leader = world.leader().await.id();
            let writers: Vec<_> = (1..=5).filter(|id| *id != leader.0).map(|id| world.node(id)).collect();
            let load = tokio::spawn(async move {
                let mut done = Vec::new();
                for (turn, writer) in (0..40).zip(writers.iter().cycle()) {
                    if writer.propose(create(number + turn)).await.is_ok() {
                        done.push(number + turn);
                    }
                }
                done
            });
            sleep(Duration::from_millis(30 + seed * 7)).await;
            world.crash(leader.0, Crash::Tears(seed * 31 + round)).await;
            acknowledged.extend(load.await.unwrap());
            number += 40;
            world.start(leader.0).await.unwrap();
        }
        assert!(acknowledged.len() > 200, "seed {seed}: only {} acknowledged", acknowledged.len());
        world.converge().await;
        for id in 1..=5 {
            assert_eq!(
                missing(&world.seen(id), acknowledged.iter().copied()),
                Vec::<u64>::new(),
                "seed {seed}"
            );
        }
        assert!(world.seen(1).state.keys.len() <= number as usize);
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_without_a_majority_says_so_and_reads_nothing() {
    let world = World::with_voters(30, 3).await;
    let leader = world.leader().await;
    world.isolate(leader.id().0);
    assert!(matches!(leader.read().await, Err(Error::Unavailable { .. } | Error::Unknown { .. })));
    let answer = leader.propose(create(1)).await;
    assert!(matches!(answer, Err(Error::Unknown { .. } | Error::Unavailable { .. })), "{answer:?}");
    put(&world.follower_of_others(leader.id()).await, 2).await;
    world.heal();
    // The same command again: it may or may not have survived, and is there once in the end.
    put(&leader, 1).await;
    assert_eq!(world.converge().await, 2);
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_lost_leads_to_a_retry_and_to_one_effect() {
    let world = World::with_voters(31, 3).await;
    let follower = world.follower().await;
    world.net.lock().unwrap().deaf.insert(follower.id());
    let proposal = tokio::spawn({
        let follower = follower.clone();
        async move { follower.propose(create(1)).await }
    });
    sleep(Duration::from_secs(3)).await;
    world.net.lock().unwrap().deaf.clear();
    assert!(proposal.await.unwrap().unwrap().is_ok());
    assert_eq!(world.converge().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_cut_off_does_not_unseat_the_leader() {
    let world = World::with_voters(32, 3).await;
    let leader = world.leader().await;
    let term = leader.status().term;
    let lonely = world.follower().await;
    world.isolate(lonely.id().0);
    sleep(Duration::from_secs(20)).await;
    put(&leader, 1).await;
    world.heal();
    assert_eq!(world.converge().await, 1);
    sleep(Duration::from_secs(5)).await;
    assert_eq!(world.leader().await.id(), leader.id());
    assert_eq!(leader.status().term, term, "pre-vote keeps the term where it is");
}

#[tokio::test(start_paused = true)]
async fn leadership_is_handed_over_on_request() {
    let world = World::with_voters(33, 3).await;
    put(&world.node(1), 1).await;
    let leader = world.leader().await;
    let heir = world.follower().await;
    assert!(matches!(heir.transfer(leader.id()).await, Err(Error::NotLeader { .. })));
    assert!(matches!(leader.transfer(NodeId(99)).await, Err(Error::Refused { .. })));
    let start = Instant::now();
    leader.transfer(heir.id()).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(500), "{:?}", start.elapsed());
    assert_eq!(world.leader().await.id(), heir.id());
    put(&leader, 2).await;
    assert_eq!(world.converge().await, 2);
}

#[tokio::test(start_paused = true)]
async fn everyone_restarts_and_nothing_acknowledged_is_lost() {
    let mut world = World::with_voters(34, 3).await;
    for number in 0..100 {
        put(&world.node(number % 3 + 1), number).await;
    }
    for id in 1..=3 {
        world.crash(id, Crash::LosesAll).await;
    }
    for id in 1..=3 {
        world.start(id).await.unwrap();
    }
    put(&world.node(2), 100).await;
    assert_eq!(world.converge().await, 101);
}

#[test]
fn the_same_seed_gives_the_same_history() {
    fn history(seed: u64) -> Vec<String> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder.enable_time().start_paused(true);
        #[cfg(tokio_unstable)]
        builder.rng_seed(tokio::runtime::RngSeed::from_bytes(&seed.to_be_bytes()));
        builder.build().unwrap().block_on(async {
            let world = World::with_voters(seed, 3).await;
            for number in 0..20 {
                put(&world.node(number % 3 + 1), number).await;
            }
            let leader = world.leader().await.id();
            world.crash(leader.0, Crash::LosesAll).await;
            put(&world.follower().await, 99).await;
            std::mem::take(&mut world.net.lock().unwrap().trace)
        })
    }
    let (first, again, other) = (history(7), history(7), history(8));
    assert!(first.len() > 100);
    assert_eq!(first, again);
    assert_ne!(first, other);
}
