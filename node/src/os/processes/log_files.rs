//! Engines' log files: one a label, begun anew at a bounded size, the one before kept. What nobody wrote for long goes at
//! the node's start, so that the folder does not grow with every deployment there ever was.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// A log file's size in bytes at which a new one is begun.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// Files held open at most; beyond that the one that was not written for longest is closed.
const OPEN_MAX: usize = 64;
/// Files kept at a start at most, the newest.
const KEPT_MAX: usize = 256;
/// How long a file is kept that nobody writes.
const KEPT_FOR: Duration = Duration::from_hours(14 * 24);
/// Labels remembered whose log cannot be written; of more than that nobody is told.
const TOLD_MAX: usize = 256;

struct Open {
    file: File,
    len: u64,
    /// When it was last written, counted in lines.
    used: u64,
}

#[derive(Default)]
struct State {
    open: BTreeMap<String, Open>,
    /// Lines written so far.
    lines: u64,
    /// Labels whose log could not be written, which was told.
    told: BTreeSet<String>,
}

/// The log files of a folder.
pub(super) struct LogFiles {
    folder: PathBuf,
    state: Mutex<State>,
    bytes_max: u64,
    open_max: usize,
}

impl LogFiles {
    /// The log files of this folder, old ones removed.
    pub(super) fn open(folder: PathBuf) -> Self {
        match remove_old(&folder, SystemTime::now(), KEPT_MAX) {
            Ok(0) => {}
            Ok(files) => tracing::info!(files, "removed engines' logs that nobody writes any more"),
            Err(error) => tracing::warn!(%error, "engines' old logs cannot be removed"),
        }
        Self { folder, state: Mutex::default(), bytes_max: FILE_BYTES_MAX, open_max: OPEN_MAX }
    }

    /// Appends a line. A log that cannot be written is told once a label in the node's own log and stops nobody.
    pub(super) fn append(&self, label: &str, line: &str) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(error) = self.write(&mut state, &file_name(label), line) else { return };
        if state.told.len() < TOLD_MAX && state.told.insert(label.to_owned()) {
            tracing::warn!(label, %error, "an engine's log cannot be written: its lines are lost");
        }
    }

    fn write(&self, state: &mut State, name: &str, line: &str) -> io::Result<()> {
        let mut log = match state.open.remove(name) {
            Some(log) => log,
            None => self.open_file(name)?,
        };
        let len = line.len() as u64 + 1;
        if log.len > 0 && log.len + len > self.bytes_max {
            let path = self.folder.join(name);
            fs::rename(&path, path.with_extension("log.old"))?;
            log = self.open_file(name)?;
        }
        log.file.write_all(format!("{line}\n").as_bytes())?;
        log.len += len;
        state.lines += 1;
        log.used = state.lines;
        if state.open.len() >= self.open_max {
            let idle = state.open.iter().min_by_key(|(_, log)| log.used).map(|(name, _)| name.clone());
            idle.map(|name| state.open.remove(&name));
        }
        state.open.insert(name.to_owned(), log);
        Ok(())
    }

    fn open_file(&self, name: &str) -> io::Result<Open> {
        let path = self.folder.join(name);
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(path)?;
        let len = file.metadata()?.len();
        Ok(Open { file, len, used: 0 })
    }
}

/// A label holds a slash, a file's name must not.
fn file_name(label: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '-' };
    format!("{}.log", label.chars().map(plain).collect::<String>())
}

/// Removes log files that nobody wrote for long, and the oldest beyond a number; how many those were. Other files in the
/// folder are not ours.
fn remove_old(folder: &Path, now: SystemTime, kept_max: usize) -> io::Result<usize> {
    let mut logs = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if metadata.is_file() && (name.ends_with(".log") || name.ends_with(".log.old")) {
            logs.push((metadata.modified()?, entry.path()));
        }
    }
    logs.sort();
    let beyond = logs.len().saturating_sub(kept_max);
    // A time ahead of the clock says nothing about age.
    let old = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age > KEPT_FOR);
    let unwanted = logs.iter().enumerate().filter(|(place, (time, _))| *place < beyond || old(*time));
    let mut removed = 0;
    for (_, (_, path)) in unwanted {
        fs::remove_file(path)?;
        removed += 1;
    }
    Ok(removed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(folder: &Path, name: &str) -> String {
        fs::read_to_string(folder.join(name)).unwrap()
    }

    #[test]
    fn lines_are_appended_and_the_file_is_begun_anew_at_its_size() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogFiles { bytes_max: 12, ..LogFiles::open(folder.path().to_owned()) };
        for line in ["one", "two", "three", "four"] {
            logs.append("dep-1/0", line);
        }
        assert_eq!(read(folder.path(), "dep-1-0.log.old"), "one\ntwo\n");
        assert_eq!(read(folder.path(), "dep-1-0.log"), "three\nfour\n");
    }

    #[test]
    fn the_file_that_was_not_written_for_longest_is_closed() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogFiles { open_max: 2, ..LogFiles::open(folder.path().to_owned()) };
        for label in ["a", "b", "a", "c", "b"] {
            logs.append(label, label);
        }
        let open: Vec<String> = logs.state.lock().unwrap().open.keys().cloned().collect();
        assert_eq!(open, ["b.log", "c.log"]);
        assert_eq!(read(folder.path(), "a.log"), "a\na\n");
        assert_eq!(read(folder.path(), "b.log"), "b\nb\n");
    }

    #[test]
    fn a_log_that_cannot_be_written_is_told_once_and_written_once_it_can_be() {
        let folder = tempfile::tempdir().unwrap();
        let logs = LogFiles::open(folder.path().join("absent"));
        logs.append("a", "one");
        logs.append("a", "two");
        assert_eq!(logs.state.lock().unwrap().told.len(), 1);
        fs::create_dir(folder.path().join("absent")).unwrap();
        logs.append("a", "three");
        assert_eq!(read(folder.path(), "absent/a.log"), "three\n");
    }

    #[test]
    fn old_logs_go_at_the_start_and_other_files_stay() {
        let folder = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let days = |days: u64| Duration::from_hours(24 * days);
        let write = |name: &str, age: Duration| {
            let file = File::create(folder.path().join(name)).unwrap();
            file.set_modified(now - age).unwrap();
        };
        write("ancient.log", days(15));
        write("ancient.log.old", days(15));
        write("ancient.txt", days(15));
        for (name, age) in [("a.log", 1), ("b.log", 2), ("c.log", 3), ("c.log.old", 4)] {
            write(name, days(age));
        }
        write("ahead.log", Duration::ZERO);
        assert_eq!(remove_old(folder.path(), now, 4).unwrap(), 3);
        let mut left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.log", "ahead.log", "ancient.txt", "b.log", "c.log"]);
        assert_eq!(remove_old(folder.path(), now, 4).unwrap(), 0);
    }

    #[test]
    fn a_label_cannot_leave_the_folder() {
        assert_eq!(file_name("../../etc/x"), "------etc-x.log");
    }
}
