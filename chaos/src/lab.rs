//! What surrounds a run's nodes beyond ports and folders, as far as a scenario needs it: a network of their own, small disks,
//! wall clocks that can be set. Says what the machine lacks for it, so that a scenario is skipped and not failed.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use sim::scenario::{Fault, Scenario};

use crate::cluster::Programs;
use crate::net::Net;
use crate::place::Place;
use crate::process::Around;

/// How large a small disk is: enough for a node, soon full.
const SMALL_DISK: &str = "size=96m,mode=0700";
/// What takes up a disk's space.
const FILLER: &str = "filler";
const FILLER_CHUNK: usize = 1 << 20;
/// Where Debian's `libfaketime` puts its library, below the folders for libraries.
const FAKETIME: &str = "faketime/libfaketime.so.1";
const LIBRARIES: &[&str] =
    &["/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib", "/usr/lib64"];
/// The file, below a run's folder, that says how far a node's wall clock is off.
const CLOCK: &str = "clock";

/// What a scenario needs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Needs {
    /// Namespaces and tunnels.
    pub(crate) network: bool,
    /// Mounts that the host does not see.
    pub(crate) disks: bool,
    /// A library between the nodes and the system's clock.
    pub(crate) clocks: bool,
}

impl Needs {
    /// Those of a scenario.
    pub(crate) fn of(scenario: &Scenario) -> Self {
        let mut needs = Self::default();
        for (_, fault) in &scenario.steps {
            match fault {
                Fault::Isolate(_) | Fault::OneWay(..) | Fault::Delay(..) | Fault::Lose(..) => {
                    needs.network = true;
                }
                Fault::FillDisk(_) => needs.disks = true,
                Fault::ClockJump(..) => needs.clocks = true,
                _ => {}
            }
        }
        needs
    }

    /// Whether the driver must leave the host's namespaces.
    pub(crate) fn seclusion(self) -> bool {
        self.network || self.disks
    }
}

/// The surroundings of one run.
pub(crate) struct Lab {
    needs: Needs,
    net: Option<Net>,
    folder: PathBuf,
    model_root: Option<PathBuf>,
    mounted: Vec<PathBuf>,
}

impl Lab {
    /// Surroundings for a scenario's nodes, whose data is below `folder`.
    ///
    /// # Errors
    /// What the machine refuses or lacks.
    pub(crate) fn new(
        scenario: &Scenario,
        folder: &Path,
        model_root: Option<&Path>,
        seed: u64,
    ) -> anyhow::Result<Self> {
        let needs = Needs::of(scenario);
        let net = match needs.network {
            true => Some(Net::new(scenario.nodes, seed).context("a network of its own cannot be made")?),
            false => None,
        };
        Ok(Self {
            needs,
            net,
            folder: folder.to_owned(),
            model_root: model_root.map(Path::to_owned),
            mounted: Vec::new(),
        })
    }

    /// The network, if the run has one of its own.
    pub(crate) fn net(&self) -> anyhow::Result<&Net> {
        self.net.as_ref().context("the run has no network of its own")
    }

    /// Prepares a node's place before its first start.
    ///
    /// # Errors
    /// What the machine refuses.
    pub(crate) fn prepare(&mut self, place: &Place) -> anyhow::Result<()> {
        if self.needs.disks {
            fs::create_dir_all(&place.data)?;
            mount_small(&place.data).with_context(|| format!("mount on {}", place.data.display()))?;
            self.mounted.push(place.data.clone());
        }
        if self.needs.clocks {
            self.set_clock(place.number, 0)?;
        }
        Ok(())
    }

    /// What surrounds a node's process.
    pub(crate) fn around(&self, number: usize) -> Around {
        let namespace = self.net.as_ref().and_then(|net| net.namespace(number));
        let mut variables = Vec::new();
        if let Some(library) = faketime().filter(|_| self.needs.clocks) {
            let set = |name: &str, value: String| (name.to_owned(), value);
            variables = vec![
                set("LD_PRELOAD", library.display().to_string()),
                set("FAKETIME_TIMESTAMP_FILE", self.clock(number).display().to_string()),
                // The file is looked at every time, and only the wall clock is touched.
                set("FAKETIME_NO_CACHE", "1".to_owned()),
                set("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
                set("DONT_FAKE_MONOTONIC", "1".to_owned()),
                set("NO_FAKE_STAT", "1".to_owned()),
            ];
        }
        Around { model_root: self.model_root.clone(), namespace, variables }
    }

    /// Sets how far a node's wall clock is ahead.
    ///
    /// # Errors
    /// When that cannot be written.
    pub(crate) fn set_clock(&self, number: usize, ahead_ms: i64) -> anyhow::Result<()> {
        let path = self.clock(number);
        let new = path.with_extension("new");
        // Replaced whole, so that no half is ever read.
        fs::write(&new, format!("{:+}.{:03}\n", ahead_ms / 1000, ahead_ms.unsigned_abs() % 1000))?;
        fs::rename(&new, &path).with_context(|| format!("write {}", path.display()))
    }

    fn clock(&self, number: usize) -> PathBuf {
        self.folder.join(format!("{CLOCK}-{number}"))
    }

    /// Takes all space on a node's disk.
    ///
    /// # Errors
    /// When its disk is not a small one of its own.
    pub(crate) fn fill_disk(&self, data: &Path) -> anyhow::Result<()> {
        anyhow::ensure!(self.needs.disks, "{} is on the machine's own disk", data.display());
        let mut filler = File::create(data.join(FILLER))?;
        let mut chunk = vec![0x55; FILLER_CHUNK];
        loop {
            match filler.write_all(&chunk) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::StorageFull && chunk.len() > 1 => {
                    chunk.truncate(chunk.len() / 2);
                }
                Err(e) if e.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(e) => return Err(e).context("fill a disk"),
            }
        }
    }

    /// Links are whole again, and disks have space.
    ///
    /// # Errors
    /// When a disk cannot be cleared.
    pub(crate) fn heal(&self, places: &[Place]) -> anyhow::Result<()> {
        if let Some(net) = &self.net {
            net.rules().heal();
        }
        for place in places.iter().filter(|_| self.needs.disks) {
            match fs::remove_file(place.data.join(FILLER)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e).context("clear a disk"),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for path in &self.mounted {
            if let Ok(path) = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()) {
                // SAFETY: the text ends in zero. What fails here goes with the driver's namespace.
                unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH) };
            }
        }
    }
}

/// Why the machine cannot run a scenario, if so. `secluded` is what leaving the host's namespaces brought.
pub(crate) fn lacking(
    scenario: &Scenario,
    secluded: &Result<(), String>,
    programs: &Programs,
) -> Option<String> {
    let needs = Needs::of(scenario);
    if scenario.needs_simulator() {
        return Some("it needs the simulator".to_owned());
    }
    if scenario.changes_program() && programs.old.is_none() {
        return Some("it needs an older program: name one with --old (`make upgrade` builds one)".to_owned());
    }
    if let (true, Err(why)) = (needs.seclusion(), secluded) {
        return Some(format!("it needs namespaces of its own, that is Linux and root: {why}"));
    }
    if needs.network && !Path::new("/dev/net/tun").exists() {
        return Some(
            "it needs /dev/net/tun, which this machine does not have: load the module `tun`".to_owned(),
        );
    }
    if needs.clocks && faketime().is_none() {
        return Some("it needs libfaketime: install Debian's package `libfaketime`".to_owned());
    }
    None
}

fn faketime() -> Option<PathBuf> {
    LIBRARIES.iter().map(|folder| Path::new(folder).join(FAKETIME)).find(|path| path.is_file())
}

/// A small disk of its own, in the driver's mount namespace alone.
fn mount_small(folder: &Path) -> anyhow::Result<()> {
    let target = std::ffi::CString::new(folder.as_os_str().as_encoded_bytes())?;
    let options = std::ffi::CString::new(SMALL_DISK)?;
    // SAFETY: all texts end in zero and live through the call.
    let mounted = unsafe {
        libc::mount(c"llmhub".as_ptr(), target.as_ptr(), c"tmpfs".as_ptr(), 0, options.as_ptr().cast())
    };
    anyhow::ensure!(mounted == 0, io::Error::last_os_error());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::scenario::{NAMES, named};

    #[test]
    fn scenarios_that_need_nothing_run_everywhere_and_others_say_what_they_lack() {
        let refused = Err("not permitted".to_owned());
        let only = Programs::from(PathBuf::from("llmhub"));
        assert_eq!(lacking(&named("leader_killed").unwrap(), &refused, &only), None);
        let told = lacking(&named("leader_isolated").unwrap(), &refused, &only).unwrap();
        assert!(told.contains("root") && told.contains("not permitted"), "{told}");
        let told = lacking(&named("rolling_upgrade").unwrap(), &refused, &only).unwrap();
        assert!(told.contains("--old"), "{told}");
        assert!(lacking(&named("disk_full").unwrap(), &refused, &only).is_some());
    }

    #[test]
    fn no_named_scenario_needs_the_simulator() {
        let one = |name: &&str| named(name).unwrap().needs_simulator();
        assert_eq!(NAMES.iter().find(|name| one(name)), None);
    }
}
