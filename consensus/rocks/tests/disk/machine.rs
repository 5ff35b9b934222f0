//! The same with a whole consensus on the disk, log store, state machine and snapshots: a node that is its own cluster is
//! killed while it takes commands, and every command that it acknowledged is in its tables afterwards, once and in order.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use async_trait::async_trait;
use bytes::Bytes;
use consensus::{Config, Consensus, Error, Kind, Link, LinkError, Peer, Published, disk};
use consensus_rocks::RocksDisk;
use domain::{Command, Envelope, NodeId, RequestId, key};
use futures::stream::BoxStream;
use tempfile::TempDir;

use super::dice::Dice;
use super::killed::{acknowledge, child, given, kill_after, kills, seed};

/// Of the kills of the disk alone, the share that a whole consensus gets.
const SHARE: u64 = 5;
const ACKED_MAX: u64 = 200;
/// Tables count as a snapshot so often that logs are purged in every run.
const SNAPSHOT_EVERY: u64 = 60;
const KEEP_LOG: u64 = 20;

/// There are no others.
struct Alone;

#[async_trait]
impl Link for Alone {
    async fn call(&self, _: Peer, _: Kind, _: Bytes, _: Duration) -> Result<Bytes, LinkError> {
        Err(LinkError::Unreachable("there are no others".to_owned()))
    }
    async fn snapshot(
        &self,
        _: Peer,
        _: Bytes,
        _: BoxStream<'static, Result<Bytes, io::Error>>,
        _: Duration,
    ) -> Result<Bytes, LinkError> {
        Err(LinkError::Unreachable("there are no others".to_owned()))
    }
}

/// A node that is its own cluster.
pub(crate) async fn start(dir: &Path, seen: &Arc<Mutex<Published>>) -> Result<Consensus, Error> {
    let mut config = Config::new(NodeId(1), "127.0.0.1:1", 1);
    (config.snapshot_every, config.keep_log) = (SNAPSHOT_EVERY, KEEP_LOG);
    let seen = Arc::clone(seen);
    let node = Consensus::start(
        config,
        Arc::new(RocksDisk::open(dir)?),
        Arc::new(Alone),
        Arc::new(move |now| *seen.lock().unwrap() = now),
        Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64),
    )
    .await?;
    if !node.is_initialized().await? {
        node.initialize().await?;
    }
    Ok(node)
}

/// A command that creates the key of this number.
pub(crate) fn create(number: u64) -> Envelope {
    let mut hash = vec![0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    let command = Command::Key(key::Command::Create {
        name: name(number),
        hash,
        prefix: "llm".to_owned(),
        scopes: vec![key::Scope::Inference],
    });
    Envelope::new(RequestId(u128::from(number) + 1), command)
}

fn name(number: u64) -> String {
    format!("key-{number:08}")
}

/// Not a test by itself: the process that the next one kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_takes_commands() {
    let Some((dir, from)) = given() else { return };
    let node = start(Path::new(&dir), &Arc::default()).await.unwrap();
    for number in from.. {
        // The first may have been proposed before the last kill: the request id says so.
        node.propose(create(number)).await.unwrap().unwrap();
        acknowledge(number);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_command_is_in_the_tables_after_every_kill() {
    let dir = TempDir::new().unwrap();
    let (kills, mut dice) = ((kills() / SHARE).max(2), Dice::of(seed()));
    let (mut next, mut acknowledged) = (0, 0);
    for round in 0..kills {
        let child = child("machine::child_that_takes_commands", dir.path(), next);
        let acks = 1 + dice.below(ACKED_MAX);
        let told = kill_after(child, acks, &mut dice);
        let seen = Arc::default();
        let node = start(dir.path(), &seen).await.unwrap();
        node.read().await.unwrap();
        let mut names: Vec<String> =
            seen.lock().unwrap().state.keys.rows().map(|key| key.name.clone()).collect();
        names.sort();
        node.shutdown().await;
        drop(node);
        // Its last tasks still hold the disk for a moment.
        while let Err(disk::Error::Locked(_)) = RocksDisk::open(dir.path()) {
            tokio::task::yield_now().await;
        }
        let expected: Vec<String> = (0..names.len() as u64).map(name).collect();
        assert_eq!(names, expected, "kill {round}: a command is missing or happened twice");
        let least = told.last().map_or(next, |last| last + 1);
        assert!(names.len() as u64 >= least, "kill {round}: {} keys, {least} acknowledged", names.len());
        acknowledged += told.len();
        next = names.len() as u64;
    }
    println!("consensus: {kills} kills: {acknowledged} acknowledged commands, all in the tables, once");
}
