//! Who is alive. tokio's time is simulated, so the seconds are exact.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use domain::{Health, Incarnation, Liveness, NodeId};
use tokio::time::Instant;
use wire::Network;
use wire::gossip::{Gossip, GossipConfig, GossipHandle, KEY_LEN, KeyRing};

use crate::world::{World, addr, dice, eventually};

struct Node {
    handle: GossipHandle,
    seen: Arc<Mutex<Liveness>>,
}

impl Node {
    fn sees(&self, node: u64) -> Health {
        self.seen.lock().unwrap().of(NodeId(node))
    }
}

fn ring(current: u8, numbers: &[u8]) -> KeyRing {
    KeyRing::new(current, numbers.iter().map(|number| (*number, [*number; KEY_LEN])).collect()).unwrap()
}

fn start(world: &Arc<World>, node: u64, life: u64, seeds: &[u64], keys: KeyRing) -> Node {
    let seen = Arc::new(Mutex::new(Liveness::default()));
    let (told, seeds) = (seen.clone(), seeds.iter().map(|seed| addr(*seed)).collect());
    let config = GossipConfig { node: NodeId(node), incarnation: Incarnation(life), addr: addr(node), seeds };
    let on_change = Arc::new(move |liveness| *told.lock().unwrap() = liveness);
    let handle = Gossip::start(config, world.node(node), dice(node * 1000 + life), keys, on_change);
    Node { handle, seen }
}

async fn cluster(world: &Arc<World>, count: u64) -> BTreeMap<u64, Node> {
    let nodes: BTreeMap<u64, Node> =
        (1..=count).map(|node| (node, start(world, node, 1, &[1], ring(1, &[1])))).collect();
    all_alive(&nodes).await;
    nodes
}

async fn all_alive(nodes: &BTreeMap<u64, Node>) {
    eventually("everyone sees everyone alive", || {
        nodes.values().all(|node| nodes.keys().all(|other| node.sees(*other) == Health::Alive))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn nodes_find_each_other_through_one_seed() {
    let world = World::new();
    let nodes = cluster(&world, 7).await;
    let seen = nodes[&3].seen.lock().unwrap().clone();
    assert_eq!(seen.nodes.len(), 7);
    assert_eq!(seen.nodes[&NodeId(5)], (Health::Alive, Incarnation(1)));
}

const SEEDS: u64 = 50;

/// How long it took until *all* others suspected a killed node, and until they gave it up; one of each per seed, sorted.
async fn detection(count: u64) -> [Vec<Duration>; 2] {
    let (mut suspected, mut downed) = (Vec::new(), Vec::new());
    for seed in 1..=SEEDS {
        let world = World::new();
        let mut nodes: BTreeMap<u64, Node> =
            (1..=count).map(|node| (node, start(&world, node, seed, &[1], ring(1, &[1])))).collect();
        all_alive(&nodes).await;
        tokio::time::sleep(Duration::from_millis(seed * 37)).await;
        world.crash(count);
        nodes.remove(&count).unwrap().handle.shutdown();
        let killed = Instant::now();
        let left: Vec<&Node> = nodes.values().collect();
        eventually("suspect", || left.iter().all(|node| node.sees(count) != Health::Alive)).await;
        suspected.push(killed.elapsed());
        eventually("down", || left.iter().all(|node| node.sees(count) == Health::Down)).await;
        downed.push(killed.elapsed());
        assert!(left.iter().all(|node| (1..count).all(|other| node.sees(other) == Health::Alive)));
    }
    suspected.sort();
    downed.sort();
    [suspected, downed]
}

/// Who probes whom is chance, so there is a tail: nine times in ten it is a second, and never more than two.
#[tokio::test(start_paused = true)]
async fn a_killed_node_is_suspect_in_about_a_second_and_down_in_about_three() {
    for count in [2, 3, 5, 9] {
        let bounds = [(1000, 2000), (3000, 3600)];
        for (times, (usual, longest)) in detection(count).await.iter().zip(bounds) {
            let (ninth, last) = (times[times.len() * 9 / 10], times[times.len() - 1]);
            assert!(ninth <= Duration::from_millis(usual), "{count} nodes: {ninth:?} in nine cases of ten");
            assert!(last <= Duration::from_millis(longest), "{count} nodes: {last:?} in one case");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_silent_for_three_seconds_comes_back_by_itself() {
    let world = World::new();
    let nodes = cluster(&world, 3).await;
    for other in [1, 2] {
        world.hold(3, other);
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_ne!(nodes[&1].sees(3), Health::Alive);
    for other in [1, 2] {
        world.release(3, other);
    }
    let healed = Instant::now();
    all_alive(&nodes).await;
    assert!(healed.elapsed() < Duration::from_secs(4), "took {:?}", healed.elapsed());
}

#[tokio::test(start_paused = true)]
async fn both_halves_of_a_partition_meet_again() {
    let world = World::new();
    let nodes = cluster(&world, 4).await;
    let across = [(1, 3), (1, 4), (2, 3), (2, 4)];
    across.iter().for_each(|(a, b)| world.hold(*a, *b));
    eventually("the halves gave each other up", || {
        across.iter().all(|(a, b)| nodes[a].sees(*b) == Health::Down && nodes[b].sees(*a) == Health::Down)
    })
    .await;
    assert_eq!(nodes[&1].sees(2), Health::Alive);
    across.iter().for_each(|(a, b)| world.release(*a, *b));
    all_alive(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn lost_datagrams_bring_nobody_down() {
    let world = World::new();
    let nodes = cluster(&world, 4).await;
    world.lose_every(10);
    for _ in 0..600 {
        tokio::time::sleep(Duration::from_millis(100)).await;
        for node in nodes.values() {
            assert!(nodes.keys().all(|other| node.sees(*other) != Health::Down));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_leaves_is_down_at_once_and_may_come_back_in_a_new_life() {
    let world = World::new();
    let mut nodes = cluster(&world, 3).await;
    let left = Instant::now();
    nodes.remove(&3).unwrap().handle.leave().await;
    eventually("gone", || nodes.values().all(|node| node.sees(3) == Health::Down)).await;
    assert!(left.elapsed() < Duration::from_secs(1), "took {:?}", left.elapsed());
    nodes.insert(3, start(&world, 3, 2, &[1], ring(1, &[1])));
    all_alive(&nodes).await;
    assert_eq!(nodes[&2].seen.lock().unwrap().nodes[&NodeId(3)], (Health::Alive, Incarnation(2)));
}

#[tokio::test(start_paused = true)]
async fn a_killed_node_that_restarts_at_once_is_seen_in_its_new_life() {
    let world = World::new();
    let mut nodes = cluster(&world, 3).await;
    nodes.remove(&3).unwrap().handle.shutdown();
    nodes.insert(3, start(&world, 3, 2, &[1], ring(1, &[1])));
    eventually("the new life is seen", || {
        [1, 2]
            .iter()
            .all(|node| nodes[node].seen.lock().unwrap().nodes[&NodeId(3)] == (Health::Alive, Incarnation(2)))
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn packets_under_foreign_keys_are_dropped_and_counted() {
    let world = World::new();
    let nodes = cluster(&world, 2).await;
    let stranger = start(&world, 9, 1, &[1], ring(1, &[1, 7]));
    stranger.handle.set_keys(ring(7, &[7]));
    let before = nodes[&1].handle.dropped();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(nodes[&1].handle.dropped() > before);
    assert_eq!((nodes[&1].sees(9), stranger.sees(1)), (Health::Down, Health::Down));
    world.node(8).send_datagram(&addr(1), &[1; 5000]).await.unwrap();
    all_alive(&nodes).await;
}

#[tokio::test(start_paused = true)]
async fn keys_are_replaced_while_nodes_talk() {
    let world = World::new();
    let nodes = cluster(&world, 3).await;
    for (current, numbers) in [(1, &[1, 2][..]), (2, &[1, 2]), (2, &[2])] {
        for node in nodes.values() {
            node.handle.set_keys(ring(current, numbers));
            tokio::time::sleep(Duration::from_millis(700)).await;
            for other in nodes.values() {
                assert!(nodes.keys().all(|third| other.sees(*third) == Health::Alive));
            }
        }
    }
    assert_eq!(nodes.values().map(|node| node.handle.dropped()).sum::<u64>(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_lone_node_calls_the_seeds_it_is_given_later() {
    let world = World::new();
    let one = start(&world, 1, 1, &[], ring(1, &[1]));
    let two = start(&world, 2, 1, &[], ring(1, &[1]));
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(one.sees(2), Health::Down);
    one.handle.set_seeds(vec![addr(1), addr(5), addr(2)]).await;
    eventually("they met", || one.sees(2) == Health::Alive && two.sees(1) == Health::Alive).await;
}
