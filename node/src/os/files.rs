//! The small files of a data directory, written whole or not at all. `runtime` keeps the node's identity in them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use async_trait::async_trait;
use bytes::Bytes;
use runtime::Files;

/// What a file is called while it is being written.
const UNFINISHED: &str = ".new";

/// Files of one directory.
#[derive(Debug, Clone)]
pub(crate) struct OsFiles {
    folder: PathBuf,
}

impl OsFiles {
    /// The files of this directory, which must be there.
    pub(crate) fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into() }
    }
}

#[async_trait]
impl Files for OsFiles {
    async fn read(&self, name: &str) -> io::Result<Option<Bytes>> {
        let path = self.folder.join(name);
        on_blocking_thread(move || match fs::read(&path) {
            Ok(content) => Ok(Some(content.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        })
        .await
    }

    async fn write(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let (path, content) = (self.folder.join(name), content.to_vec());
        on_blocking_thread(move || write_durably(&path, &content)).await
    }
}

async fn on_blocking_thread<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Writes a file atomically and durably, readable by its owner only.
///
/// # Errors
/// What the system says; the old content is then still there.
pub(crate) fn write_durably(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(UNFINISHED);
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    // The new name is durable only when the directory is.
    File::open(path.parent().unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[tokio::test]
    async fn a_file_reads_back_what_was_written_and_only_its_owner_may() {
        let folder = tempfile::tempdir().unwrap();
        let files = OsFiles::new(folder.path());
        assert_eq!(files.read("node.key").await.unwrap(), None);
        files.write("node.key", b"one").await.unwrap();
        files.write("node.key", b"two").await.unwrap();
        assert_eq!(files.read("node.key").await.unwrap().unwrap(), "two");
        let mode = fs::metadata(folder.path().join("node.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing unfinished is left");
    }
}
