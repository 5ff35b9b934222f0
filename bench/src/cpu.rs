//! Processor time and memory of process trees, read from `/proc`. Used by the suite to tell what a proxy costs.
//!
//! Processor time is user plus system time of all threads, those that ended included: what `utime` and `stime` of
//! `/proc/PID/stat` say, but read from the process's own clock, in nanoseconds where `stat` counts ticks of 10 ms. (Adding up
//! `task/*/schedstat` would be as fine, but forgets threads that ended.) It never signals anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::time::Duration;

/// What one line of `/proc/PID/stat` says about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stat {
    pub pid: u32,
    pub parent: u32,
    /// User plus system time, in clock ticks, of all threads that live or lived.
    pub ticks: u64,
}

/// Parses `/proc/PID/stat`. The program's name is in brackets and may itself hold brackets and blanks.
pub fn parse_stat(line: &str) -> Option<Stat> {
    let pid = line.split_whitespace().next()?.parse().ok()?;
    let after_name = &line[line.rfind(')')? + 1..];
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    // Counted from the state, which is field 3 of proc(5): parent is 4, utime 14, stime 15.
    let parent = fields.get(1)?.parse().ok()?;
    let user: u64 = fields.get(11)?.parse().ok()?;
    let system: u64 = fields.get(12)?.parse().ok()?;
    Some(Stat { pid, parent, ticks: user.checked_add(system)? })
}

/// Parses the resident memory, in bytes, out of `/proc/PID/status`.
pub fn parse_resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The root and everything that descends from it.
pub fn tree(root: u32, all: &[Stat]) -> BTreeSet<u32> {
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        found.extend(all.iter().filter(|s| found.contains(&s.parent)).map(|s| s.pid).collect::<Vec<_>>());
        if found.len() == before {
            return found;
        }
    }
}

/// Processor time of a process tree at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TreeTime {
    processes: BTreeMap<u32, Duration>,
}

impl TreeTime {
    /// Reads `/proc` for the process and all its descendants; fails where the process itself is gone.
    pub fn read(root: u32) -> io::Result<TreeTime> {
        let all = all_processes()?;
        if !all.iter().any(|s| s.pid == root) {
            return Err(io::Error::new(
                io::ErrorKind::NotFound,
                format!("process {root} is gone: read its log"),
            ));
        }
        let wanted = tree(root, &all);
        let processes = all.iter().filter(|s| wanted.contains(&s.pid)).map(|s| {
            // Where the clock is refused, ticks have to do.
            (s.pid, clock(s.pid).unwrap_or_else(|| ticks_to_duration(s.ticks)))
        });
        Ok(TreeTime { processes: processes.collect() })
    }

    /// What the tree used since an earlier reading. A process that appeared in between counts in full; one that ended in
    /// between is lost, which none of the measured programs does.
    pub fn since(&self, earlier: &TreeTime) -> Duration {
        let then = |pid| earlier.processes.get(pid).copied().unwrap_or_default();
        self.processes.iter().map(|(pid, now)| now.saturating_sub(then(pid))).sum()
    }
}

/// Resident memory of one process, in bytes.
pub fn resident_bytes(pid: u32) -> io::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    parse_resident(&status).ok_or_else(|| io::Error::other(format!("no VmRSS in /proc/{pid}/status")))
}

fn all_processes() -> io::Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc")?.flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<u32>().ok());
    // A process may end between the listing and the reading: skip it.
    Ok(pids.filter_map(|pid| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)).collect())
}

/// The processor-time clock of a process.
fn clock(pid: u32) -> Option<Duration> {
    let mut id: libc::clockid_t = 0;
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: both calls write only to the two locals that they are given.
    let read = unsafe {
        libc::clock_getcpuclockid(pid.cast_signed(), &mut id) == 0 && libc::clock_gettime(id, &mut time) == 0
    };
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u32::try_from(time.tv_nsec).ok()?);
    read.then(|| Duration::new(seconds, nanos))
}

fn ticks_to_duration(ticks: u64) -> Duration {
    // SAFETY: sysconf reads a constant of the system and touches no memory of ours.
    let per_second = unsafe { libc::sysconf(libc::_SC_CLK_TCK) };
    let per_second = u64::try_from(per_second).ok().filter(|n| *n > 0).unwrap_or(100);
    Duration::from_nanos(ticks.saturating_mul(1_000_000_000 / per_second))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NGINX: &str = "4242 (nginx: (w) x) S 4200 4200 4200 0 -1 4194624 190 0 0 0 731 269 5 6 20 0 1 0 1045 56 7 1844 \
                         1 1 0 0 0 0 0 0 17 0 0 0 17 1 0 0 0";

    #[test]
    fn a_stat_line_is_read_even_when_the_name_holds_brackets_and_blanks() {
        assert_eq!(parse_stat(NGINX), Some(Stat { pid: 4242, parent: 4200, ticks: 1000 }));
    }

    #[test]
    fn a_cut_or_empty_stat_line_is_nothing() {
        assert_eq!(parse_stat(""), None);
        assert_eq!(parse_stat("1 (init) S 0 1"), None);
        assert_eq!(parse_stat("1 init S 0"), None);
    }

    #[test]
    fn resident_memory_is_read() {
        assert_eq!(parse_resident("Name:\tx\nVmHWM:\t 900 kB\nVmRSS:\t  512 kB\n"), Some(512 * 1024));
        assert_eq!(parse_resident("Name:\tkthreadd\n"), None);
    }

    #[test]
    fn a_tree_holds_children_of_children_and_nobody_else() {
        let stat = |pid, parent| Stat { pid, parent, ticks: 0 };
        let all = [stat(9, 5), stat(1, 0), stat(5, 3), stat(3, 1), stat(4, 1)];
        assert_eq!(tree(3, &all), BTreeSet::from([3, 5, 9]));
    }

    #[test]
    fn a_new_process_counts_in_full_and_the_others_by_their_difference() {
        let at = |times: &[(u32, u64)]| TreeTime {
            processes: times.iter().map(|(pid, us)| (*pid, Duration::from_micros(*us))).collect(),
        };
        let used = at(&[(1, 90), (2, 500), (3, 7)]).since(&at(&[(1, 50), (2, 500), (4, 80)]));
        assert_eq!(used, Duration::from_micros(40 + 7));
    }

    /// Works until the ticks of a process show it: there is no fixed amount to wait for.
    fn work(ticks: u64) {
        let own =
            || parse_stat(&fs::read_to_string("/proc/self/stat").expect("stat")).expect("a stat line").ticks;
        let start = own();
        while own() < start + ticks {
            std::hint::black_box((0..100_000u64).fold(0, |a, b| std::hint::black_box(a ^ b)));
        }
    }

    #[test]
    fn the_clock_keeps_the_work_of_threads_that_ended() {
        let me = std::process::id();
        let before = TreeTime::read(me).expect("own process");
        // Each thread begins and ends between the two readings.
        for _ in 0..2 {
            std::thread::spawn(|| work(5)).join().expect("a thread");
        }
        let used = TreeTime::read(me).expect("own process").since(&before);
        // Ten ticks, each of the two sums that make them up rounded down to whole ticks.
        assert!(used > ticks_to_duration(6), "{used:?}");
        assert!(resident_bytes(me).expect("own memory") > 0);
    }

    #[test]
    fn the_clock_and_the_ticks_tell_the_same() {
        work(10);
        let me = std::process::id();
        let stat = parse_stat(&fs::read_to_string("/proc/self/stat").expect("stat")).expect("a stat line");
        let clock = clock(me).expect("own clock");
        // The clock was read later, so it is ahead of the ticks, which are whole ones of user and of system time.
        assert!(clock + ticks_to_duration(1) >= ticks_to_duration(stat.ticks), "{clock:?} {stat:?}");
    }
}
