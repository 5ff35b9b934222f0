//! Proposals and reads while all is well.

use consensus::Error;
use domain::command::VERSION;
use domain::config::{Command, Expect};
use domain::{Command as Change, Envelope, NodeId, Reject, Reply, RequestId};

use crate::world::{World, create, missing, put};

#[tokio::test(start_paused = true)]
async fn a_node_alone_becomes_a_cluster_once() {
    let mut world = World::new(1);
    let node = world.start(1).await.unwrap();
    assert!(!node.is_initialized().await.unwrap());
    node.initialize().await.unwrap();
    assert!(node.is_initialized().await.unwrap());
    assert!(matches!(node.initialize().await, Err(Error::Refused { .. })));
    put(&node, 7).await;
    assert_eq!(world.seen(1).leader, Some(NodeId(1)));
    assert_eq!(world.seen(1).state.keys.len(), 1);
    assert_eq!(world.seen(1).addrs[&NodeId(1)], "host-1:7602");
}

#[tokio::test(start_paused = true)]
async fn a_command_proposed_anywhere_is_applied_everywhere() {
    let world = World::with_voters(2, 3).await;
    for id in 1..=3 {
        put(&world.node(id), id).await;
    }
    assert_eq!(world.converge().await, 3);
    let clocks: Vec<u64> = (1..=3).map(|id| world.seen(id).state.clock()).collect();
    assert!(clocks[0] >= 1_000_000, "the leader stamps the time");
    assert!(clocks.iter().all(|c| *c == clocks[0]));
}

#[tokio::test(start_paused = true)]
async fn a_command_sent_twice_is_applied_once_and_answered_alike() {
    let world = World::with_voters(3, 3).await;
    let first = put(&world.node(2), 5).await;
    let again = put(&world.node(3), 5).await;
    assert_eq!(first, again);
    assert!(matches!(first, Reply::Key(_)));
    assert_eq!(world.converge().await, 1);
}

#[tokio::test(start_paused = true)]
async fn a_refusal_by_the_tables_is_an_outcome_and_no_error() {
    let world = World::with_voters(4, 3).await;
    put(&world.node(1), 5).await;
    let mut same_hash = create(5);
    same_hash.request_id = domain::RequestId(999);
    assert!(world.node(2).propose(same_hash).await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_read_on_a_follower_sees_everything_acknowledged_before() {
    let world = World::with_voters(5, 3).await;
    for number in 0..50 {
        let (writer, reader) = (number % 3 + 1, (number + 1) % 3 + 1);
        put(&world.node(writer), number).await;
        let index = world.node(reader).read().await.unwrap();
        let seen = world.seen(reader);
        assert!(seen.applied >= index);
        assert_eq!(missing(&seen, 0..=number), Vec::<u64>::new());
    }
}

#[tokio::test(start_paused = true)]
async fn many_proposals_at_once_are_all_applied() {
    let world = World::with_voters(6, 3).await;
    let writes = (0..300).map(|number| {
        let node = world.node(number % 3 + 1);
        async move { put(&node, number).await }
    });
    futures::future::join_all(writes).await;
    assert_eq!(world.converge().await, 300);
}

#[tokio::test(start_paused = true)]
async fn a_follower_reads_what_it_wrote_at_once_in_old_and_new_clusters() {
    let new = World::with_voters(10, 3).await;
    let old = World::of_first_level(11, 3, |_| {}).await;
    for world in [new, old] {
        let follower = world.follower().await;
        for number in 0..20 {
            put(&follower, number).await;
            assert_eq!(missing(&world.seen(follower.id().0), 0..=number), Vec::<u64>::new());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_older_nodes_would_not_know_never_reaches_their_log() {
    let world = World::of_first_level(12, 3, |_| {}).await;
    let value = Command::Put { key: "k".to_owned(), bytes: Vec::new(), expect: Expect::Anything };
    for id in 1..=3 {
        let before = world.node(1).status().last_log;
        let newer = Envelope::new(RequestId(100 + u128::from(id)), Change::Config(value.clone()));
        let refused = world.node(id).propose(newer).await.unwrap();
        assert_eq!(refused, Err(Reject::TooNew { version: 2, known: 1 }));
        assert_eq!(world.node(1).status().last_log, before);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_in_another_nodes_name_is_refused() {
    let world = World::with_voters(7, 3).await;
    let body = rmp_serde::to_vec_named(&(NodeId(2), "elsewhere:1")).unwrap();
    let answer = world.node(1).handle(NodeId(3), consensus::Kind::Address, body.into()).await;
    assert!(matches!(answer, Err(Error::Refused { .. })));
    let answer = world.node(1).handle(NodeId(3), consensus::Kind::Append, "rubbish".into()).await;
    assert!(matches!(answer, Err(Error::Refused { .. })));
}

#[tokio::test(start_paused = true)]
async fn a_command_that_is_too_large_is_refused_on_the_spot() {
    let world = World::with_voters(8, 1).await;
    let mut large = create(1);
    let domain::Command::Key(domain::key::Command::Create { name, .. }) = &mut large.command else {
        panic!()
    };
    *name = "x".repeat(consensus::COMMAND_BYTES_MAX);
    let answer = world.node(1).propose(large).await;
    assert!(matches!(answer, Err(Error::TooLarge { .. })), "{answer:?}");
    put(&world.node(1), 2).await;
}

#[tokio::test(start_paused = true)]
async fn a_command_newer_than_the_leader_is_refused_and_stops_nobody() {
    let world = World::with_voters(9, 3).await;
    let mut newer = create(1);
    newer.version = VERSION + 1;
    let answer = world.follower().await.propose(newer).await;
    let Err(Error::Refused { why }) = answer else { panic!("{answer:?}") };
    assert!(why.contains("upgrade every node first"), "{why}");
    put(&world.node(1), 2).await;
    assert_eq!(world.converge().await, 1);
}
