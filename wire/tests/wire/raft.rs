//! Calls of the log and snapshots.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use consensus::{Kind, Link, LinkError, Peer};
use domain::NodeId;
use futures::StreamExt;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use wire::raft::{CALL_BYTES_MAX, Chunks, RaftClient, RaftService, serve_bulk, serve_calls, serve_raft};
use wire::{Streams, dispatch};

use crate::world::{World, addr, eventually};

const SECOND: Duration = Duration::from_secs(1);

/// Says back who asked what, after it was let.
struct Echo {
    permits: Semaphore,
    installed: Mutex<Vec<Result<usize, ()>>>,
}

impl Echo {
    fn new() -> Arc<Self> {
        Arc::new(Self { permits: Semaphore::new(Semaphore::MAX_PERMITS), installed: Mutex::default() })
    }
}

#[async_trait]
impl RaftService for Echo {
    async fn handle(&self, from: NodeId, kind: Kind, body: Bytes) -> Result<Bytes, String> {
        match &body[..] {
            b"no" => Err("not now".into()),
            b"hang" => std::future::pending().await,
            _ => Ok(format!("{from} {} {}", kind.name(), body.len()).into()),
        }
    }
    async fn install(&self, from: NodeId, meta: Bytes, mut chunks: Chunks) -> Result<Bytes, String> {
        let mut len = 0;
        loop {
            self.permits.acquire().await.unwrap().forget();
            match chunks.next().await {
                Some(Ok(chunk)) => len += chunk.len(),
                Some(Err(error)) => {
                    self.installed.lock().unwrap().push(Err(()));
                    return Err(error.to_string());
                }
                None => break,
            }
        }
        self.installed.lock().unwrap().push(Ok(len));
        Ok(format!("{from} {} {len}", meta.len()).into())
    }
}

/// Takes a second for every answer.
struct Slow;

#[async_trait]
impl RaftService for Slow {
    async fn handle(&self, _: NodeId, _: Kind, _: Bytes) -> Result<Bytes, String> {
        tokio::time::sleep(SECOND).await;
        Ok(Bytes::from_static(b"late"))
    }
    async fn install(&self, _: NodeId, _: Bytes, _: Chunks) -> Result<Bytes, String> {
        Err("not here".into())
    }
}

fn serve(streams: Arc<Streams>, service: Arc<Echo>) -> CancellationToken {
    let stop = CancellationToken::new();
    let (arrivals, _) = dispatch::start(streams.clone(), stop.clone());
    let is_member: wire::IsMember = Arc::new(move |node| streams.is_member(node));
    tokio::spawn(serve_calls(arrivals.calls, service.clone(), is_member.clone(), stop.clone()));
    tokio::spawn(serve_raft(arrivals.raft, service.clone(), is_member.clone(), stop.clone()));
    tokio::spawn(serve_bulk(arrivals.bulk, service, is_member, stop.clone()));
    stop
}

fn peer(node: u64) -> Peer {
    Peer { id: NodeId(node), addr: addr(node) }
}

#[tokio::test(start_paused = true)]
async fn a_call_tells_who_its_stream_proves_and_brings_the_answer() {
    let world = World::new();
    serve(world.streams(1), Echo::new());
    let client = RaftClient::new(world.streams(2));
    let answer = client.call(peer(1), Kind::Append, Bytes::from_static(b"four"), SECOND).await;
    assert_eq!(answer.unwrap(), format!("{} append 4", NodeId(2)));
    let big = client.call(peer(1), Kind::Append, Bytes::from(vec![7; 20 << 20]), SECOND).await;
    assert_eq!(big.unwrap(), format!("{} append {}", NodeId(2), 20 << 20));
    let refused = client.call(peer(1), Kind::Vote, Bytes::from_static(b"no"), SECOND).await;
    assert_eq!(refused, Err(LinkError::Refused("not now".into())));
    let too_big = Bytes::from(vec![0; CALL_BYTES_MAX + 1]);
    let refused = client.call(peer(1), Kind::Append, too_big, SECOND).await;
    assert!(matches!(refused, Err(LinkError::Refused(_))), "{refused:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_of_an_older_version_is_called_as_it_knows_it() {
    let world = World::new();
    serve(world.streams(1), Echo::new());
    world.age(1);
    let client = RaftClient::new(world.streams(2));
    for body in ["four", "again"] {
        let answer = client.call(peer(1), Kind::Append, Bytes::from(body), SECOND).await;
        assert_eq!(answer.unwrap(), format!("{} append {}", NodeId(2), body.len()));
    }
    let refused = client.call(peer(1), Kind::Vote, Bytes::from_static(b"no"), SECOND).await;
    assert_eq!(refused, Err(LinkError::Refused("not now".into())));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_longer_to_dial_than_a_call_may_wait_is_reached_in_the_end() {
    let world = World::new();
    serve(world.streams(1), Echo::new());
    world.dials_take(SECOND);
    let client = RaftClient::new(world.streams(2));
    let begun = tokio::time::Instant::now();
    while client.call(peer(1), Kind::Vote, Bytes::new(), SECOND / 4).await.is_err() {
        assert!(begun.elapsed() < 3 * SECOND, "each call dials anew");
    }
}

#[tokio::test(start_paused = true)]
async fn calls_made_together_are_answered_each_by_itself() {
    let world = World::new();
    serve(world.streams(1), Echo::new());
    let client = Arc::new(RaftClient::new(world.streams(2)));
    let hung = client.call(peer(1), Kind::Vote, Bytes::from_static(b"hang"), SECOND);
    let others = futures::future::join_all((1..200).map(|len| {
        let client = client.clone();
        async move { client.call(peer(1), Kind::Append, Bytes::from(vec![0; len]), SECOND).await }
    }));
    let (hung, others) = tokio::join!(hung, others);
    assert!(matches!(hung, Err(LinkError::Unknown(_))), "{hung:?}");
    for (len, answer) in (1..200).zip(others) {
        assert_eq!(answer.unwrap(), format!("{} append {len}", NodeId(2)));
    }
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_are_finished_when_a_node_stops() {
    let world = World::new();
    let slow = Arc::new(Slow);
    let stop = CancellationToken::new();
    let streams = world.streams(1);
    let (arrivals, _) = dispatch::start(streams.clone(), stop.clone());
    let serving = tokio::spawn(serve_calls(arrivals.calls, slow, Arc::new(|_| true), stop.clone()));
    let client = RaftClient::new(world.streams(2));
    let call = client.call(peer(1), Kind::Vote, Bytes::new(), 3 * SECOND);
    let (answer, ()) = tokio::join!(call, async {
        tokio::time::sleep(SECOND / 2).await;
        stop.cancel();
    });
    assert_eq!(answer.unwrap(), "late");
    serving.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_not_sent_is_unreachable_and_what_may_have_arrived_is_unknown() {
    let world = World::new();
    let client = RaftClient::new(world.streams(2));
    let gone = client.call(peer(1), Kind::Vote, Bytes::new(), SECOND).await;
    assert!(matches!(gone, Err(LinkError::Unreachable(_))), "{gone:?}");

    serve(world.streams(1), Echo::new());
    let hung = client.call(peer(1), Kind::Vote, Bytes::from_static(b"hang"), SECOND).await;
    assert!(matches!(hung, Err(LinkError::Unknown(_))), "{hung:?}");
    let client = Arc::new(client);
    let asking = client.clone();
    let broken = tokio::spawn(async move {
        asking.call(peer(1), Kind::Vote, Bytes::from_static(b"hang"), 60 * SECOND).await
    });
    tokio::time::sleep(SECOND / 10).await;
    world.crash(1);
    let broken = broken.await.unwrap();
    assert!(matches!(broken, Err(LinkError::Unknown(_))), "{broken:?}");
}

#[tokio::test(start_paused = true)]
async fn a_silent_link_breaks_by_itself_and_the_next_call_dials_anew() {
    let world = World::new();
    serve(world.streams(1), Echo::new());
    let client = Arc::new(RaftClient::new(world.streams(2)));
    client.call(peer(1), Kind::Vote, Bytes::new(), SECOND).await.unwrap();
    world.hold(1, 2);
    let before = tokio::time::Instant::now();
    let silent = client.call(peer(1), Kind::Vote, Bytes::new(), 60 * SECOND).await;
    assert!(silent.is_err() && before.elapsed() < 4 * SECOND, "{silent:?} after {:?}", before.elapsed());
    world.release(1, 2);
    let again = client.call(peer(1), Kind::Vote, Bytes::new(), SECOND).await;
    assert!(again.is_ok(), "{again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_moved_is_called_at_its_new_address() {
    let world = World::new();
    serve(world.streams(1), Echo::new());
    let client = RaftClient::new(world.streams(2));
    client.call(peer(1), Kind::Vote, Bytes::new(), SECOND).await.unwrap();
    world.crash(1);
    serve(Streams::new(world.node_at(1, "elsewhere:1"), Arc::new(|_| true)), Echo::new());
    let moved = Peer { id: NodeId(1), addr: "elsewhere:1".into() };
    assert!(client.call(moved, Kind::Vote, Bytes::new(), SECOND).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_removed_is_refused_on_the_stream_it_still_has() {
    let world = World::new();
    let member = Arc::new(AtomicBool::new(true));
    let asked = member.clone();
    serve(Streams::new(world.node(1), Arc::new(move |_| asked.load(Ordering::SeqCst))), Echo::new());
    let client = RaftClient::new(world.streams(2));
    client.call(peer(1), Kind::Vote, Bytes::new(), SECOND).await.unwrap();
    member.store(false, Ordering::SeqCst);
    let refused = client.call(peer(1), Kind::Vote, Bytes::new(), SECOND).await;
    assert!(matches!(refused, Err(LinkError::Refused(_))), "{refused:?}");
}

fn chunks(count: usize, read: &Arc<AtomicUsize>, fail_at: usize) -> Chunks {
    let read = read.clone();
    futures::stream::iter(0..count)
        .map(move |at| {
            read.fetch_add(1, Ordering::SeqCst);
            if at == fail_at {
                Err(io::Error::other("bad disk"))
            } else {
                Ok(Bytes::from(vec![1; 256 << 10]))
            }
        })
        .boxed()
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_is_read_no_faster_than_it_is_installed() {
    let world = World::new();
    let service = Arc::new(Echo { permits: Semaphore::new(0), installed: Mutex::default() });
    serve(world.streams(1), service.clone());
    let client = RaftClient::new(world.streams(2));
    let read = Arc::new(AtomicUsize::new(0));
    let pieces = chunks(100, &read, usize::MAX);
    let sending =
        tokio::spawn(
            async move { client.snapshot(peer(1), Bytes::from_static(b"m"), pieces, 5 * SECOND).await },
        );
    tokio::time::sleep(SECOND).await;
    let ahead = read.load(Ordering::SeqCst);
    assert!((1..20).contains(&ahead), "{ahead} chunks were read while none was taken");
    service.permits.add_permits(1000);
    assert_eq!(sending.await.unwrap().unwrap(), format!("{} 1 {}", NodeId(2), 100 * (256 << 10)));
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_that_is_given_up_never_looks_complete() {
    let world = World::new();
    let service = Echo::new();
    serve(world.streams(1), service.clone());
    let client = RaftClient::new(world.streams(2));
    let read = Arc::default();
    let failed = client.snapshot(peer(1), Bytes::from_static(b"m"), chunks(9, &read, 5), SECOND).await;
    assert!(matches!(failed, Err(LinkError::Unknown(_))), "{failed:?}");
    eventually("the receiver gave up", || !service.installed.lock().unwrap().is_empty()).await;
    assert_eq!(*service.installed.lock().unwrap(), [Err(())]);
    let dropped = client.snapshot(
        peer(1),
        Bytes::from_static(b"m"),
        chunks(9, &read, 99).chain(silence()).boxed(),
        SECOND,
    );
    assert!(tokio::time::timeout(SECOND, dropped).await.is_err());
    eventually("the receiver gave up again", || service.installed.lock().unwrap().len() == 2).await;
    assert_eq!(*service.installed.lock().unwrap(), [Err(()), Err(())]);
}

fn silence() -> Chunks {
    futures::stream::pending().boxed()
}

#[tokio::test(start_paused = true)]
async fn a_snapshot_nobody_takes_ends_at_its_deadline() {
    let world = World::new();
    let service = Arc::new(Echo { permits: Semaphore::new(0), installed: Mutex::default() });
    serve(world.streams(1), service.clone());
    let client = RaftClient::new(world.streams(2));
    let stuck = client.snapshot(peer(1), Bytes::new(), chunks(100, &Arc::default(), 1000), SECOND).await;
    assert!(matches!(stuck, Err(LinkError::Unknown(_))), "{stuck:?}");
    let gone = client.snapshot(peer(9), Bytes::new(), chunks(3, &Arc::default(), 1000), SECOND).await;
    assert!(matches!(gone, Err(LinkError::Unreachable(_))), "{gone:?}");
}
