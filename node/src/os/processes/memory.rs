//! What an engine and its children hold of the machine's memory, as Linux tells.

use std::fs;

/// Processes looked at per engine.
const TREE_MAX: usize = 1024;
const KIB_PER_MIB: u64 = 1024;

/// What a process and its children allocated, or share among themselves, in MiB. Files that are mapped, as models often are,
/// do not count: the system takes them back when it needs to. Nothing where the process is gone.
pub(super) fn mib(pid: u32) -> Option<u64> {
    let mut kib = own_kib(pid)?;
    let mut waiting = children(pid);
    let mut seen = 0;
    while let Some(child) = waiting.pop().filter(|_| seen < TREE_MAX) {
        seen += 1;
        kib += own_kib(child).unwrap_or(0);
        waiting.extend(children(child));
    }
    Some(kib / KIB_PER_MIB)
}

fn own_kib(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let of = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().trim_end_matches(" kB").parse::<u64>().ok()
    };
    Some(of("RssAnon:").unwrap_or(0) + of("RssShmem:").unwrap_or(0))
}

/// A thread lists the processes that it started.
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    let lists =
        threads.flatten().filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| list.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn what_a_process_allocates_and_what_its_children_do_counts() {
        let me = std::process::id();
        let before = mib(me).unwrap();
        let held = vec![1u8; 64 << 20];
        let after = mib(me).unwrap();
        assert!(after >= before + 60, "{before} MiB, then {after} MiB");
        drop(held);

        // Tells when it holds what it was asked to, and keeps it until its input ends.
        let script = "x=$(head -c 33554432 /dev/zero | tr '\\0' x); echo ready; read -r _";
        let mut child = Command::new("/bin/sh")
            .args(["-c", script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0; 5]).unwrap();
        assert!(children(me).contains(&child.id()));
        let (own, all) = (own_kib(me).unwrap() / KIB_PER_MIB, mib(me).unwrap());
        assert!(all >= own + 30, "{own} MiB of its own, {all} MiB in all");
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(mib(child.id()), None);
    }
}
