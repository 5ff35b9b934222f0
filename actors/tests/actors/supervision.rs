//! What fails is started again, and what keeps failing is shown.

use std::sync::Arc;
use std::time::Duration;

use actors::Settings;
use actors::root::Part;
use actors::supervision::Standing;

use crate::cluster::ME;
use crate::engines::Machine;
use crate::world::{FILE, World, until};

#[tokio::test(start_paused = true)]
async fn an_actor_that_fails_a_few_times_is_started_again() {
    let machine = Arc::new(Machine::default());
    machine.break_gpus(3);
    let world = World::start_on(machine, Settings::default()).await;
    let gpu = || world.tree.observe().root.parts.get(&Part::Gpu).cloned().unwrap_or_default();
    until("it runs again", || gpu().restarts == 3 && gpu().standing == Standing::Running).await;
    assert!(gpu().reason.is_some());
    assert_eq!(world.tree.observe().root.parts[&Part::Reconciler].restarts, 0);
}

#[tokio::test(start_paused = true)]
async fn an_actor_that_keeps_failing_is_shown_as_failed_and_tried_slowly() {
    let machine = Arc::new(Machine::default());
    machine.break_gpus(7);
    let world = World::start_on(machine, Settings::default()).await;
    let gpu = || world.tree.observe().root.parts.get(&Part::Gpu).cloned().unwrap_or_default();
    until("it failed", || gpu().standing == Standing::Failed).await;
    let restarts = gpu().restarts;
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!((gpu().standing, gpu().restarts), (Standing::Failed, restarts));
    until("it recovered", || gpu().standing == Standing::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_replica_whose_actor_fails_is_started_again() {
    let world = World::start().await;
    world.machine.break_replicas(2);
    let id = world.deploy("llama", FILE);
    world.assign(id, ME);
    world.until_ready(id).await;
    let children = world.directory().reconciler().observe().children;
    assert_eq!(children[&format!("replica/{id}/0")].restarts, 2);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_root_is_told() {
    let world = World::start().await;
    let id = world.deploy("llama", FILE);
    let soon = Duration::from_secs(60);
    assert!(tokio::time::timeout(soon, world.tree.ended()).await.is_err(), "all is well so far");
    // The replica fails, and with each draw of a pause its supervisor, up to the root.
    world.machine.break_replicas(1);
    world.cluster.inner.lock().unwrap().no_chance = true;
    world.assign(id, ME);
    let reason = tokio::time::timeout(soon, world.tree.ended()).await.unwrap();
    assert!(reason.contains("restart the node"), "{reason}");
    assert_eq!(world.tree.ended().await, reason, "who asks later is told as well");
}

#[tokio::test(start_paused = true)]
async fn work_that_panics_is_tried_again() {
    let world = World::start().await;
    world.cluster.lead(Some(1));
    world.cluster.inner.lock().unwrap().broken_proposals = 3;
    let id = world.deploy("llama", FILE);
    world.until_ready(id).await;
    let parts = world.tree.observe().root.parts;
    assert!(parts.values().all(|part| part.restarts == 0), "{parts:?}");
}
