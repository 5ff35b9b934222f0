//! The accept loop and the registry of streams.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use domain::NodeId;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use wire::{Network, Protocol, Streams, dispatch};

use crate::world::{World, addr};

#[tokio::test(start_paused = true)]
async fn a_removed_node_loses_its_streams_and_gets_no_new_ones() {
    let world = World::new();
    let members = Arc::new(Mutex::new(BTreeSet::from([NodeId(1), NodeId(2)])));
    let asked = members.clone();
    let streams = Streams::new(world.node(1), Arc::new(move |node| asked.lock().unwrap().contains(&node)));
    let (mut arrivals, _) = dispatch::start(streams.clone(), CancellationToken::new());
    let two = world.node(2);

    let mut near = two.dial(&addr(1), NodeId(1), Protocol::Door).await.unwrap();
    let mut far = arrivals.door.recv().await.unwrap();
    assert_eq!(far.peer, two.id());
    near.write_all(b"hi").await.unwrap();
    let mut heard = [0; 2];
    far.io.read_exact(&mut heard).await.unwrap();
    assert_eq!((&heard, streams.count(NodeId(2))), (b"hi", 1));

    let waiting = tokio::spawn(async move { far.io.read_u8().await });
    tokio::task::yield_now().await;
    members.lock().unwrap().remove(&NodeId(2));
    streams.close_strangers();
    assert!(waiting.await.unwrap().is_err());
    assert_eq!(streams.count(NodeId(2)), 0);
    assert!(near.read_u8().await.is_err());

    let mut refused = two.dial(&addr(1), NodeId(1), Protocol::Door).await.unwrap();
    assert!(refused.read_u8().await.is_err());
    assert!(arrivals.door.try_recv().is_err());
    let error = streams.dial(&addr(2), NodeId(2), Protocol::Door).await.err().unwrap();
    assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
}

#[tokio::test(start_paused = true)]
async fn a_service_that_does_not_keep_up_loses_streams_and_delays_no_other() {
    let world = World::new();
    let (mut arrivals, _) = dispatch::start(world.streams(1), CancellationToken::new());
    let two = world.node(2);
    let mut dialled = Vec::new();
    for _ in 0..dispatch::WAITING_MAX + 1 {
        dialled.push(two.dial(&addr(1), NodeId(1), Protocol::Relay).await.unwrap());
    }
    let _kept = two.dial(&addr(1), NodeId(1), Protocol::Raft).await.unwrap();
    assert_eq!(arrivals.raft.recv().await.unwrap().peer, NodeId(2));
    assert!(dialled.pop().unwrap().read_u8().await.is_err());
    assert!(arrivals.relay.recv().await.is_some());
}
