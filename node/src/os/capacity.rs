//! What the machine offers: CPUs, memory, its name. Asked once at start.

use std::ffi::CStr;
use std::fs;

/// CPUs this process may use.
pub(crate) fn cpus() -> u32 {
    std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(u32::MAX))
}

/// Main memory in MiB: the machine's, or the control group's where that is less; 0 where neither is known.
pub(crate) fn memory_mib() -> u64 {
    let machine =
        fs::read_to_string("/proc/meminfo").ok().and_then(|text| total_kib(&text)).map(|kib| kib >> 10);
    let group =
        fs::read_to_string("/sys/fs/cgroup/memory.max").ok().and_then(|text| text.trim().parse::<u64>().ok());
    let group = group.map(|bytes| bytes >> 20);
    [machine, group].into_iter().flatten().min().unwrap_or(0)
}

fn total_kib(meminfo: &str) -> Option<u64> {
    let rest = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    rest.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The machine's host name, without its domain; `None` where it has none that could name a node.
pub(crate) fn hostname() -> Option<String> {
    let mut buffer = [0_u8; 256];
    // SAFETY: the buffer is valid for its length, of which the last byte stays zero.
    let failed = unsafe { libc::gethostname(buffer.as_mut_ptr().cast(), buffer.len() - 1) } != 0;
    let name = CStr::from_bytes_until_nul(&buffer).ok().filter(|_| !failed)?.to_str().ok()?;
    let name = name.split('.').next().unwrap_or_default();
    domain::ids::check_name(name).ok().map(|()| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_total_is_read_from_the_systems_table() {
        assert_eq!(total_kib("MemTotal:       16384 kB\nMemFree: 1 kB\n"), Some(16_384));
        assert_eq!(total_kib("nothing"), None);
    }

    #[test]
    fn a_machine_has_a_cpu_and_memory() {
        assert!(cpus() >= 1);
        assert!(memory_mib() > 0);
    }
}
