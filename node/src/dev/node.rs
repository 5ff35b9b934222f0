//! One node of a development cluster as a child process: in a process group of its own, so that Ctrl-C reaches it only
//! through `dev`, and killed by the kernel should `dev` itself be killed.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use super::layout::Place;
use crate::cli::failure::Failure;
use crate::os::processes::spawner::die_with_parent;
use crate::run::KEY_LINE;

/// Where further nodes find their join token: not among their arguments, which everyone can list.
const TOKEN: &str = "LLMHUB_TOKEN";

/// A node that was started.
pub(crate) struct Running {
    place: Place,
    child: Child,
    told: bool,
}

impl Running {
    /// Starts a node: from its data, as the first of a cluster, or joining by seeds with a token.
    pub(crate) fn start(place: &Place, join: Option<(&[String], &str)>) -> Result<Self, Failure> {
        let cannot = |e: io::Error| Failure::Failed(format!("{} cannot be started: {e}", place.name));
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&place.data).map_err(cannot)?;
        let log =
            OpenOptions::new().append(true).create(true).mode(0o600).open(place.log()).map_err(cannot)?;
        let mut command = Command::new(std::env::current_exe().map_err(cannot)?);
        command.args(place.args()).env_remove(TOKEN);
        if let Some((seeds, token)) = join {
            command.arg("--join").args(seeds).env(TOKEN, token);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log);
        command.process_group(0).kill_on_drop(true);
        let dev = std::process::id();
        // SAFETY: the closure calls only functions that are safe between fork and exec, and allocates nothing.
        unsafe { command.pre_exec(move || die_with_parent(dev)) };
        let child = command.spawn().map_err(cannot)?;
        Ok(Self { place: place.clone(), child, told: false })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The admin key that the first node of a cluster prints; not to be logged.
    pub(crate) fn admin_key(&mut self) -> impl Future<Output = io::Result<String>> + use<> {
        let stdout = self.child.stdout.take();
        async move {
            let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
            read_key(stdout.ok_or_else(ended)?).await?.ok_or_else(ended)
        }
    }

    /// How it ended, told once.
    pub(crate) fn ended_now(&mut self) -> Option<String> {
        if self.told {
            return None;
        }
        let status = self.child.try_wait().ok()??;
        self.told = true;
        Some(status.to_string())
    }

    /// Whether its end was told.
    pub(crate) fn has_ended(&self) -> bool {
        self.told
    }

    /// Asks it to end.
    pub(crate) fn terminate(&mut self) {
        let _ = self.ended_now();
        if let Some(pid) = self.child.id().and_then(|pid| libc::pid_t::try_from(pid).ok()) {
            // SAFETY: takes no pointers. The child is not waited for yet, so the number is its own.
            unsafe { libc::kill(pid, libc::SIGTERM) };
        }
    }

    /// Waits for its end.
    pub(crate) async fn ended(&mut self) {
        let _ = self.child.wait().await;
    }

    /// Ends it now.
    pub(crate) async fn kill(&mut self) {
        let _ = self.child.kill().await;
    }
}

async fn read_key(stdout: ChildStdout) -> io::Result<Option<String>> {
    let mut lines = BufReader::new(stdout).lines();
    while let Some(line) = lines.next_line().await? {
        if let Some(key) = line.strip_prefix(KEY_LINE) {
            // The pipe stays open: a node that wrote into a closed one would have to care.
            let key = key.trim().to_owned();
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            return Ok(Some(key));
        }
    }
    Ok(None)
}
