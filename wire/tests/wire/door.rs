//! The contract of the doorway: it leans on details of the pinned `ractor_cluster`, so these must hold after every update.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::ports::{PeerError, PeerLink};
use bytes::Bytes;
use domain::NodeId;
use futures::FutureExt;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use wire::door::{BODY_BYTES_MAX, CALLS_PER_PEER_MAX, Door, DoorServices, Handler};
use wire::{Streams, dispatch};

use crate::world::{World, addr, dice, eventually};

const SECOND: Duration = Duration::from_secs(1);

fn handler<F>(handle: impl Fn(NodeId, Bytes) -> F + Send + Sync + 'static) -> Handler
where
    F: Future<Output = Result<Bytes, String>> + Send + 'static,
{
    Arc::new(move |from, body| handle(from, body).boxed())
}

fn services(me: u64) -> DoorServices {
    let echo = handler(move |from, body: Bytes| async move {
        Ok([format!("{me} heard {} say ", from.0).as_bytes(), &body].concat().into())
    });
    BTreeMap::from([
        ("echo", echo),
        ("len", handler(|_, body: Bytes| async move { Ok(body.len().to_string().into()) })),
        ("refuse", handler(|_, _| async { Err("not today".to_owned()) })),
        ("hang", handler(|_, _| std::future::pending())),
        ("huge", handler(|_, _| async { Ok(vec![0; BODY_BYTES_MAX + 1].into()) })),
    ])
}

struct Node {
    door: Arc<Door>,
    stop: CancellationToken,
}

async fn start_with(streams: Arc<Streams>, me: u64, peers: &[u64]) -> Node {
    let stop = CancellationToken::new();
    let (arrivals, _) = dispatch::start(streams.clone(), stop.clone());
    let door = Arc::new(Door::start(NodeId(me), streams, dice(me), services(me)).await.unwrap());
    door.set_peers(peers_of(peers));
    let serving = door.clone();
    tokio::spawn(stop.clone().run_until_cancelled_owned(async move { serving.serve(arrivals.door).await }));
    Node { door, stop }
}

fn peers_of(peers: &[u64]) -> BTreeMap<NodeId, String> {
    peers.iter().map(|peer| (NodeId(*peer), addr(*peer))).collect()
}

async fn start(world: &Arc<World>, me: u64, peers: &[u64]) -> Node {
    start_with(world.streams(me), me, peers).await
}

impl Node {
    async fn ask(&self, to: u64, topic: &'static str, body: impl Into<Bytes>) -> Result<Bytes, PeerError> {
        self.door.ask(NodeId(to), topic, body.into(), SECOND).await
    }
    async fn connected(&self, peer: u64) {
        eventually("connected", || self.door.connected().contains(&NodeId(peer))).await;
    }
    fn crash(self, world: &World, me: u64) {
        world.crash(me);
        self.stop.cancel();
        self.door.close();
    }
}

async fn pair(world: &Arc<World>) -> (Node, Node) {
    let (one, two) = (start(world, 1, &[2]).await, start(world, 2, &[1]).await);
    one.connected(2).await;
    two.connected(1).await;
    (one, two)
}

#[tokio::test(start_paused = true)]
async fn each_node_asks_each_other_and_itself() {
    let world = World::new();
    let mut nodes = Vec::new();
    for me in 1..=3 {
        nodes.push(start(&world, me, &[1, 2, 3]).await);
    }
    for (me, node) in (1..).zip(&nodes) {
        for to in 1..=3 {
            if to != me {
                node.connected(to).await;
            }
            let answer = node.ask(to, "echo", "hi").await;
            assert_eq!(answer.unwrap(), format!("{to} heard {me} say hi"));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_come_back_with_their_reason() {
    let world = World::new();
    let (one, _two) = pair(&world).await;
    for to in [1, 2] {
        let refused = one.ask(to, "refuse", "x").await;
        assert!(
            matches!(&refused, Err(PeerError::Refused { reason, .. }) if reason == "not today"),
            "{refused:?}"
        );
        let unknown = one.ask(to, "nothing", "x").await;
        assert!(matches!(&unknown, Err(PeerError::Refused { .. })), "{unknown:?}");
        let late = one.ask(to, "hang", "x").await;
        assert!(matches!(&late, Err(PeerError::Timeout(_))), "{late:?}");
    }
    assert!(matches!(one.ask(3, "echo", "x").await, Err(PeerError::Unreachable(NodeId(3)))));
}

#[tokio::test(start_paused = true)]
async fn the_largest_message_passes_and_a_larger_one_is_refused_without_harm() {
    let world = World::new();
    let (one, _two) = pair(&world).await;
    assert_eq!(one.ask(2, "len", vec![0; BODY_BYTES_MAX]).await.unwrap(), BODY_BYTES_MAX.to_string());
    assert!(matches!(one.ask(2, "len", vec![0; BODY_BYTES_MAX + 1]).await, Err(PeerError::Refused { .. })));
    assert!(matches!(one.ask(2, "huge", "").await, Err(PeerError::Refused { .. })));
    assert!(one.ask(2, "echo", "still there").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_restarts_is_found_again_by_itself() {
    let world = World::new();
    for crashed in [1, 2] {
        let (one, two) = pair(&world).await;
        let (gone, left) = if crashed == 1 { (one, two) } else { (two, one) };
        gone.crash(&world, crashed);
        let other = 3 - crashed;
        eventually("noticed", || left.door.connected().is_empty()).await;
        assert!(matches!(left.ask(crashed, "echo", "x").await, Err(PeerError::Unreachable(_))));
        let back = start(&world, crashed, &[other]).await;
        let restarted = Instant::now();
        left.connected(crashed).await;
        back.connected(other).await;
        assert!(restarted.elapsed() < 3 * SECOND, "took {:?}", restarted.elapsed());
        assert!(left.ask(crashed, "echo", "x").await.is_ok() && back.ask(other, "echo", "x").await.is_ok());
        left.crash(&world, other);
        back.crash(&world, crashed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_session_is_given_up_within_some_seconds_and_made_again() {
    let world = World::new();
    let (one, two) = pair(&world).await;
    world.hold(1, 2);
    let held = Instant::now();
    assert!(matches!(one.ask(2, "echo", "x").await, Err(PeerError::Timeout(_))));
    eventually("given up", || one.door.connected().is_empty() && two.door.connected().is_empty()).await;
    assert!(held.elapsed() < Duration::from_millis(3600), "took {:?}", held.elapsed());
    assert!(matches!(one.ask(2, "echo", "x").await, Err(PeerError::Unreachable(_))));
    world.release(1, 2);
    one.connected(2).await;
    two.connected(1).await;
    assert!(one.ask(2, "echo", "x").await.is_ok() && two.ask(1, "echo", "x").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn calls_and_bytes_under_way_are_bounded_even_when_askers_gave_up() {
    let world = World::new();
    let (one, _two) = pair(&world).await;
    let hanging: Vec<_> = (0..CALLS_PER_PEER_MAX)
        .map(|_| {
            let door = one.door.clone();
            tokio::spawn(async move { door.ask(NodeId(2), "hang", Bytes::new(), SECOND).await })
        })
        .collect();
    tokio::time::sleep(SECOND / 10).await;
    assert!(matches!(one.ask(2, "echo", "x").await, Err(PeerError::Busy(_))));
    for asked in hanging {
        assert!(matches!(asked.await.unwrap(), Err(PeerError::Timeout(_))));
    }
    tokio::time::sleep(2 * SECOND).await;
    assert!(one.ask(2, "echo", "x").await.is_ok(), "the next heartbeat frees what was given up");

    world.hold(1, 2);
    let mut sent = 0;
    let blocked = loop {
        let asked = one.door.ask(NodeId(2), "len", vec![0; 1 << 19].into(), SECOND / 100).await;
        match asked {
            Err(PeerError::Timeout(_)) => sent += 1,
            other => break other,
        }
    };
    assert!(matches!(blocked, Err(PeerError::Busy(_))), "{blocked:?}");
    assert_eq!(sent, 16, "8 MiB may wait for a peer that takes nothing");
}

#[tokio::test(start_paused = true)]
async fn a_removed_peer_is_cut_off_and_can_ask_no_more() {
    let world = World::new();
    let members = Arc::new(Mutex::new(vec![NodeId(1), NodeId(2)]));
    let asked = members.clone();
    let streams = Streams::new(world.node(1), Arc::new(move |node| asked.lock().unwrap().contains(&node)));
    let (one, two) = (start_with(streams.clone(), 1, &[2]).await, start(&world, 2, &[1]).await);
    two.connected(1).await;
    members.lock().unwrap().pop();
    let refused = two.ask(1, "echo", "x").await;
    assert!(matches!(refused, Err(PeerError::Refused { .. })), "{refused:?}");
    streams.close_strangers();
    one.door.set_peers(BTreeMap::new());
    eventually("cut off", || one.door.connected().is_empty() && two.door.connected().is_empty()).await;
    tokio::time::sleep(5 * SECOND).await;
    assert!(one.door.connected().is_empty() && two.door.connected().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_service_may_be_added_later_and_a_slow_one_delays_no_other() {
    let world = World::new();
    let (one, two) = pair(&world).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counting = count.clone();
    let counter = handler(move |_, _| {
        counting.fetch_add(1, Ordering::SeqCst);
        async { Ok(Bytes::new()) }
    });
    two.door.register("count", counter);
    let door = one.door.clone();
    let hanging = tokio::spawn(async move { door.ask(NodeId(2), "hang", Bytes::new(), 60 * SECOND).await });
    tokio::time::sleep(SECOND / 10).await;
    let before = Instant::now();
    one.ask(2, "count", "").await.unwrap();
    assert!(before.elapsed() < SECOND / 10 && !hanging.is_finished());
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_closed_door_ends_its_sessions() {
    let world = World::new();
    let (one, two) = pair(&world).await;
    one.door.close();
    eventually("noticed", || two.door.connected().is_empty() && one.door.connected().is_empty()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_askers_on_many_threads_each_get_their_own_answer() {
    let world = World::new();
    let (one, two) = pair(&world).await;
    let doors = [(1, 2, one.door.clone()), (2, 1, two.door.clone())];
    let asking = (0..100).flat_map(|asker| doors.clone().map(|(me, to, door)| (asker, me, to, door)));
    let asking = asking.map(|(asker, me, to, door)| {
        tokio::spawn(async move {
            for round in 0..20 {
                let body = format!("{asker}/{round}");
                let answer = door.ask(NodeId(to), "echo", body.clone().into(), 10 * SECOND).await;
                assert_eq!(answer.unwrap(), format!("{to} heard {me} say {body}"));
            }
        })
    });
    for asked in futures::future::join_all(asking).await {
        asked.unwrap();
    }
}
