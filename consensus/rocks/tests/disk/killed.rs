//! A process that writes is killed at random moments, again and again on the same directory: what it was told to be durable is
//! there afterwards, whole and in order. `LLMHUB_KILLS` says how often, `LLMHUB_KILLS_SEED` with which luck.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use consensus::Disk;
use consensus::disk::{Batch, Family};
use consensus_rocks::RocksDisk;
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::all;
use super::dice::Dice;

const KILLS: &str = "LLMHUB_KILLS";
const SEED: &str = "LLMHUB_KILLS_SEED";
const KILLS_DEFAULT: u64 = 10;
/// The folder, and the number to begin with, of the process that is killed.
const CHILD_DIR: &str = "CONSENSUS_ROCKS_CHILD_DIR";
const CHILD_FROM: &str = "CONSENSUS_ROCKS_CHILD_FROM";
/// So many writes are kept, larger ones than fit into memory tables: files are sorted, merged and dropped all the time.
const KEEP: u64 = 400;
const VALUE_LEN_MAX: u64 = 24 * 1024;
/// Durable writes under way at a time.
const UNDER_WAY: usize = 8;
/// A child is killed after so many acknowledgements at most, and then a little later.
const ACKED_MAX: u64 = 300;
const LATER_MAX: u64 = 300_000;

/// How often to kill.
pub(crate) fn kills() -> u64 {
    std::env::var(KILLS).ok().and_then(|n| n.parse().ok()).unwrap_or(KILLS_DEFAULT)
}

/// With which luck.
pub(crate) fn seed() -> u64 {
    std::env::var(SEED).ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// Starts a test of this binary in a process of its own.
pub(crate) fn child(test: &str, dir: &Path, from: u64) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(CHILD_DIR, dir)
        .env(CHILD_FROM, from.to_string())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

/// What the process that is killed was given; nothing when it is an ordinary run of the tests.
pub(crate) fn given() -> Option<(String, u64)> {
    Some((std::env::var(CHILD_DIR).ok()?, std::env::var(CHILD_FROM).ok()?.parse().ok()?))
}

/// Tells that a number was acknowledged: one write into the pipe, so that no line is torn.
pub(crate) fn acknowledge(number: u64) {
    std::io::stdout().lock().write_all(format!("\nacknowledged {number}\n").as_bytes()).unwrap();
}

/// Kills a child after so many acknowledgements and a little later, and answers all that it told until its end.
pub(crate) fn kill_after(mut child: Child, acks: u64, dice: &mut Dice) -> Vec<u64> {
    let mut told = Vec::new();
    let later = dice.below(LATER_MAX);
    let kill = |child: &mut Child| {
        (0..later).for_each(|_| std::hint::spin_loop());
        child.kill().unwrap();
    };
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    if acks == 0 {
        kill(&mut child);
    }
    for line in lines {
        if let Some(number) = line.unwrap().strip_prefix("acknowledged ") {
            told.push(number.parse().unwrap());
            if told.len() as u64 == acks {
                kill(&mut child);
            }
        }
    }
    let status = child.wait().unwrap();
    assert!(!status.success() && status.code().is_none(), "it ended by itself: {status}");
    told
}

fn key(number: u64) -> Bytes {
    Bytes::copy_from_slice(&number.to_be_bytes())
}

/// The value under a number: whoever knows the number knows the value.
fn value(number: u64) -> Bytes {
    let mut dice = Dice::of(number);
    let len = dice.below(VALUE_LEN_MAX);
    (0..len / 8).flat_map(|_| dice.draw().to_be_bytes()).collect()
}

/// One write in all three families, which drops one that is too old.
fn write(number: u64) -> Batch {
    let mut batch = Batch::default();
    for family in [Family::Log, Family::Tables] {
        batch.put(family, key(number), value(number));
        batch.delete_range(family, key(0), key((number + 1).saturating_sub(KEEP)));
    }
    batch.put(Family::Meta, "last", key(number));
    batch
}

/// Not a test by itself: the process that the next one kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_that_writes() {
    let Some((dir, from)) = given() else { return };
    let disk = RocksDisk::open(dir).unwrap();
    let mut dice = Dice::of(from);
    let mut under_way = JoinSet::new();
    for number in from.. {
        let durable = dice.below(4) > 0;
        let written = disk.write(write(number), durable);
        if durable {
            under_way.spawn(async move {
                written.await.unwrap();
                acknowledge(number);
            });
        }
        while under_way.len() >= UNDER_WAY {
            under_way.join_next().await.unwrap().unwrap();
        }
    }
}

/// What a directory holds: the last number. Panics unless that is exactly what the writes up to it leave.
async fn judge(dir: &Path) -> Option<u64> {
    let disk = RocksDisk::open(dir).unwrap();
    let last = disk.get(Family::Meta, b"last").await.unwrap();
    let last = last.map(|bytes| u64::from_be_bytes(bytes[..].try_into().unwrap()));
    let numbers: Vec<u64> = last.map_or(Vec::new(), |l| ((l + 1).saturating_sub(KEEP)..=l).collect());
    for family in [Family::Log, Family::Tables] {
        let rows = disk.range(family, all()).await.unwrap();
        let found: Vec<Bytes> = rows.iter().map(|(key, _)| key.clone()).collect();
        assert_eq!(found, numbers.iter().map(|n| key(*n)).collect::<Vec<_>>(), "{family:?} up to {last:?}");
        for (number, (_, found)) in numbers.iter().zip(&rows) {
            assert!(*found == value(*number), "{family:?} {number} is torn");
        }
    }
    last
}

#[tokio::test]
async fn what_was_acknowledged_survives_every_kill_whole_and_in_order() {
    let dir = Arc::new(TempDir::new().unwrap());
    let (kills, mut dice) = (kills(), Dice::of(seed()));
    let mut last: Option<u64> = None;
    let (mut acknowledged, mut beyond, mut starting) = (0, 0, 0);
    for round in 0..kills {
        let from = last.map_or(0, |last| last + 1);
        let child = child("killed::child_that_writes", dir.path(), from);
        let acks = if dice.below(8) == 0 { 0 } else { 1 + dice.below(ACKED_MAX) };
        let told: BTreeSet<u64> = kill_after(child, acks, &mut dice).into_iter().collect();
        let found = judge(dir.path()).await;
        assert!(
            found >= told.last().copied(),
            "kill {round}: {found:?} is there, {:?} was told",
            told.last()
        );
        assert!(found >= last, "kill {round}: {found:?} is there, {last:?} was before");
        acknowledged += told.len();
        starting += u64::from(told.is_empty());
        beyond += told.last().zip(found).map_or(0, |(told, found)| found - told);
        last = found;
    }
    println!(
        "disk: {kills} kills, {starting} of them at the start: {acknowledged} acknowledged writes, none lost or torn; \
         {beyond} more survived that had not been acknowledged yet"
    );
}
