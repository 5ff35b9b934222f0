//! Nodes that come, go, move and lose their disks.

use std::collections::BTreeSet;

use consensus::Error;
use consensus::mem::Crash;
use domain::NodeId;

use crate::world::{World, put};

fn ids<const N: usize>(ids: [u64; N]) -> BTreeSet<NodeId> {
    ids.into_iter().map(NodeId).collect()
}

#[tokio::test(start_paused = true)]
async fn a_learner_follows_and_becomes_a_voter() {
    let mut world = World::with_voters(40, 3).await;
    put(&world.node(1), 1).await;
    let fourth = world.join(4).await;
    assert_eq!(world.converge().await, 1);
    assert_eq!(*world.seen(4).learners, ids([4]));
    put(&fourth, 2).await;
    let leader = world.leader().await;
    leader.set_voters(ids([1, 2, 3, 4])).await.unwrap();
    assert_eq!(leader.status().voters, ids([1, 2, 3, 4]));
    assert!(!leader.status().changing);
    assert_eq!(world.converge().await, 2);
}

#[tokio::test(start_paused = true)]
async fn the_leader_tells_who_is_behind_and_who_is_silent() {
    let world = World::with_voters(45, 3).await;
    put(&world.node(1), 1).await;
    world.converge().await;
    let leader = world.leader().await;
    let silent = world.follower().await.id();
    world.crash(silent.0, Crash::LosesAll).await;
    put(&leader, 2).await;
    world
        .until("it was silent for long", |_| {
            leader.status().heard_ms.get(&silent).is_some_and(|ms| *ms > 5_000)
        })
        .await;
    let status = leader.status();
    let lively = status.voters.iter().find(|id| **id != silent && **id != leader.id()).unwrap();
    assert!(status.heard_ms[lively] < 1_000, "{status:#?}");
    assert!(
        status.matched[lively] == status.last_log && status.matched[&silent] < status.last_log,
        "{status:#?}"
    );
    assert!(status.quorum_ms.unwrap() < 1_000);
}

#[tokio::test(start_paused = true)]
async fn a_wiped_voter_is_removed_and_comes_back_as_a_new_node() {
    let mut world = World::with_voters(41, 3).await;
    for number in 0..20 {
        put(&world.node(1), number).await;
    }
    let leader = world.leader().await;
    let victim = world.follower().await.id();
    world.crash(victim.0, Crash::LosesAll).await;
    world.members.remove(&victim);
    world.join(4).await;
    world.until("the new node has caught up", |w| w.seen(4).state.keys.len() == 20).await;
    let mut voters = leader.status().voters;
    voters.remove(&victim);
    voters.insert(NodeId(4));
    leader.set_voters(voters.clone()).await.unwrap();
    leader.remove(victim).await.unwrap();
    put(&world.node(4), 20).await;
    assert_eq!(world.converge().await, 21);
    assert_eq!(*world.seen(4).voters, voters);
    assert!(!world.seen(4).addrs.contains_key(&victim));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_removed_hands_over() {
    let world = World::with_voters(42, 3).await;
    put(&world.node(1), 1).await;
    let leader = world.leader().await;
    leader.remove(leader.id()).await.unwrap();
    world
        .until("another one leads", |w| {
            w.statuses().iter().any(|s| s.leader.is_some_and(|l| l != leader.id()))
        })
        .await;
    let other = world.follower_of_others(leader.id()).await;
    put(&other, 2).await;
    assert_eq!(other.status().voters.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn changes_that_make_no_sense_are_refused() {
    let world = World::with_voters(43, 3).await;
    let leader = world.leader().await;
    assert!(matches!(leader.set_voters(ids([1, 9])).await, Err(Error::Refused { .. })));
    assert!(matches!(leader.set_voters(ids([])).await, Err(Error::Refused { .. })));
    assert!(matches!(world.follower().await.set_voters(ids([1])).await, Err(Error::NotLeader { .. })));
    leader.remove(NodeId(77)).await.unwrap();
    leader.set_voters(ids([leader.id().0])).await.unwrap();
    assert!(matches!(leader.remove(leader.id()).await, Err(Error::Refused { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_node_tells_its_new_address_from_where_it_is() {
    let world = World::with_voters(44, 3).await;
    let follower = world.follower().await;
    let id = follower.id();
    follower.set_addr(id, "moved:1").await.unwrap();
    follower.set_addr(id, "moved:1").await.unwrap();
    world
        .until("everyone knows", |w| {
            (1..=3).all(|n| w.seen(n).addrs.get(&id).is_some_and(|a| a == "moved:1"))
        })
        .await;
    assert!(matches!(
        follower.set_addr(NodeId(9), "x:1").await,
        Err(Error::Refused { .. } | Error::Unavailable { .. })
    ));
    put(&follower, 1).await;
}
