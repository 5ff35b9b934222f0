//! A node's data directory: made on first use, locked while it is used, and marked with the format it is written in. What
//! lies in it belongs to `runtime` (small files), the metadata's disk (`db`) and the engines (`logs`).

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use domain::NodeId;
use serde_json::Value;

use crate::os::files::write_durably;

/// Engines' logs, below the data directory.
pub(crate) const LOGS: &str = "logs";
/// The metadata's disk, below the data directory.
pub(crate) const DB: &str = "db";
/// The format this program writes and reads.
const FORMAT: u32 = 1;
const FORMAT_FILE: &str = "FORMAT";
const LOCK_FILE: &str = "LOCK";
/// Left by a node that was removed from its cluster, whose data is of no use any more.
const REMOVED_FILE: &str = "REMOVED";
/// Who the node is; the runtime writes it.
const IDENTITY_FILE: &str = "node.json";

/// Why a data directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system refuses.
    #[error(
        "the data directory's {path} cannot be used: {source}; correct that, or choose another with --data"
    )]
    System {
        /// What of it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process is at work in it.
    #[error("data directory {path} is in use by process {pid}: stop that one, or choose another with --data")]
    InUse {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        pid: String,
    },
    /// A newer program wrote it.
    #[error(
        "data directory {path} has format {found}, and this program knows formats up to {FORMAT}: start the program \
         that wrote it, or a newer one"
    )]
    Newer {
        /// Which.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// The mark cannot be read.
    #[error(
        "{path} holds no format number: restore it from a backup, or wipe the directory to join as a new node"
    )]
    BadMark {
        /// Which file.
        path: PathBuf,
    },
    /// Its node was removed from its cluster, and no node may take that id again.
    #[error(
        "data directory {path} is that of a node which was removed from its cluster: delete it, then a node can join \
         anew"
    )]
    Removed {
        /// Which.
        path: PathBuf,
    },
    /// There is none.
    #[error("there is no data directory {path}: name that of a node with --data")]
    Missing {
        /// Which.
        path: PathBuf,
    },
}

/// A locked data directory; the lock is let go of when this is dropped or the process ends.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    _lock: File,
}

impl DataDir {
    /// Opens a data directory and makes it where there is none.
    ///
    /// # Errors
    /// Says what to do.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let make = |path: &Path| {
            let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
            made.map_err(|source| Error::System { path: path.to_owned(), source })
        };
        make(path)?;
        let path = path.canonicalize().map_err(|source| Error::System { path: path.to_owned(), source })?;
        let lock = lock(&path)?;
        check_format(&path)?;
        if was_removed(&path) {
            return Err(Error::Removed { path });
        }
        make(&path.join(LOGS))?;
        Ok(Self { path, _lock: lock })
    }

    /// Opens one that must be there.
    ///
    /// # Errors
    /// Says what to do.
    pub(crate) fn open_existing(path: &Path) -> Result<Self, Error> {
        if !path.join(FORMAT_FILE).exists() {
            return Err(Error::Missing { path: path.to_owned() });
        }
        Self::open(path)
    }

    /// Where it is, in full.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Whether a data directory makes its node a member of a cluster.
pub(crate) fn has_identity(folder: &Path) -> bool {
    node_id(folder).is_some()
}

/// The id of the node whose data directory this is, once its bootstrap or join got to its end: before, no cluster need
/// know it.
pub(crate) fn node_id(folder: &Path) -> Option<NodeId> {
    let text = fs::read(folder.join(IDENTITY_FILE)).ok()?;
    let node = serde_json::from_slice::<Value>(&text).ok()?;
    node["id"].as_u64().filter(|_| node["complete"] == true).map(NodeId)
}

/// Whether its node was removed from its cluster, as far as is known here.
pub(crate) fn was_removed(folder: &Path) -> bool {
    folder.join(REMOVED_FILE).exists()
}

/// Remembers that its node was removed.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn mark_removed(folder: &Path) -> io::Result<()> {
    write_durably(
        &folder.join(REMOVED_FILE),
        b"this node was removed from its cluster: its data can be deleted\n",
    )
}

fn lock(folder: &Path) -> Result<File, Error> {
    let path = folder.join(LOCK_FILE);
    let system = |source| Error::System { path: path.clone(), source };
    let opened =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
    let mut file = opened.map_err(system)?;
    // SAFETY: the descriptor is open for as long as the file lives, and the call takes no pointers.
    if unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) } != 0 {
        let refused = io::Error::last_os_error();
        if refused.kind() != io::ErrorKind::WouldBlock {
            return Err(system(refused));
        }
        let mut pid = String::new();
        let _ = file.read_to_string(&mut pid);
        let pid = Some(pid.trim().to_owned()).filter(|pid| !pid.is_empty()).unwrap_or_else(|| "?".to_owned());
        return Err(Error::InUse { path: folder.to_owned(), pid });
    }
    let mark = |file: &mut File| {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    mark(&mut file).map_err(system)?;
    Ok(file)
}

fn check_format(folder: &Path) -> Result<(), Error> {
    let path = folder.join(FORMAT_FILE);
    let system = |source| Error::System { path: path.clone(), source };
    match fs::read_to_string(&path) {
        Ok(text) => match text.trim().parse() {
            Ok(FORMAT) => Ok(()),
            Ok(found @ 1..) => Err(Error::Newer { path: folder.to_owned(), found }),
            _ => Err(Error::BadMark { path }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            write_durably(&path, format!("{FORMAT}\n").as_bytes()).map_err(system)
        }
        Err(error) => Err(system(error)),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_new_directory_is_its_owners_alone_and_can_be_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/n1");
        let data = DataDir::open(&path).unwrap();
        assert_eq!(fs::metadata(data.path()).unwrap().permissions().mode() & 0o777, 0o700);
        drop(data);
        assert!(DataDir::open_existing(&path).is_ok());
    }

    #[test]
    fn a_second_user_is_told_whose_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let _first = DataDir::open(folder.path()).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains(&format!("in use by process {}", std::process::id())), "{error}");
    }

    #[test]
    fn a_newer_format_is_refused_and_a_mark_that_is_none_too() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FORMAT_FILE), "2\n").unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(Error::Newer { found: 2, .. })));
        fs::write(folder.path().join(FORMAT_FILE), "x").unwrap();
        assert!(matches!(DataDir::open(folder.path()), Err(Error::BadMark { .. })));
    }

    #[test]
    fn what_must_be_there_is_not_made() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(DataDir::open_existing(&folder.path().join("none")), Err(Error::Missing { .. })));
        assert!(!folder.path().join("none").exists());
    }

    #[test]
    fn that_of_a_removed_node_is_refused_with_what_to_do() {
        let folder = tempfile::tempdir().unwrap();
        DataDir::open(folder.path()).unwrap();
        assert!(!was_removed(folder.path()));
        mark_removed(folder.path()).unwrap();
        let error = DataDir::open(folder.path()).unwrap_err();
        assert!(error.to_string().contains("delete it"), "{error}");
    }

    #[test]
    fn an_identity_counts_once_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!has_identity(folder.path()));
        let write = |text: &str| fs::write(folder.path().join(IDENTITY_FILE), text).unwrap();
        write(r#"{"id":42,"complete":false}"#);
        assert!(!has_identity(folder.path()));
        assert_eq!(node_id(folder.path()), None, "a node that is still joining is in nobody's list yet");
        write(r#"{"id":42,"complete":true}"#);
        assert!(has_identity(folder.path()));
        assert_eq!(node_id(folder.path()), Some(NodeId(42)));
    }
}
