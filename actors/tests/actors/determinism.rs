//! The same story is told the same way each time, to the millisecond.

use std::time::Duration;

use domain::node::{self, Standing};
use domain::{Command, NodeId};
use tokio::time::Instant;

use crate::cluster::ME;
use crate::engines::Manners;
use crate::world::{FILE, World, join, until};

type Told = (Vec<(u128, String)>, Vec<Command>);

async fn story() -> Told {
    let start = Instant::now();
    let world = World::start().await;
    join(&world.cluster, NodeId(2));
    let manners = Manners { loads_for: Duration::from_millis(700), ..Manners::default() };
    world.machine.behave(Manners { dies_after: Some(Duration::from_secs(2)), ..manners });
    let id = world.deploy("llama", FILE);
    world.assign(id, NodeId(2));
    world.cluster.lead(Some(1));
    until("the other node is lost", || {
        world.cluster.view.load().state.nodes.get(&NodeId(2)).unwrap().standing == Standing::Lost
    })
    .await;
    world.until_failed(id).await;
    world.cluster.apply(Command::Node(node::Command::Leave { id: ME })).unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let proposed = world.cluster.inner.lock().unwrap().proposed.clone();
    (world.machine.record(start), proposed)
}

fn tell() -> Told {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(story())
}

#[test]
fn a_story_told_twice_is_the_same_story() {
    let first = tell();
    assert!(first.0.len() > 4 && first.1.len() > 5, "{first:?}");
    assert_eq!(first, tell());
}
