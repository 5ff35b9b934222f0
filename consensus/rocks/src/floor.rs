//! What had become durable, remembered beside it. RocksDB takes a log or a manifest that ends early for one that a crash tore,
//! and drops what is missing without a word; but what was acknowledged is not missing because of a crash. The sync thread
//! raises the floor after each sync, before anybody is told; whoever opens the directory checks that all of it is there.
//!
//! The floor's file is never synced itself: after a power cut it may be older than what it speaks of, which only makes the
//! check milder. It never decides what is durable.

use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use consensus::disk::Error;

use crate::fault;

/// Its name in the directory.
const FILE: &str = "SYNCED";
/// The file that names the manifest, and how it does.
pub(crate) const CURRENT: &str = "CURRENT";
const MANIFEST: &str = "MANIFEST-";
/// Words of eight bytes: the write's number, the manifest's number, length and sum, and a check over these.
const WORDS: usize = 5;
const LEN: usize = WORDS * 8;

/// A manifest up to a length that is durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Manifest {
    number: u64,
    len: u64,
    sum: u64,
}

/// What is known to be durable.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Durable {
    /// The number of the last write.
    write: u64,
    manifest: Manifest,
}

pub(crate) struct Floor {
    folder: PathBuf,
    path: PathBuf,
    file: File,
    durable: Durable,
}

impl Floor {
    /// Opens a directory's floor, and makes it where there is none, as in one of an older version. Refuses a manifest that
    /// lost something: RocksDB must not see it, for it removes the files that such a one does not name.
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|e| fault::io(&path, &e))?;
        let mut floor = Self { folder: folder.to_owned(), path, file, durable: Durable::default() };
        floor.durable = floor.read()?;
        floor.check_manifest()?;
        Ok(floor)
    }

    /// The number of the last write that was durable; 0 when that is not known.
    pub(crate) fn write(&self) -> u64 {
        self.durable.write
    }

    /// Remembers that everything up to this write is durable, and the manifest if it has changed.
    pub(crate) fn raise(&mut self, write: u64) -> Result<(), Error> {
        self.durable.write = write;
        self.follow_manifest()?;
        let Durable { write, manifest: Manifest { number, len, sum } } = self.durable;
        let mut bytes = [0; LEN];
        for (to, word) in
            bytes.chunks_exact_mut(8).zip([write, number, len, sum, check(write, number, len, sum)])
        {
            to.copy_from_slice(&word.to_be_bytes());
        }
        self.file.write_all_at(&bytes, 0).map_err(|e| fault::io(&self.path, &e))
    }

    fn read(&self) -> Result<Durable, Error> {
        let mut bytes = [0; LEN];
        match self.file.read_exact_at(&mut bytes, 0) {
            Ok(()) => {}
            Err(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => return Ok(Durable::default()),
            Err(e) => return Err(fault::io(&self.path, &e)),
        }
        let mut words = [0u64; WORDS];
        for (word, from) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = from.iter().fold(0, |word, byte| (word << 8) | u64::from(*byte));
        }
        match words {
            // What a power cut leaves of a new file.
            [0, 0, 0, 0, 0] => Ok(Durable::default()),
            [write, number, len, sum, last] if last == check(write, number, len, sum) => {
                Ok(Durable { write, manifest: Manifest { number, len, sum } })
            }
            _ => Err(Error::Corrupt(format!("{} is not what was written", self.path.display()))),
        }
    }

    /// Whether the manifest still has what was durable of it. A later one took over all of an earlier one.
    fn check_manifest(&self) -> Result<(), Error> {
        let known = self.durable.manifest;
        let Some(number) = self.current() else { return Ok(()) };
        let path = self.manifest(number);
        if number < known.number {
            let (head, known) = (self.folder.join(CURRENT), self.manifest(known.number));
            let text = format!("{} names {}, older than {}", head.display(), path.display(), known.display());
            return Err(Error::Corrupt(text));
        }
        if number > known.number {
            return Ok(());
        }
        // One that is not there is RocksDB's to tell.
        let Ok(bytes) = fs::read(&path) else { return Ok(()) };
        let durable = usize::try_from(known.len).ok().and_then(|len| bytes.get(..len));
        if durable.map(sum) == Some(known.sum) {
            return Ok(());
        }
        Err(Error::Corrupt(format!(
            "{} lost some of the {} bytes that had been durable",
            path.display(),
            known.len
        )))
    }

    /// Takes note of a manifest that has grown or is a new one; seldom, for that happens when files are written.
    fn follow_manifest(&mut self) -> Result<(), Error> {
        let known = self.durable.manifest;
        let len = |number| fs::metadata(self.manifest(number)).map(|meta| meta.len());
        if known.len > 0 && len(known.number).is_ok_and(|len| len == known.len) {
            return Ok(());
        }
        let Some(number) = self.current() else { return Ok(()) };
        let path = self.manifest(number);
        let read = || {
            let file = File::open(&path)?;
            let bytes = fs::read(&path)?;
            file.sync_data()?;
            Ok(bytes)
        };
        let bytes = read().map_err(|e| fault::io(&path, &e))?;
        self.durable.manifest = Manifest { number, len: bytes.len() as u64, sum: sum(&bytes) };
        Ok(())
    }

    fn manifest(&self, number: u64) -> PathBuf {
        self.folder.join(format!("{MANIFEST}{number:06}"))
    }

    /// The number of the manifest that is the valid one, if that can be told.
    fn current(&self) -> Option<u64> {
        let text = fs::read_to_string(self.folder.join(CURRENT)).ok()?;
        text.strip_prefix(MANIFEST)?.trim_end().parse().ok()
    }
}

/// Differs wherever one of them does.
fn check(write: u64, number: u64, len: u64, sum: u64) -> u64 {
    !(write ^ number.rotate_left(16) ^ len.rotate_left(32) ^ sum.rotate_left(48))
}

/// FNV-1a with 64 bits: enough against chance, and nobody else is on this disk.
fn sum(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |sum, byte| (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_manifest(number: u64, text: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        name_manifest(folder.path(), number, text);
        folder
    }

    fn name_manifest(folder: &Path, number: u64, text: &str) {
        fs::write(folder.join(format!("{MANIFEST}{number:06}")), text).unwrap();
        fs::write(folder.join(CURRENT), format!("{MANIFEST}{number:06}\n")).unwrap();
    }

    #[test]
    fn the_floor_is_what_it_was_raised_to_last() {
        let folder = with_manifest(5, "one");
        let mut floor = Floor::open(folder.path()).unwrap();
        assert_eq!(floor.write(), 0);
        floor.raise(7).unwrap();
        floor.raise(1 << 40).unwrap();
        assert_eq!(Floor::open(folder.path()).unwrap().write(), 1 << 40);
    }

    #[test]
    fn a_floor_that_is_damaged_is_told_and_one_that_is_cut_is_none() {
        let folder = with_manifest(5, "one");
        let mut floor = Floor::open(folder.path()).unwrap();
        floor.raise(7).unwrap();
        for at in 0..LEN as u64 {
            let mut byte = [0];
            floor.file.read_exact_at(&mut byte, at).unwrap();
            floor.file.write_all_at(&[byte[0] ^ 4], at).unwrap();
            let error = floor.read().unwrap_err();
            assert!(matches!(&error, Error::Corrupt(what) if what.contains("SYNCED")), "{error}");
            floor.file.write_all_at(&byte, at).unwrap();
        }
        floor.file.set_len(LEN as u64 - 1).unwrap();
        assert_eq!(floor.read(), Ok(Durable::default()));
    }

    #[test]
    fn a_manifest_may_grow_and_be_replaced_but_not_lose_anything() {
        let folder = with_manifest(5, "one");
        let mut floor = Floor::open(folder.path()).unwrap();
        floor.raise(1).unwrap();
        name_manifest(folder.path(), 5, "one and two");
        assert!(Floor::open(folder.path()).is_ok(), "it has grown since");
        floor.raise(2).unwrap();
        for lost in ["one", "one and twX"] {
            name_manifest(folder.path(), 5, lost);
            assert!(Floor::open(folder.path()).is_err(), "{lost}");
        }
        name_manifest(folder.path(), 4, "an older one");
        assert!(Floor::open(folder.path()).is_err(), "older");
        name_manifest(folder.path(), 6, "x");
        assert!(Floor::open(folder.path()).is_ok(), "a later one");
    }
}
