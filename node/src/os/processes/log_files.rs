//! Engines' log files: one a label, begun anew at a bounded size, the one before kept.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

/// A log file's size in bytes at which a new one is begun.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Files held open at most; beyond that they are opened for each line.
const OPEN_MAX: usize = 64;

struct Open {
    file: File,
    len: u64,
}

/// The log files of a folder.
pub(super) struct LogFiles {
    folder: PathBuf,
    open: Mutex<BTreeMap<String, Open>>,
    bytes_max: u64,
}

impl LogFiles {
    /// The log files of this folder.
    pub(super) fn new(folder: PathBuf) -> Self {
        Self { folder, open: Mutex::default(), bytes_max: FILE_BYTES_MAX }
    }

    /// Appends a line. A log that cannot be written is told once per line in the node's own log and stops nobody.
    pub(super) fn append(&self, label: &str, line: &str) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.write(&mut open, &file_name(label), line) {
            tracing::debug!(label, %error, "an engine's log cannot be written");
        }
    }

    fn write(&self, open: &mut BTreeMap<String, Open>, name: &str, line: &str) -> io::Result<()> {
        let mut log = match open.remove(name) {
            Some(log) => log,
            None => self.open(name)?,
        };
        let len = line.len() as u64 + 1;
        if log.len > 0 && log.len + len > self.bytes_max {
            let path = self.folder.join(name);
            fs::rename(&path, path.with_extension("log.old"))?;
            log = self.open(name)?;
        }
        log.file.write_all(format!("{line}\n").as_bytes())?;
        log.len += len;
        if open.len() < OPEN_MAX {
            open.insert(name.to_owned(), log);
        }
        Ok(())
    }

    fn open(&self, name: &str) -> io::Result<Open> {
        let path = self.folder.join(name);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let len = file.metadata()?.len();
        Ok(Open { file, len })
    }
}

/// A label holds a slash, a file's name must not.
fn file_name(label: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    format!("{}.log", label.chars().map(plain).collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_and_the_file_is_begun_anew_at_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogFiles { bytes_max: 12, ..LogFiles::new(folder.path().to_owned()) };
        for line in ["one", "two", "three", "four"] {
            logs.append("dep-1/0", line);
        }
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(read("dep-1-0.log.old"), "one\ntwo\n");
        assert_eq!(read("dep-1-0.log"), "three\nfour\n");
    }

    #[test]
    fn a_label_cannot_leave_the_folder() {
        assert_eq!(file_name("../../etc/x"), "------etc-x.log");
    }
}
