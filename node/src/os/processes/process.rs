//! One running engine: its signals go to its whole process group, what it started ends with it, and its end is seen once
//! and remembered.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};

use actors::ports::{Exit, Process, SpawnError};
use async_trait::async_trait;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};

use super::record::Record;
use super::{marker, output};

/// The process group of an engine. Its number is the engine's until it was waited for.
struct Group {
    pid: u32,
    gone: Mutex<bool>,
}

impl Group {
    fn signal(&self, signal: libc::c_int) {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if !*gone {
            send(self.pid, signal);
        }
    }

    /// Ends what the engine left behind in its group; nothing is signalled after this.
    fn close(&self) {
        let mut gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::replace(&mut *gone, true) {
            send(self.pid, libc::SIGKILL);
        }
    }
}

/// Signals a process group; one that is gone already needs none.
pub(super) fn send(group: u32, signal: libc::c_int) {
    // Group 0 would be the node's own, and 1 everybody's.
    if let Ok(group @ 2..) = libc::pid_t::try_from(group) {
        // SAFETY: takes no pointers.
        unsafe { libc::kill(-group, signal) };
    }
}

/// A running engine. Dropping it kills it.
struct OsProcess {
    group: Arc<Group>,
    lines: Option<mpsc::Receiver<String>>,
    exit: watch::Receiver<Option<Exit>>,
}

/// Watches over an engine that was just started with this mark.
pub(super) fn watch(
    mut child: Child,
    mark: String,
    record: Arc<Record>,
) -> Result<Box<dyn Process>, SpawnError> {
    let pid = child.id().ok_or_else(|| SpawnError::System("it ended at once".to_owned()))?;
    let lines = Some(output::collect(child.stdout.take(), child.stderr.take()));
    let group = Arc::new(Group { pid, gone: Mutex::new(false) });
    let (told, exit) = watch::channel(None);
    let watched = group.clone();
    tokio::spawn(async move {
        let ended = child.wait().await;
        watched.close();
        // What left the group holds memory and GPUs as well, which the next start will want.
        let _ = tokio::task::spawn_blocking(move || marker::end_marked(&mark)).await;
        if let Err(error) = record.remove(pid) {
            tracing::warn!(%error, "the record of process ids cannot be written");
        }
        told.send_replace(Some(words(ended)));
    });
    Ok(Box::new(OsProcess { group, lines, exit }))
}

fn words(ended: io::Result<ExitStatus>) -> Exit {
    match ended {
        Ok(status) => {
            let code = status.code().map(|code| format!("exit code {code}"));
            let signal = status.signal().map(|signal| format!("signal {signal}"));
            Exit { status: code.or(signal).unwrap_or_else(|| status.to_string()) }
        }
        Err(error) => Exit { status: format!("unknown: {error}") },
    }
}

#[async_trait]
impl Process for OsProcess {
    fn pid(&self) -> u32 {
        self.group.pid
    }
    fn lines(&mut self) -> Option<mpsc::Receiver<String>> {
        self.lines.take()
    }
    fn terminate(&mut self) {
        self.group.signal(libc::SIGTERM);
    }
    fn kill(&mut self) {
        self.group.signal(libc::SIGKILL);
    }
    async fn wait(&mut self) -> Exit {
        let lost = || Exit { status: "unknown: the node is stopping".to_owned() };
        self.exit.wait_for(Option::is_some).await.ok().and_then(|exit| exit.clone()).unwrap_or_else(lost)
    }
}

impl Drop for OsProcess {
    fn drop(&mut self) {
        self.group.signal(libc::SIGKILL);
    }
}
