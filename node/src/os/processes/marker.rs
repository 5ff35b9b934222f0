//! The mark that every engine carries in its environment and hands on to whatever it starts. By it is found what neither
//! the kernel's signal nor a signal to the group reaches: workers of an engine that died with its node, and those that left
//! its group. Used at the node's start and at each engine's end; it never touches a process without the mark of this very
//! data directory, since other nodes may run on the machine. Directories are told apart by their device and inode, not by
//! their paths: nodes in containers that see each other's processes may have the same path for different directories.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The variable that holds the mark: `LABEL#START@DEVICE:INODE`, of the data directory.
pub(super) const VARIABLE: &str = "LLMHUB_ENGINE";
/// How often what is marked is looked for: what is killed may have started another just before.
const ROUNDS_MAX: usize = 50;
/// Pause between two looks, in which what was killed ends.
const ROUND: Duration = Duration::from_millis(10);
/// Bytes read of a process's environment at most; the kernel allows no more without being told to.
const ENVIRONMENT_BYTES_MAX: u64 = 6 << 20;

/// Makes the marks of a node and finds those that carry them.
pub(super) struct Marker {
    folder: String,
    starts: AtomicU64,
}

impl Marker {
    /// The marks of the node with this data directory.
    ///
    /// # Errors
    /// When the directory is not there.
    pub(super) fn new(data: &Path) -> io::Result<Self> {
        let folder = fs::metadata(data)?;
        Ok(Self { folder: format!("{}:{}", folder.dev(), folder.ino()), starts: AtomicU64::new(0) })
    }

    /// The mark of one start of an engine.
    pub(super) fn mark(&self, label: &str) -> String {
        format!("{label}#{}@{}", self.starts.fetch_add(1, Ordering::Relaxed), self.folder)
    }

    /// Kills everything that carries a mark of this node; how many processes that were. Only before the first engine is
    /// started. Blocks.
    pub(super) fn sweep(&self) -> usize {
        end(|mark| mark.split_once('@').is_some_and(|(_, folder)| folder == self.folder))
    }
}

/// Kills everything that carries this mark. Blocks.
pub(super) fn end_marked(mark: &str) -> usize {
    end(|found| found == mark)
}

fn end(ours: impl Fn(&str) -> bool) -> usize {
    let mut ended = BTreeSet::new();
    for round in 0..ROUNDS_MAX {
        if round > 0 {
            std::thread::sleep(ROUND);
        }
        let found = marked(&ours);
        if found.is_empty() {
            return ended.len();
        }
        for pid in found {
            // SAFETY: takes no pointers; the number is positive, so it names one process.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            ended.insert(pid);
        }
    }
    tracing::warn!(
        "what an engine left behind does not end: it may hold memory or a GPU until the machine restarts"
    );
    ended.len()
}

/// Processes of this user whose environment holds one of these marks; never this one, never the first.
fn marked(ours: impl Fn(&str) -> bool) -> Vec<libc::pid_t> {
    let Ok(own) = fs::metadata("/proc/self") else { return Vec::new() };
    let listed = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = listed.filter_map(|entry| entry.file_name().to_str()?.parse::<libc::pid_t>().ok());
    pids.filter(|pid| *pid > 1 && u32::try_from(*pid) != Ok(std::process::id()))
        .filter(|pid| fs::metadata(format!("/proc/{pid}")).is_ok_and(|entry| entry.uid() == own.uid()))
        .filter(|pid| mark_of(*pid).is_some_and(|mark| ours(&mark)))
        .collect()
}

/// The mark a process carries. One that has ended but was not waited for has no environment any more.
fn mark_of(pid: libc::pid_t) -> Option<String> {
    let mut environment = Vec::new();
    let file = File::open(format!("/proc/{pid}/environ")).ok()?;
    file.take(ENVIRONMENT_BYTES_MAX).read_to_end(&mut environment).ok()?;
    let mut variables = environment.split(|byte| *byte == 0);
    let mark =
        variables.find_map(|variable| variable.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"="))?;
    std::str::from_utf8(mark).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    fn sleeper(mark: Option<&str>) -> Child {
        let mut command = Command::new("sleep");
        command.arg("1000").env_remove(VARIABLE);
        let child = command.envs(mark.map(|mark| (VARIABLE, mark))).spawn().unwrap();
        // Its environment can be read a moment after it was started.
        while mark_of(child.id().cast_signed()).as_deref() != mark {
            std::thread::yield_now();
        }
        child
    }

    fn runs(child: &mut Child) -> bool {
        child.try_wait().unwrap().is_none()
    }

    #[test]
    fn only_what_carries_this_nodes_mark_is_swept() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let below = one.path().join("below");
        fs::create_dir(&below).unwrap();
        let [one, other, below] = [one.path(), other.path(), &below].map(|path| Marker::new(path).unwrap());
        let mut ours = [sleeper(Some(&one.mark("dep-1/0"))), sleeper(Some(&one.mark("dep-2/0")))];
        let mut others = [
            sleeper(None),
            sleeper(Some("1")),
            sleeper(Some(&other.mark("dep-1/0"))),
            sleeper(Some(&below.mark("dep-1/0"))),
        ];
        assert_eq!(one.sweep(), 2);
        assert_eq!(one.sweep(), 0);
        for child in &mut ours {
            child.wait().unwrap();
        }
        let spared: Vec<bool> = others.iter_mut().map(runs).collect();
        for child in &mut others {
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(spared, [true; 4]);
    }

    #[test]
    fn a_directory_is_known_by_what_it_is_and_not_by_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("data"), folder.path().join("moved"));
        fs::create_dir(&path).unwrap();
        let mut engine = sleeper(Some(&Marker::new(&path).unwrap().mark("dep-1/0")));
        fs::rename(&path, &moved).unwrap();
        fs::create_dir(&path).unwrap();
        let other = Marker::new(&path).unwrap().sweep();
        assert_eq!((other, Marker::new(&moved).unwrap().sweep()), (0, 1));
        engine.wait().unwrap();
    }

    #[test]
    fn an_engines_end_does_not_touch_its_successor() {
        let folder = tempfile::tempdir().unwrap();
        let marker = Marker::new(folder.path()).unwrap();
        let (old, new) = (marker.mark("dep-1/0"), marker.mark("dep-1/0"));
        let (mut first, mut second) = (sleeper(Some(&old)), sleeper(Some(&new)));
        assert_eq!(end_marked(&old), 1);
        first.wait().unwrap();
        let spared = runs(&mut second);
        second.kill().unwrap();
        second.wait().unwrap();
        assert!(spared);
    }
}
