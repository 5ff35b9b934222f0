//! A majority that is lost for good, and a survivor that goes on; and a whole cluster's rows that come back by the log.

use std::collections::BTreeSet;
use std::sync::Arc;

use consensus::disk::{Batch, Disk, Family};
use consensus::mem::Crash;
use consensus::{Error, Recovered, recover};
use domain::command::VERSION;
use domain::restore::{self, Command as Step, RawRow};
use domain::secret::{self, Sealed, Wrap};
use domain::{Command, Envelope, KeyId, NodeId, RequestId, State, deployment, level, model, node};

use crate::world::{World, missing, put};

async fn tell(world: &World, id: u64, command: Command) {
    let id = RequestId((1 << 100) + u128::from(id));
    world.leader().await.propose(Envelope::new(id, command)).await.unwrap().unwrap();
}

fn a_row(id: u64) -> node::Node {
    node::Node {
        id: NodeId(id),
        name: format!("node{id}"),
        zone: "z".to_owned(),
        cluster_addr: crate::world::home(NodeId(id)),
        http_addr: String::new(),
        seal_public: Vec::new(),
        cert_fingerprint: Vec::new(),
        incarnation: domain::Incarnation(1),
        capacity: node::Capacity::default(),
        standing: node::Standing::Active,
        since: 0,
        version: level::stamp("0", VERSION),
        joined_at: 0,
        cordon: None,
    }
}

/// Rows for these nodes, each able to open the cluster's secrets.
async fn furnish(world: &World, nodes: &[u64]) {
    for id in nodes {
        tell(world, *id, Command::Node(node::Command::Join(a_row(*id)))).await;
        let sealed = Sealed { nonce: vec![0; 12], bytes: vec![0; 48], key: None };
        let wrap = Wrap { node: NodeId(*id), ephemeral: vec![0; 32], sealed, key: None };
        tell(world, 100 + id, Command::Secret(secret::Command::Grant(wrap))).await;
    }
}

async fn survive(world: &World, id: u64) -> Result<Recovered, Error> {
    let disk = Arc::new(world.members[&NodeId(id)].platter.open());
    recover(disk, NodeId(id), 2_000_000, RequestId(77)).await
}

#[tokio::test(start_paused = true)]
async fn a_survivor_of_three_goes_on_alone_with_all_it_had_and_takes_new_nodes_in() {
    let mut world = World::with_voters(90, 3).await;
    furnish(&world, &[1, 2, 3]).await;
    for number in 0..20 {
        put(&world.node(1), number).await;
    }
    world.converge().await;
    for id in 1..=3 {
        world.crash(id, Crash::LosesAll).await;
    }
    let done = survive(&world, 2).await.unwrap();
    assert_eq!(done.voters, BTreeSet::from([NodeId(1), NodeId(2), NodeId(3)]));
    assert_eq!(done.buried, [NodeId(1), NodeId(3)]);
    assert_eq!(done.state.keys.len(), 20);

    world.start(2).await.unwrap();
    let leader = world.leader().await;
    assert_eq!(leader.id(), NodeId(2));
    leader.read().await.unwrap();
    let seen = world.seen(2);
    assert_eq!(missing(&seen, 0..20), [0; 0]);
    assert_eq!(*seen.voters, BTreeSet::from([NodeId(2)]));
    assert!(seen.state.gone.contains(&NodeId(1)) && seen.state.gone.contains(&NodeId(3)));
    put(&leader, 20).await;

    world.join(4).await;
    world.join(5).await;
    leader.set_voters([2, 4, 5].map(NodeId).into()).await.unwrap();
    put(&world.node(5), 21).await;
    assert_eq!(world.converge().await, 22);
    // The new majority carries it as any other does.
    world.crash(2, Crash::LosesAll).await;
    put(&world.node(4), 22).await;
    assert_eq!(world.converge().await, 23);
}

#[tokio::test(start_paused = true)]
async fn what_the_survivor_had_not_heard_to_be_agreed_on_is_kept() {
    let mut world = World::with_voters(91, 3).await;
    furnish(&world, &[1, 2, 3]).await;
    put(&world.node(1), 0).await;
    world.converge().await;
    let leader = world.leader().await.id().0;
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    // Only the leader has it, and nobody was told that it is written.
    for other in &others {
        world.crash(*other, Crash::LosesAll).await;
    }
    let node = world.node(leader);
    let before = node.status().last_log;
    let writing = tokio::spawn(async move { node.propose(crate::world::create(1)).await });
    world.until("it is in the leader's log", |w| w.node(leader).status().last_log > before).await;
    world.crash(leader, Crash::KeepsAll).await;
    assert!(writing.await.unwrap().is_err());
    let done = survive(&world, leader).await.unwrap();
    assert!(done.last > done.committed, "{done:?}");
    world.start(leader).await.unwrap();
    world.leader().await.read().await.unwrap();
    assert_eq!(missing(&world.seen(leader), 0..2), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn a_survivor_whose_log_was_thrown_away_before_a_snapshot_goes_on_too() {
    let mut world = World::tuned(92, 3, |config| {
        config.snapshot_every = 10;
        config.keep_log = 2;
    })
    .await;
    furnish(&world, &[1, 2, 3]).await;
    for number in 0..60 {
        put(&world.node(1), number).await;
    }
    world.converge().await;
    world.until("the log was thrown away", |w| w.statuses().iter().all(|s| s.purged > 20)).await;
    for id in 1..=3 {
        world.crash(id, Crash::KeepsAll).await;
    }
    // As if a snapshot had come and the end had been cut off before the log was.
    let disk = world.members[&NodeId(3)].platter.open();
    let mut batch = Batch::default();
    batch.delete_range(Family::Log, vec![0; 8], vec![0xff; 8]);
    disk.write(batch, true).await.unwrap();
    survive(&world, 3).await.unwrap();
    world.start(3).await.unwrap();
    world.leader().await.read().await.unwrap();
    assert_eq!(missing(&world.seen(3), 0..60), [0; 0]);
    world.join(7).await;
    assert_eq!(world.converge().await, 60);
}

#[tokio::test(start_paused = true)]
async fn who_cannot_carry_the_cluster_on_is_left_as_it_is() {
    let mut world = World::with_voters(93, 3).await;
    furnish(&world, &[1, 2]).await;
    tell(&world, 3, Command::Node(node::Command::Join(a_row(3)))).await;
    world.converge().await;
    for id in 1..=3 {
        world.crash(id, Crash::LosesAll).await;
    }
    let no_wrap = survive(&world, 3).await.unwrap_err();
    assert!(no_wrap.to_string().contains("cannot open the cluster's secrets"), "{no_wrap}");
    let stranger =
        recover(Arc::new(world.members[&NodeId(1)].platter.open()), NodeId(8), 0, RequestId(1)).await;
    assert!(stranger.unwrap_err().to_string().contains("not in the cluster"));
    let empty = Arc::new(consensus::mem::Platter::new().open());
    let nobody = recover(empty, NodeId(1), 0, RequestId(1)).await.unwrap_err();
    assert!(nobody.to_string().contains("belongs to no cluster"), "{nobody}");

    survive(&world, 1).await.unwrap();
    let twice = survive(&world, 1).await.unwrap_err();
    assert!(twice.to_string().contains("nothing to recover"), "{twice}");
    world.start(1).await.unwrap();
    assert_eq!(world.leader().await.id(), NodeId(1));
}

/// Rows of a cluster with so many deployments.
fn large(deployments: u64) -> (Vec<RawRow>, u64) {
    let mut state = State::default();
    let mut apply = |index: u64, command| {
        let envelope = Envelope::new(RequestId(u128::from(index)), command);
        state.apply(index, &envelope, &mut Vec::new()).unwrap();
    };
    let id = domain::ModelId::from("m");
    let model = model::Model {
        id: id.clone(),
        name: "m".into(),
        description: String::new(),
        path: None,
        created_at: 0,
    };
    apply(1, Command::Model(model::Command::Put(model)));
    for n in 0..deployments {
        let spec = deployment::Spec {
            name: format!("deployment-{n}"),
            model: id.clone(),
            engine: "mock".into(),
            replicas: 2,
            resources: deployment::Resources::default(),
            env: [("TIER".to_owned(), format!("{}", n % 7))].into(),
            args: vec!["--ctx-size".to_owned(), "8192".to_owned()],
            policy: deployment::Policy::default(),
        };
        apply(2 + n, Command::Deployment(deployment::Command::Create(spec)));
    }
    let rows = restore::page(&state, &[], usize::MAX);
    (rows, 2 + deployments)
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_deployments_come_back_byte_for_byte_on_every_node() {
    let world = World::with_voters(94, 3).await;
    let (rows, base) = large(10_000);
    let keep = match put(&world.node(1), 0).await {
        domain::Reply::Key(id) => id,
        other => panic!("{other:?}"),
    };
    let begin = Step::Begin { backup: "b".into(), base, keep, data_keys: Vec::new(), replace: false };
    tell(&world, 1, Command::Restore(begin)).await;
    let mut steps = 0;
    for (n, rows) in rows.chunks(1000).enumerate() {
        let step = Step::Rows { backup: "b".into(), rows: rows.to_vec() };
        tell(&world, 10 + n as u64, Command::Restore(step)).await;
        steps += 1;
    }
    tell(&world, 2, Command::Restore(Step::End { backup: "b".into() })).await;
    assert_eq!((rows.len(), steps), (10_001, 11));
    world.converge().await;
    for id in 1..=3 {
        let state = world.seen(id).state;
        let kept = state.keys.rows().next().unwrap().id;
        assert!(kept > KeyId(base));
        let after: Vec<RawRow> =
            restore::page(&state, &[], usize::MAX).into_iter().filter(|row| row.key[0] != 5).collect();
        assert!(after == rows, "node {id}");
    }
}
