//! Files of a stopped node's disk are bent, cut, emptied and taken away, each kind in turn: what is then read is either all
//! that was acknowledged, or an error that names the place and the way out. Never a panic, and never less without a word.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use consensus::Disk;
use consensus::disk::{Error, Family};
use consensus_rocks::RocksDisk;
use tempfile::TempDir;

use super::dice::Dice;
use super::{all, put};

/// Each opening moves what the log holds into sorted files, so that there are both.
const LIVES: u64 = 3;
const WRITES: u64 = 60;
/// Places in each file that are damaged, besides its first and last bytes.
const PLACES: u64 = 12;
/// Bytes at each end of a file that are damaged one by one.
const EDGE: u64 = 8;

/// What is done to a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    /// A bit of the byte at this place flips.
    Bent(u64),
    /// It ends there.
    Cut(u64),
    /// From there on it holds zeros, as a file does whose blocks were never written.
    Zeroed(u64),
    /// It is not there any more.
    Gone,
}

type Held = BTreeMap<(Family, Bytes), Bytes>;

/// A directory that was closed in order, and what it holds.
async fn stopped() -> (TempDir, Held) {
    let dir = TempDir::new().unwrap();
    let mut held = Held::new();
    for life in 0..LIVES {
        let disk = RocksDisk::open(dir.path()).unwrap();
        for number in life * WRITES..(life + 1) * WRITES {
            for family in Family::ALL {
                let (key, value) = (format!("{number:06}"), format!("{number} ").repeat(40));
                disk.write(put(family, &key, &value), family == Family::Meta).await.unwrap();
                held.insert((family, key.into()), value.into());
            }
        }
        disk.write(put(Family::Log, "last", "of all"), true).await.unwrap();
        held.insert((Family::Log, "last".into()), "of all".into());
    }
    (dir, held)
}

/// Everything, as whoever starts a node reads it.
async fn read(dir: &Path) -> Result<Held, Error> {
    let disk = RocksDisk::open(dir)?;
    let mut held = Held::new();
    for family in Family::ALL {
        let rows = disk.range(family, all()).await?;
        held.extend(rows.into_iter().map(|(key, value)| ((family, key), value)));
    }
    Ok(held)
}

fn copy(from: &Path) -> TempDir {
    let to = TempDir::new().unwrap();
    for file in fs::read_dir(from).unwrap().map(|file| file.unwrap().path()) {
        fs::copy(&file, to.path().join(file.file_name().unwrap())).unwrap();
    }
    to
}

fn damage(file: &Path, how: Damage) {
    let mut bytes = fs::read(file).unwrap();
    match how {
        Damage::Bent(at) => bytes[at as usize] ^= 0x10,
        Damage::Cut(at) => bytes.truncate(at as usize),
        Damage::Zeroed(at) => bytes[at as usize..].fill(0),
        Damage::Gone => return fs::remove_file(file).unwrap(),
    }
    fs::write(file, bytes).unwrap();
}

/// The files of a directory whose name has this in it, none of them empty.
fn files(dir: &Path, part: &str) -> Vec<PathBuf> {
    let all = fs::read_dir(dir).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> = all
        .filter(|path| path.file_name().unwrap().to_str().unwrap().contains(part))
        .filter(|path| fs::metadata(path).unwrap().len() > 0)
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no {part} in {}", dir.display());
    files
}

/// What to try on a file of this length.
fn damages(len: u64) -> Vec<Damage> {
    let mut dice = Dice::of(len);
    let edges = (0..EDGE).chain(len.saturating_sub(EDGE)..len);
    let places: Vec<u64> = edges.chain((0..PLACES).map(|_| dice.below(len))).filter(|at| *at < len).collect();
    let each = |at: &u64| [Damage::Bent(*at), Damage::Cut(*at), Damage::Zeroed(*at)];
    places.iter().flat_map(each).chain([Damage::Gone]).collect()
}

/// Damages each file of a kind in every way; answers how many were told and how many did no harm.
async fn every_damage_of(part: &str) -> (u32, u32) {
    let (whole, held) = stopped().await;
    let (mut told, mut harmless) = (0, 0);
    for file in files(whole.path(), part) {
        for how in damages(fs::metadata(&file).unwrap().len()) {
            let dir = copy(whole.path());
            let place = dir.path().join(file.file_name().unwrap());
            damage(&place, how);
            match read(dir.path()).await {
                Ok(found) => {
                    assert!(
                        found == held,
                        "{how:?} of {}: rows are missing and nobody said so",
                        place.display()
                    );
                    harmless += 1;
                }
                Err(error) => {
                    let text = error.to_string();
                    assert!(matches!(error, Error::Corrupt(_)), "{how:?} of {}: {text}", place.display());
                    assert!(text.contains(&*dir.path().to_string_lossy()), "{how:?} of {part}: {text}");
                    // A bent name in CURRENT is told as the manifest that is not there.
                    // So is a table of which the manifest says other things than it does itself.
                    let vouched = ["CURRENT", ".sst"].contains(&part) && text.contains("MANIFEST");
                    let named = text.contains(part) || vouched;
                    assert!(named || how == Damage::Gone, "{how:?} of {part}: {text}");
                    assert!(text.contains("let it join anew"), "{how:?} of {part}: {text}");
                    told += 1;
                }
            }
        }
    }
    println!("{part}: {told} damages told, {harmless} did no harm");
    (told, harmless)
}

#[tokio::test]
async fn damage_of_the_log_is_told_even_at_its_end() {
    let (told, _) = every_damage_of(".log").await;
    assert!(told > 0);
}

#[tokio::test]
async fn damage_of_a_sorted_file_is_told_when_it_is_read() {
    let (told, _) = every_damage_of(".sst").await;
    assert!(told > 0);
}

#[tokio::test]
async fn damage_of_the_manifest_is_told() {
    let (told, _) = every_damage_of("MANIFEST").await;
    assert!(told > 0);
}

#[tokio::test]
async fn damage_of_the_file_that_names_the_manifest_is_told() {
    let (told, _) = every_damage_of("CURRENT").await;
    assert!(told > 0);
}

#[tokio::test]
async fn damage_of_the_floor_is_told_or_does_no_harm() {
    every_damage_of("SYNCED").await;
}

#[tokio::test]
async fn a_log_torn_within_a_write_that_nobody_was_told_of_is_no_damage() {
    let dir = TempDir::new().unwrap();
    let disk = RocksDisk::open(dir.path()).unwrap();
    disk.write(put(Family::Log, "a", "certainly"), true).await.unwrap();
    let log = files(dir.path(), ".log").remove(0);
    let acknowledged = fs::metadata(&log).unwrap().len();
    disk.write(put(Family::Log, "b", &"perhaps".repeat(100)), false).await.unwrap();
    // Closing syncs the second write; the floor as it was before is what a crash leaves.
    let floor = fs::read(dir.path().join("SYNCED")).unwrap();
    drop(disk);
    fs::write(dir.path().join("SYNCED"), floor).unwrap();
    damage(&log, Damage::Cut(acknowledged + 20));
    let held = read(dir.path()).await.unwrap();
    assert_eq!(held.into_keys().collect::<Vec<_>>(), [(Family::Log, Bytes::from("a"))]);
}
