//! The one permanent thread that starts engines. The parent-death signal is sent when the *thread* that forked ends, not
//! the process, so it must be neither a worker of the runtime nor a short-lived blocking thread.

use std::ffi::OsString;
use std::io;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use actors::ports::{Spawn, SpawnError};
use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::record::Record;

/// Starts that wait for the thread at most.
const WAITING_MAX: usize = 64;
/// What engines get of the node's own environment, beside names that begin with one of [`PASSED_PREFIXES`].
const PASSED: [&str; 3] = ["PATH", "HOME", "LD_LIBRARY_PATH"];
const PASSED_PREFIXES: [&str; 2] = ["CUDA_", "GGML_"];

struct Job {
    spawn: Spawn,
    runtime: Handle,
    reply: oneshot::Sender<Result<Child, SpawnError>>,
}

/// The thread; it ends, and with it every engine, when this is dropped.
pub(super) struct Spawner {
    jobs: SyncSender<Job>,
}

impl Spawner {
    /// Starts the thread.
    pub(super) fn start(record: Arc<Record>) -> io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING_MAX);
        std::thread::Builder::new().name("engines".to_owned()).spawn(move || run(&waiting, &record))?;
        Ok(Self { jobs })
    }

    /// Has the thread start a program in a process group of its own.
    pub(super) async fn spawn(&self, spawn: Spawn) -> Result<Child, SpawnError> {
        let (reply, started) = oneshot::channel();
        let system = |reason: &str| SpawnError::System(reason.to_owned());
        self.jobs.try_send(Job { spawn, runtime: Handle::current(), reply }).map_err(
            |error| match error {
                TrySendError::Full(_) => system("too many engines are being started at once"),
                TrySendError::Disconnected(_) => system("the thread that starts engines has ended"),
            },
        )?;
        started.await.map_err(|_| system("the thread that starts engines has ended"))?
    }
}

fn run(waiting: &Receiver<Job>, record: &Record) {
    let node = std::process::id();
    while let Ok(job) = waiting.recv() {
        // The child's pipes and its end are watched by the runtime that asked.
        let _runtime = job.runtime.enter();
        let started = start(&job.spawn, node);
        if let Some(pid) = started.as_ref().ok().and_then(Child::id)
            && let Err(error) = record.add(pid)
        {
            // The engine runs all the same; only the sweep after a hard death of the node would miss it.
            tracing::warn!(%error, "an engine's process id cannot be recorded");
        }
        // Nobody waits any more: dropping the child ends it.
        let _ = job.reply.send(started);
    }
}

fn start(spawn: &Spawn, node: u32) -> Result<Child, SpawnError> {
    let mut command = Command::new(&spawn.program);
    command.args(&spawn.args).env_clear().envs(passed(std::env::vars_os())).envs(&spawn.env);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    // SAFETY: the closure calls only functions that are safe between fork and exec, and allocates nothing.
    unsafe { command.pre_exec(move || die_with_parent(node)) };
    command.spawn().map_err(|error| match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied => {
            SpawnError::Program { program: spawn.program.clone(), reason: error.to_string() }
        }
        _ => SpawnError::System(error.to_string()),
    })
}

/// Called in the child: has the kernel kill it when the thread that forked it ends.
///
/// # Errors
/// When that end came first: then there is nobody left to send the signal.
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

fn passed(own: impl Iterator<Item = (OsString, OsString)>) -> impl Iterator<Item = (OsString, OsString)> {
    own.filter(|(name, _)| {
        let name = name.to_string_lossy();
        PASSED.contains(&name.as_ref()) || PASSED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_get_the_basics_of_the_environment_and_no_secrets() {
        let own = ["PATH", "HOME", "LLMHUB_KEY", "CUDA_HOME", "GGML_X", "AWS_SECRET"];
        let passed = passed(own.map(|name| (name.into(), "x".into())).into_iter());
        let names: Vec<_> = passed.map(|(name, _)| name.into_string().unwrap()).collect();
        assert_eq!(names, ["PATH", "HOME", "CUDA_HOME", "GGML_X"]);
    }
}
