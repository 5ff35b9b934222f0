//! One real node: a child process in a group of its own, killed by the kernel should the driver itself be killed.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::place::Place;

/// What precedes the admin key on a first node's standard output.
const KEY_LINE: &str = "admin key: ";
/// Where newcomers find their join token: not among their arguments, which everyone can list.
const TOKEN: &str = "LLMHUB_TOKEN";

/// How a node becomes a member.
pub(crate) struct Join<'a> {
    /// Cluster ports of others.
    pub(crate) seeds: &'a [String],
    /// Its join token.
    pub(crate) token: &'a str,
}

/// What a node's process is surrounded by.
#[derive(Debug, Clone, Default)]
pub(crate) struct Around {
    /// The folder below which it may read models.
    pub(crate) model_root: Option<PathBuf>,
    /// The network namespace it enters.
    pub(crate) namespace: Option<RawFd>,
    /// Variables that it gets besides those of the driver.
    pub(crate) variables: Vec<(String, String)>,
}

/// A node that was started and not waited for yet.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a node.
    ///
    /// # Errors
    /// When the system cannot.
    pub(crate) fn start(
        llmhub: &Path,
        place: &Place,
        around: &Around,
        join: Option<Join<'_>>,
    ) -> anyhow::Result<Self> {
        let log = log_of(place).with_context(|| format!("open {}", place.log.display()))?;
        let mut command = Command::new(llmhub);
        command.args(place.args(around.model_root.as_deref())).env_remove(TOKEN);
        command.envs(around.variables.iter().map(|(name, value)| (name, value)));
        if let Some(join) = join {
            command.arg("--join").args(join.seeds).env(TOKEN, join.token);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        command.process_group(0).kill_on_drop(true);
        let (driver, namespace) = (std::process::id(), around.namespace);
        // SAFETY: the closure calls only functions that are safe between fork and exec, and allocates nothing.
        unsafe { command.pre_exec(move || die_with_parent(driver).and_then(|()| enter(namespace))) };
        let child = command.spawn().with_context(|| format!("start {}", llmhub.display()))?;
        Ok(Self { child })
    }

    /// The admin key that the first node of a cluster prints; `None` when it ends before.
    pub(crate) async fn admin_key(&mut self) -> io::Result<Option<String>> {
        let Some(stdout) = self.child.stdout.take() else { return Ok(None) };
        let mut lines = BufReader::new(stdout).lines();
        while let Some(line) = lines.next_line().await? {
            if let Some(key) = line.strip_prefix(KEY_LINE) {
                let key = key.trim().to_owned();
                tokio::spawn(drain(lines));
                return Ok(Some(key));
            }
        }
        Ok(None)
    }

    /// Its process id, while it runs.
    pub(crate) fn pid(&self) -> Option<libc::pid_t> {
        self.child.id().and_then(|pid| libc::pid_t::try_from(pid).ok())
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: libc::c_int) {
        if let Some(pid) = self.pid() {
            // SAFETY: takes no pointers. The child is not waited for yet, so the number is its own.
            unsafe { libc::kill(pid, signal) };
        }
    }

    /// How it ended, once it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits for its end.
    pub(crate) async fn wait(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }
}

/// The pipe stays open: a node that wrote into a closed one would have to care.
async fn drain(mut lines: Lines<BufReader<ChildStdout>>) {
    while let Ok(Some(_)) = lines.next_line().await {}
}

fn log_of(place: &Place) -> io::Result<File> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&place.data)?;
    OpenOptions::new().append(true).create(true).mode(0o600).open(&place.log)
}

/// Called in the child: has the kernel kill it when the thread that forked it ends.
///
/// # Errors
/// When that end came first.
pub(crate) fn die_with_parent(parent: u32) -> io::Result<()> {
    // SAFETY: both calls take no pointers and are safe between fork and exec.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        if u32::try_from(libc::getppid()) != Ok(parent) {
            return Err(io::Error::from_raw_os_error(libc::ESRCH));
        }
    }
    Ok(())
}

/// Called in the child: enters a network namespace, if there is one to enter.
///
/// # Errors
/// What the system refuses.
fn enter(namespace: Option<RawFd>) -> io::Result<()> {
    let Some(namespace) = namespace else { return Ok(()) };
    // SAFETY: takes no pointers, and the driver holds the namespace open for as long as there are nodes.
    if unsafe { libc::setns(namespace, libc::CLONE_NEWNET) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}
