//! Disks that are slow, full or damaged.

use std::time::Duration;

use consensus::disk::Family;
use consensus::mem::Crash;
use consensus::{Error, Role};
use domain::NodeId;
use tokio::time::{Instant, sleep};

use crate::world::{World, create, put};

#[tokio::test(start_paused = true)]
async fn slow_disks_slow_writes_down_and_unseat_nobody() {
    let world = World::with_voters(60, 3).await;
    let leader = world.leader().await;
    let term = leader.status().term;
    for member in world.members.values() {
        member.platter.set_latency(Duration::from_millis(700));
    }
    for number in 0..5 {
        let start = Instant::now();
        put(&leader, number).await;
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    }
    assert_eq!(leader.status().term, term);
    assert_eq!(world.converge().await, 5);
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_told_in_words_and_the_others_go_on() {
    let mut world = World::with_voters(61, 3).await;
    put(&world.node(1), 0).await;
    let leader = world.leader().await;
    let platter = world.members[&leader.id()].platter.clone();
    platter.set_capacity(Some(platter.bytes()));
    let other = world.follower().await;
    for number in 1..10 {
        put(&other, number).await;
    }
    assert!(matches!(leader.stopped().await, Error::Storage { .. }));
    assert_eq!(leader.status().role, Role::Stopped);
    let fault = leader.status().fault.unwrap();
    assert!(fault.starts_with("the disk is full") && fault.contains("free some space"), "{fault}");
    let error = leader.propose(create(50)).await.unwrap_err();
    assert!(error.to_string().contains("disk is full"), "{error}");
    platter.set_capacity(None);
    world.crash(leader.id().0, Crash::LosesAll).await;
    world.start(leader.id().0).await.unwrap();
    assert_eq!(world.converge().await, 10);
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_comes_back_on_an_older_copy_of_its_log_ends_nobody() {
    let mut world = World::with_voters(65, 3).await;
    let leader = world.leader().await;
    put(&leader, 0).await;
    let forgetful = world.follower().await.id();
    let copy = world.members[&forgetful].platter.copy();
    for number in 1..10 {
        put(&leader, number).await;
    }
    world.converge().await;
    world.crash(forgetful.0, Crash::KeepsAll).await;
    world.members[&forgetful].platter.put_back(&copy);
    world.start(forgetful.0).await.unwrap();
    assert_eq!(world.converge().await, 10);
    assert!(leader.status().fault.is_none(), "{:?}", leader.status().fault);
    put(&leader, 10).await;
}

#[tokio::test(start_paused = true)]
async fn damaged_data_is_noticed_and_told_in_words() {
    for (family, draw) in
        [(Family::Tables, 3), (Family::Meta, 0), (Family::Meta, 1), (Family::Log, 1_000_003)]
    {
        let mut world = World::with_voters(62, 1).await;
        for number in 0..10 {
            put(&world.node(1), number).await;
        }
        sleep(Duration::from_secs(1)).await;
        world.crash(1, Crash::KeepsAll).await;
        world.members[&NodeId(1)].platter.corrupt(family, draw).unwrap();
        match world.start(1).await {
            Err(Error::Storage { why }) => assert!(why.contains("damaged"), "{why}"),
            Err(other) => panic!("{other:?}"),
            // An entry that nobody has to read again can only be found when somebody does.
            Ok(_) if family == Family::Log => {}
            Ok(_) => panic!("{family:?} {draw} was not noticed"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_data_directory_of_a_newer_version_is_refused() {
    use consensus::disk::{Batch, Disk};
    let mut world = World::with_voters(63, 1).await;
    world.crash(1, Crash::KeepsAll).await;
    let platter = world.members[&NodeId(1)].platter.clone();
    let mut batch = Batch::default();
    // The number 9 with its checksum, as a later version would write it.
    batch.put(Family::Meta, "format", sealed(b"format", &[9]));
    platter.open().write(batch, true).await.unwrap();
    let Err(Error::Storage { why }) = world.start(1).await else { panic!("it started") };
    assert!(why.contains("format 9") && why.contains("newer"), "{why}");
}

/// A value as it is stored: followed by the CRC-32 of key and value, each with its length.
fn sealed(key: &[u8], value: &[u8]) -> Vec<u8> {
    let mut crc = u32::MAX;
    let lengths = [(key.len() as u64).to_be_bytes(), (value.len() as u64).to_be_bytes()];
    for byte in [key, &lengths[0], value, &lengths[1]].concat() {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { (crc >> 1) ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    [value, &(!crc).to_be_bytes()].concat()
}

#[tokio::test(start_paused = true)]
async fn a_node_stops_at_a_command_of_a_newer_version_and_says_which_it_takes() {
    use consensus::disk::{Batch, Disk};
    let mut world = World::with_voters(64, 1).await;
    put(&world.node(1), 1).await;
    world.crash(1, Crash::KeepsAll).await;
    let platter = world.members[&NodeId(1)].platter.clone();
    // The same command again as the next entry, as a newer leader would have sent it.
    let (key, stored) = platter.dump(Family::Log).pop().unwrap();
    let index = u64::from_be_bytes(key[..].try_into().unwrap());
    let next = (index + 1).to_be_bytes();
    let entry = patched(&stored[..stored.len() - 4], "index", index as u8, index as u8 + 1);
    let entry = patched(&entry, "version", 1, 9);
    let mut batch = Batch::default();
    batch.put(Family::Log, next.to_vec(), sealed(&next, &entry));
    platter.open().write(batch, true).await.unwrap();
    let why = match world.start(1).await {
        Err(Error::Storage { why }) => why,
        Err(other) => panic!("{other:?}"),
        Ok(node) => match node.stopped().await {
            Error::Storage { why } => why,
            other => panic!("{other:?}"),
        },
    };
    assert!(why.contains("feature level 9") && why.contains("newer version of llmhub"), "{why}");
    let seen = world.seen(1);
    assert_eq!((seen.state.keys.len(), seen.applied), (1, index), "neither applied nor skipped");
}

/// MessagePack in which the first field of this name goes from one small number to another.
fn patched(bytes: &[u8], field: &str, from: u8, to: u8) -> Vec<u8> {
    let old = [field.as_bytes(), &[from]].concat();
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap() + field.len();
    let mut bytes = bytes.to_vec();
    bytes[at] = to;
    bytes
}
