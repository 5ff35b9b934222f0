//! A directory of backups: `BACKUP` says how its key is made, `pieces/` holds sealed rows, `manifests/` one sealed file for
//! each whole backup. Every file is written beside its place, made durable and renamed, the manifest last; so whatever is
//! interrupted leaves earlier backups whole and itself invisible.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use actors::ports::Entropy;
use domain::restore::RawRow;
use runtime::seal;
use serde::{Deserialize, Serialize};

use super::Error;
use super::key::{self, Given, Keys, Lock};
use super::manifest::{FORMAT, Manifest, Part};
use super::piece::{self, Piece};
use crate::os::files::write_durably;

const FIRST_FILE: &str = "BACKUP";
const LOCK_FILE: &str = "LOCK";
const PIECES: &str = "pieces";
const MANIFESTS: &str = "manifests";
const ENDING: &str = ".manifest";
/// The longest id of a backup, in bytes: it becomes a file's name.
const ID_LEN_MAX: usize = 100;

/// What stands in the first file, in clear.
#[derive(Debug, Serialize, Deserialize)]
struct First {
    format: u32,
    key: Lock,
}

/// A directory of backups, opened with its key.
pub(crate) struct Place {
    path: PathBuf,
    keys: Keys,
    _lock: Option<File>,
}

impl Place {
    /// Opens a directory to write a backup into it, and makes it where there is none. One process at a time.
    pub(crate) fn to_write(path: &Path, given: &Given, entropy: &dyn Entropy) -> Result<Self, Error> {
        make(path)?;
        let lock = lock(path)?;
        if !path.join(FIRST_FILE).exists() {
            let others = entries(path)?
                .into_iter()
                .find(|name| ![LOCK_FILE, PIECES, MANIFESTS].contains(&name.as_str()));
            if let Some(other) = others {
                return Err(Error::Place(format!(
                    "{} holds no backups but something else ({other}): name an empty directory, or one that is not there yet",
                    path.display()
                )));
            }
            let (lock, _) = key::create(given, entropy)?;
            let text = serde_json::to_vec_pretty(&First { format: FORMAT, key: lock });
            let text = text.map_err(|e| Error::Place(e.to_string()))?;
            make(&path.join(PIECES))?;
            make(&path.join(MANIFESTS))?;
            write(&path.join(FIRST_FILE), &text)?;
        }
        Ok(Self { _lock: Some(lock), ..Self::to_read(path, given)? })
    }

    /// Opens a directory to read it.
    pub(crate) fn to_read(path: &Path, given: &Given) -> Result<Self, Error> {
        let first = path.join(FIRST_FILE);
        let text = match fs::read(&first) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(Error::Place(format!(
                    "{} holds no backups: name the directory of one",
                    path.display()
                )));
            }
            read => read.map_err(|source| Error::System { path: first.clone(), source })?,
        };
        #[derive(Deserialize)]
        struct Head {
            format: u32,
        }
        let damaged = |e: serde_json::Error| Error::Damaged { path: first.clone(), what: e.to_string() };
        let format = serde_json::from_slice::<Head>(&text).map_err(damaged)?.format;
        if format > FORMAT {
            return Err(Error::Place(format!(
                "the backups in {} have format {format}, and this program knows formats up to {FORMAT}: use the program \
                 that wrote them, or a newer one",
                path.display()
            )));
        }
        let keys = serde_json::from_slice::<First>(&text).map_err(damaged)?.key.open(given)?;
        Ok(Self { path: path.to_owned(), keys, _lock: None })
    }

    /// Its keys.
    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The whole backups in it, the oldest first.
    pub(crate) fn ids(&self) -> Result<Vec<String>, Error> {
        let mut ids: Vec<String> = entries(&self.path.join(MANIFESTS))?
            .iter()
            .filter_map(|name| name.strip_suffix(ENDING).map(str::to_owned))
            .collect();
        ids.sort();
        Ok(ids)
    }

    /// The id that was asked for, or the latest.
    pub(crate) fn find(&self, asked: Option<&str>) -> Result<String, Error> {
        let ids = self.ids()?;
        match asked {
            Some(asked) if ids.iter().any(|id| id == asked) => Ok(asked.to_owned()),
            Some(asked) => Err(Error::Place(format!(
                "there is no backup {asked} in {}: `llmhub backup list` shows those there are",
                self.path.display()
            ))),
            None => ids.into_iter().next_back().ok_or_else(|| {
                Error::Place(format!("there is no whole backup in {}: make one", self.path.display()))
            }),
        }
    }

    /// Reads a backup's manifest.
    pub(crate) fn manifest(&self, id: &str) -> Result<Manifest, Error> {
        let path = self.manifest_path(id)?;
        let bytes = read(&path)?;
        let clear = key::sealed(&bytes)
            .and_then(|sealed| seal::open(&self.keys.manifests, &format!("manifest {id}"), &sealed).ok());
        let damaged = |what: String| Error::Damaged { path: path.clone(), what };
        let clear =
            clear.ok_or_else(|| damaged("it does not open with the key of these backups".to_owned()))?;
        let manifest: Manifest = serde_json::from_slice(&clear).map_err(|e| damaged(e.to_string()))?;
        if manifest.format > FORMAT {
            return Err(Error::Place(format!(
                "backup {id} has format {}, and this program knows formats up to {FORMAT}: use a newer one",
                manifest.format
            )));
        }
        Ok(manifest)
    }

    /// Writes a backup's manifest, which makes it one.
    pub(crate) fn put_manifest(&self, manifest: &Manifest, entropy: &dyn Entropy) -> Result<(), Error> {
        let id = &manifest.head.id;
        let path = self.manifest_path(id)?;
        let clear = serde_json::to_vec(manifest).map_err(|e| Error::Place(e.to_string()))?;
        let sealed = seal::seal(&self.keys.manifests, &format!("manifest {id}"), &clear, entropy);
        let sealed = sealed.map_err(|e| Error::Place(e.to_string()))?;
        write(&path, &[sealed.nonce, sealed.bytes].concat())
    }

    fn manifest_path(&self, id: &str) -> Result<PathBuf, Error> {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
        if id.is_empty() || id.len() > ID_LEN_MAX || id.starts_with('.') || !id.chars().all(plain) {
            return Err(Error::Place(format!("`{}` is no id of a backup", id.escape_debug())));
        }
        Ok(self.path.join(MANIFESTS).join(format!("{id}{ENDING}")))
    }

    /// Writes a piece, unless it is there and whole; says whether it was written.
    pub(crate) fn put_piece(&self, piece: &Piece, entropy: &dyn Entropy) -> Result<(Part, bool), Error> {
        let name = piece::name(&self.keys.names, &piece.content);
        let bytes = piece.content.len() as u64;
        let part = Part { name, table: piece.table, rows: piece.rows, bytes };
        if self.content(&part).is_ok() {
            return Ok((part, false));
        }
        let sealed = seal::seal(&self.piece_key(&part.name), &part.name, &piece.content, entropy);
        let sealed = sealed.map_err(|e| Error::Place(e.to_string()))?;
        write(&self.piece_path(&part.name), &[sealed.nonce, sealed.bytes].concat())?;
        Ok((part, true))
    }

    /// Reads a piece's rows and checks them against their name and number.
    pub(crate) fn piece(&self, part: &Part) -> Result<Vec<RawRow>, Error> {
        let content = self.content(part)?;
        let rows = piece::rows(&content).filter(|rows| rows.len() as u64 == part.rows);
        rows.ok_or_else(|| Error::Damaged {
            path: self.piece_path(&part.name),
            what: format!("it does not hold the {} rows that its manifest tells", part.rows),
        })
    }

    fn content(&self, part: &Part) -> Result<zeroize::Zeroizing<Vec<u8>>, Error> {
        let path = self.piece_path(&part.name);
        let bytes = read(&path)?;
        let clear = key::sealed(&bytes)
            .and_then(|sealed| seal::open(&self.piece_key(&part.name), &part.name, &sealed).ok())
            .filter(|clear| piece::name(&self.keys.names, clear) == part.name);
        clear.ok_or_else(|| Error::Damaged {
            path,
            what: "it does not hold what its name says (the next backup writes it anew if the cluster still has it)".to_owned(),
        })
    }

    fn piece_key(&self, name: &str) -> seal::Key {
        key::derive(&self.keys.pieces, name)
    }

    fn piece_path(&self, name: &str) -> PathBuf {
        self.path.join(PIECES).join(name)
    }

    /// Files that no backup needs: what an interrupted one left, until the next one uses or replaces it.
    pub(crate) fn strays(&self, needed: &BTreeSet<String>) -> Result<u64, Error> {
        let pieces = entries(&self.path.join(PIECES))?;
        Ok(pieces.iter().filter(|name| !needed.contains(*name)).count() as u64)
    }
}

fn make(path: &Path) -> Result<(), Error> {
    let system = |source| Error::System { path: path.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(system)?;
    // Its name is durable only when the directory above is.
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(above).and_then(|above| above.sync_all()).map_err(system)
}

fn lock(path: &Path) -> Result<File, Error> {
    let file = path.join(LOCK_FILE);
    let system = |source| Error::System { path: file.clone(), source };
    let opened = File::options().write(true).create(true).truncate(false).open(&file).map_err(system)?;
    match opened.try_lock() {
        Ok(()) => Ok(opened),
        Err(fs::TryLockError::WouldBlock) => {
            Err(Error::Place(format!("another backup into {} is under way: wait for it", path.display())))
        }
        Err(fs::TryLockError::Error(source)) => Err(system(source)),
    }
}

fn entries(path: &Path) -> Result<Vec<String>, Error> {
    let system = |source| Error::System { path: path.to_owned(), source };
    let names = fs::read_dir(path).map_err(system)?;
    names.map(|entry| Ok(entry.map_err(system)?.file_name().to_string_lossy().into_owned())).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(Error::Damaged { path: path.to_owned(), what: "it is missing".to_owned() })
        }
        read => read.map_err(|source| Error::System { path: path.to_owned(), source }),
    }
}

fn write(path: &Path, content: &[u8]) -> Result<(), Error> {
    write_durably(path, content).map_err(|source| Error::System { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::super::manifest::Head;
    use super::*;
    use crate::os::entropy::OsEntropy;

    fn given() -> Given {
        Given::File(seal::Key::new([5; 32]))
    }

    fn piece(value: &str) -> Piece {
        let row = RawRow { key: b"\x03key".to_vec(), value: value.as_bytes().to_vec() };
        let mut cutter = piece::Cutter::default();
        let mut whole = cutter.push(&row);
        whole.extend(cutter.finish());
        whole.remove(0)
    }

    fn manifest(id: &str, parts: Vec<Part>) -> Manifest {
        let head = Head {
            id: id.to_owned(),
            cluster: "default".to_owned(),
            authority: None,
            index: 1,
            base: 1,
            level: 1,
            version: "0".to_owned(),
            at: String::new(),
            data_keys: Vec::new(),
        };
        Manifest { format: FORMAT, head, parts }
    }

    #[test]
    fn what_was_backed_up_is_read_and_nothing_is_written_twice() {
        let folder = tempfile::tempdir().unwrap();
        let (path, entropy) = (folder.path().join("deep/backups"), OsEntropy::default());
        let place = Place::to_write(&path, &given(), &entropy).unwrap();
        let (part, new) = place.put_piece(&piece("secret value"), &entropy).unwrap();
        assert!(new && !place.put_piece(&piece("secret value"), &entropy).unwrap().1);
        assert!(place.find(None).is_err(), "without a manifest there is no backup");
        place.put_manifest(&manifest("a-1", vec![part.clone()]), &entropy).unwrap();
        place.put_manifest(&manifest("b-2", Vec::new()), &entropy).unwrap();
        drop(place);
        let place = Place::to_read(&path, &given()).unwrap();
        assert_eq!(
            (place.ids().unwrap(), place.find(None).unwrap()),
            (vec!["a-1".into(), "b-2".into()], "b-2".into())
        );
        assert_eq!(place.manifest("a-1").unwrap().counts(), [("deployments".to_owned(), 1)]);
        assert_eq!(place.piece(&part).unwrap()[0].value, b"secret value");
        assert!(place.find(Some("c")).err().unwrap().to_string().contains("backup list"));
        for file in [path.join(PIECES).join(&part.name), path.join(MANIFESTS).join("a-1.manifest")] {
            let bytes = fs::read(file).unwrap();
            assert!(!bytes.windows(6).any(|w| w == b"secret" || w == b"deploy"));
        }
    }

    #[test]
    fn a_damaged_or_missing_file_is_named_and_the_next_backup_mends_it() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = OsEntropy::default();
        let place = Place::to_write(folder.path(), &given(), &entropy).unwrap();
        let (part, _) = place.put_piece(&piece("value"), &entropy).unwrap();
        place.put_manifest(&manifest("a-1", vec![part.clone()]), &entropy).unwrap();
        let file = folder.path().join(PIECES).join(&part.name);
        let good = fs::read(&file).unwrap();
        for at in 0..good.len() {
            let mut bent = good.clone();
            bent[at] ^= 1;
            fs::write(&file, &bent).unwrap();
            let error = place.piece(&part).err().unwrap().to_string();
            assert!(error.contains(&part.name) && error.contains("damaged"), "{error}");
        }
        fs::remove_file(&file).unwrap();
        assert!(place.piece(&part).err().unwrap().to_string().contains("it is missing"));
        assert!(place.put_piece(&piece("value"), &entropy).unwrap().1);
        assert!(place.piece(&part).is_ok());
        // One manifest in another's place.
        fs::copy(
            folder.path().join(MANIFESTS).join("a-1.manifest"),
            folder.path().join(MANIFESTS).join("b-2.manifest"),
        )
        .unwrap();
        assert!(matches!(place.manifest("b-2"), Err(Error::Damaged { .. })));
    }

    #[test]
    fn a_directory_of_something_else_and_a_second_writer_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = OsEntropy::default();
        fs::write(folder.path().join("thesis.tex"), "x").unwrap();
        let error = Place::to_write(folder.path(), &given(), &entropy).err().unwrap().to_string();
        assert!(error.contains("thesis.tex"), "{error}");
        assert!(
            Place::to_read(folder.path(), &given()).err().unwrap().to_string().contains("holds no backups")
        );
        let path = folder.path().join("b");
        let _first = Place::to_write(&path, &given(), &entropy).unwrap();
        assert!(Place::to_write(&path, &given(), &entropy).err().unwrap().to_string().contains("under way"));
        assert!(Place::to_read(&path, &given()).is_ok());
        let place = Place::to_read(&path, &given()).unwrap();
        for id in ["", "../x", ".x", "a/b"] {
            assert!(place.manifest(id).err().unwrap().to_string().contains("no id of a backup"));
        }
    }

    #[test]
    fn an_interrupted_write_leaves_no_backup() {
        let folder = tempfile::tempdir().unwrap();
        let entropy = OsEntropy::default();
        let place = Place::to_write(folder.path(), &given(), &entropy).unwrap();
        let (part, _) = place.put_piece(&piece("value"), &entropy).unwrap();
        fs::write(folder.path().join(MANIFESTS).join("a-1.manifest.new"), "half").unwrap();
        assert!(place.ids().unwrap().is_empty());
        assert_eq!(place.strays(&BTreeSet::new()).unwrap(), 1);
        assert_eq!(place.strays(&BTreeSet::from([part.name])).unwrap(), 0);
    }
}
