//! What nodes take of the machine, looked up from outside every few seconds.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use crate::cluster::Cluster;

/// How often.
const EVERY: Duration = Duration::from_secs(2);
/// More samples than this are not kept: four of a node a minute for months.
const SAMPLES_MAX: usize = 1_000_000;
/// Bytes of a block in which the system counts a file's space.
const BLOCK_LEN: u64 = 512;
/// How deep below a data directory is looked.
const DEPTH_MAX: u32 = 4;

/// What is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quantity {
    /// Resident memory.
    MemoryMib,
    /// Open files, sockets among them.
    OpenFiles,
    /// Threads.
    Threads,
    /// Space that the data directory takes.
    DiskMib,
}

impl Quantity {
    /// All of them.
    pub(crate) const ALL: [Quantity; 4] =
        [Quantity::MemoryMib, Quantity::OpenFiles, Quantity::Threads, Quantity::DiskMib];

    /// Its name, with its unit.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Quantity::MemoryMib => "memory, MiB",
            Quantity::OpenFiles => "open files",
            Quantity::Threads => "threads",
            Quantity::DiskMib => "disk, MiB",
        }
    }
}

/// One look at one node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// When, on the clients' clock.
    pub(crate) at: Duration,
    /// Which node.
    pub(crate) node: usize,
    /// What was seen, in the order of [`Quantity::ALL`].
    pub(crate) values: [f64; 4],
}

impl Sample {
    /// What was seen of one quantity.
    pub(crate) fn of(&self, quantity: Quantity) -> f64 {
        Quantity::ALL.iter().position(|q| *q == quantity).map_or(0.0, |place| self.values[place])
    }
}

/// Looks at all nodes whenever it is time.
#[derive(Debug, Default)]
pub(crate) struct Sampler {
    next: Duration,
    /// All that was seen.
    pub(crate) samples: Vec<Sample>,
}

impl Sampler {
    /// Looks if it is time.
    pub(crate) fn look(&mut self, cluster: &Cluster, now: Duration) {
        if now < self.next || self.samples.len() >= SAMPLES_MAX {
            return;
        }
        self.next = now + EVERY;
        for place in cluster.places().iter().filter(|place| cluster.is_up(place.number)) {
            let seen = cluster.pid(place.number).and_then(|pid| values(pid, &place.data));
            if let Some(values) = seen {
                self.samples.push(Sample { at: now, node: place.number, values });
            }
        }
    }
}

fn values(pid: libc::pid_t, data: &Path) -> Option<[f64; 4]> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse::<f64>().ok()
    };
    let files = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count();
    let space = space(data, DEPTH_MAX) as f64 / f64::from(1 << 20);
    Some([field("VmRSS:")? / 1024.0, files as f64, field("Threads:")?, space])
}

/// Bytes that files below a folder take; what vanishes meanwhile takes none.
fn space(folder: &Path, depth: u32) -> u64 {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    files
        .map(|file| match file.metadata() {
            Ok(meta) if meta.is_dir() && depth > 0 => space(&file.path(), depth - 1),
            Ok(meta) => meta.blocks() * BLOCK_LEN,
            Err(_) => 0,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_can_be_looked_at() {
        let pid = libc::pid_t::try_from(std::process::id()).unwrap();
        let folder = std::env::temp_dir().join(format!("llmhub-sample-{pid}"));
        fs::create_dir_all(folder.join("deep")).unwrap();
        fs::write(folder.join("deep/file"), vec![1; 100_000]).unwrap();
        let [memory, files, threads, disk] = values(pid, &folder).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        assert!(
            memory > 1.0 && files >= 3.0 && threads >= 1.0 && disk > 0.09,
            "{memory} {files} {threads} {disk}"
        );
        assert_eq!(values(-1, &folder), None);
    }
}
