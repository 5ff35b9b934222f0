//! Logs that are thrown away and nodes that need a snapshot instead.

use std::time::Duration;

use consensus::Config;
use consensus::disk::Family;
use consensus::mem::Crash;
use tokio::time::sleep;

use crate::world::{World, missing, put};

fn often(config: &mut Config) {
    config.snapshot_every = 50;
    config.keep_log = 10;
}

async fn fill(world: &World, numbers: std::ops::Range<u64>) {
    let node = world.leader().await;
    for number in numbers {
        put(&node, number).await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_log_is_thrown_away_with_a_margin_and_the_node_restarts_without_it() {
    let mut world = World::tuned(50, 1, often).await;
    fill(&world, 0..300).await;
    world.until("the log was purged", |w| w.statuses()[0].purged > 200).await;
    let status = &world.statuses()[0];
    assert!(status.last_log - status.purged >= 10);
    assert!(world.members[&domain::NodeId(1)].platter.dump(Family::Log).len() <= 100);
    world.crash(1, Crash::LosesAll).await;
    world.start(1).await.unwrap();
    assert_eq!(world.converge().await, 300);
    put(&world.node(1), 300).await;
}

#[tokio::test(start_paused = true)]
async fn a_learner_that_is_far_behind_gets_a_snapshot() {
    let mut world = World::tuned(51, 3, often).await;
    fill(&world, 0..300).await;
    world.until("the log was purged", |w| w.statuses().iter().all(|s| s.purged > 200)).await;
    let before = world.net.lock().unwrap().snapshots;
    world.join(4).await;
    assert_eq!(world.converge().await, 300);
    assert!(world.net.lock().unwrap().snapshots > before);
    // What came with it counts: a command sent again is recognised there as well.
    assert_eq!(missing(&world.seen(4), 0..300), Vec::<u64>::new());
    world.crash(4, Crash::LosesAll).await;
    world.start(4).await.unwrap();
    assert_eq!(world.converge().await, 300);
    put(&world.node(4), 5).await;
    assert_eq!(world.converge().await, 300);
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_was_away_for_long_gets_a_snapshot() {
    let mut world = World::tuned(52, 3, often).await;
    let away = world.follower().await.id();
    fill(&world, 0..20).await;
    world.crash(away.0, Crash::Tears(3)).await;
    fill(&world, 20..400).await;
    world.start(away.0).await.unwrap();
    assert_eq!(world.converge().await, 400);
}

#[tokio::test(start_paused = true)]
async fn a_crash_in_the_middle_of_a_snapshot_leaves_the_old_tables() {
    for draw in 0..8 {
        let mut world = World::tuned(53, 3, often).await;
        let away = world.follower().await.id();
        fill(&world, 0..30).await;
        world.until("it has them", |w| w.seen(away.0).state.keys.len() == 30).await;
        world.crash(away.0, Crash::KeepsAll).await;
        fill(&world, 30..400).await;
        world.net.lock().unwrap().snapshot_chunks_max = Some(1);
        world.start(away.0).await.unwrap();
        let before = world.net.lock().unwrap().snapshots;
        world.until("a snapshot broke off", |w| w.net.lock().unwrap().snapshots > before + 1).await;
        sleep(Duration::from_millis(5)).await;
        world.crash(away.0, Crash::Tears(draw)).await;
        world.isolate(away.0);
        world.start(away.0).await.unwrap();
        assert_eq!(world.seen(away.0).state.keys.len(), 30, "neither half nor new");
        world.net.lock().unwrap().snapshot_chunks_max = None;
        world.heal();
        assert_eq!(world.converge().await, 400);
    }
}
