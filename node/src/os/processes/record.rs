//! The record of running engines' process ids, for the sweep after a node died so hard that not even the kernel's signal
//! reached them. A number alone proves nothing, since numbers are used again: boot and start time must match as well.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::process;

/// When a process started, in the kernel's ticks since boot.
type Ticks = u64;

/// The record.
pub(super) struct Record {
    path: PathBuf,
    boot: String,
    running: Mutex<BTreeMap<u32, Ticks>>,
}

impl Record {
    /// The record in this file, as an earlier life left it.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let boot =
            fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
        };
        let running = Mutex::new(text.lines().filter_map(|line| entry(line, &boot)).collect());
        Ok(Self { path: path.to_owned(), boot, running })
    }

    /// Kills what is recorded and still runs; how many engines that were.
    pub(super) fn sweep(&self) -> io::Result<usize> {
        let left = std::mem::take(&mut *self.lock());
        let alive: Vec<u32> = left
            .into_iter()
            .filter(|(pid, since)| started(*pid) == Some(*since))
            .map(|(pid, _)| pid)
            .collect();
        alive.iter().for_each(|pid| process::send(*pid, libc::SIGKILL));
        self.write(&BTreeMap::new())?;
        Ok(alive.len())
    }

    /// Enters an engine.
    pub(super) fn add(&self, pid: u32) -> io::Result<()> {
        let Some(since) = started(pid) else { return Ok(()) };
        let mut running = self.lock();
        running.insert(pid, since);
        self.write(&running)
    }

    /// Takes an engine out.
    pub(super) fn remove(&self, pid: u32) -> io::Result<()> {
        let mut running = self.lock();
        if running.remove(&pid).is_none() {
            return Ok(());
        }
        self.write(&running)
    }

    /// Not synced: a machine that loses its page cache loses its processes too.
    fn write(&self, running: &BTreeMap<u32, Ticks>) -> io::Result<()> {
        let text: String =
            running.iter().map(|(pid, since)| format!("{} {pid} {since}\n", self.boot)).collect();
        let unfinished = self.path.with_extension("pids.new");
        fs::write(&unfinished, text)?;
        fs::rename(&unfinished, &self.path)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<u32, Ticks>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn entry(line: &str, boot: &str) -> Option<(u32, Ticks)> {
    let mut words = line.split(' ');
    (words.next()? == boot).then_some(())?;
    Some((words.next()?.parse().ok()?, words.next()?.parse().ok()?))
}

/// When a running process started.
fn started(pid: u32) -> Option<Ticks> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything; the 22nd is the start (proc(5)).
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace();
    if fields.next()? == "Z" {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_is_found_by_its_start_and_nobody_else_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("engines.pids");
        let own = std::process::id();
        let record = Record::open(&path).unwrap();
        record.add(own).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(entry(text.trim_end(), &record.boot), Some((own, started(own).unwrap())));
        // Another process that has the number now, or the number of another boot: not ours, so this test lives on.
        fs::write(&path, format!("{} {own} 1\nother-boot {own} {}\n", record.boot, started(own).unwrap()))
            .unwrap();
        assert_eq!(Record::open(&path).unwrap().sweep().unwrap(), 0);
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
    }
}
