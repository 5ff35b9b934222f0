//! A fake engine: a task that loads for a moment, then serves the mock's answers on a loopback port of its host. It can
//! be ended, killed and made to hang. [`Engines`] knows what runs on a host; a host that dies takes its engines along.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use actors::ports::Exit;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;
use turmoil::net::{TcpListener, TcpStream};

use super::{Cards, lock};

/// The first loopback port handed out; below turmoil's ephemeral ones.
const FIRST_PORT: u32 = 20_000;
/// How many there are before they are handed out again.
const PORTS: u32 = 20_000;
/// Connections served at a time.
const CONNECTIONS_MAX: usize = 512;
/// Memory that an engine holds, and one that leaks, in MiB.
const MEMORY_MIB: u64 = 48;
const LEAKED_MIB: u64 = 4096;
/// Lines of output that wait to be read.
pub(super) const LINES_MAX: usize = 64;

/// What to run.
pub(super) struct Program {
    pub(super) label: String,
    pub(super) port: u16,
    pub(super) key: Option<Arc<str>>,
    /// Whether it needs a GPU.
    pub(super) on_gpu: bool,
    /// How long it loads.
    pub(super) load: Duration,
}

/// A running engine as seen from outside.
#[derive(Clone)]
pub(crate) struct Running {
    /// What it was started as: `dep-…/0`.
    pub label: String,
    /// Whether it needs a GPU.
    pub on_gpu: bool,
    kill: Arc<Notify>,
    state: Arc<State>,
}

/// What is wrong with an engine that runs.
#[derive(Default)]
struct State {
    hung: AtomicBool,
    garbles: AtomicBool,
    leaks: AtomicBool,
}

impl Running {
    /// Ends it at once.
    pub(crate) fn kill(&self) {
        self.kill.notify_one();
    }

    /// Lets it answer nobody any more, for good.
    pub(crate) fn hang(&self) {
        self.state.hung.store(true, Ordering::Relaxed);
    }

    /// Lets it answer garbage from now on.
    pub(crate) fn garble(&self) {
        self.state.garbles.store(true, Ordering::Relaxed);
    }

    /// Lets it hold far more memory than it was given from now on.
    pub(crate) fn leak(&self) {
        self.state.leaks.store(true, Ordering::Relaxed);
    }

    /// Whether it does.
    pub(crate) fn leaks(&self) -> bool {
        self.state.leaks.load(Ordering::Relaxed)
    }

    /// The deployment it belongs to: `dep-…`.
    pub(crate) fn deployment(&self) -> &str {
        self.label.split('/').next().unwrap_or_default()
    }
}

/// The engines of one host.
pub(crate) struct Engines {
    next: AtomicU32,
    running: Mutex<BTreeMap<u32, Running>>,
    gpus: Cards,
    /// Deployments whose engines die as they start.
    broken: Mutex<BTreeSet<String>>,
    /// Every start: when, and of which label. Taken by whoever watches.
    starts: Mutex<Vec<(Duration, String)>>,
}

impl Engines {
    /// None yet, on a host with these GPUs.
    pub(crate) fn new(gpus: Cards) -> Self {
        let (next, running) = (AtomicU32::default(), Mutex::default());
        Self { next, running, gpus, broken: Mutex::default(), starts: Mutex::default() }
    }

    /// Engines of this deployment die as they start, until they are mended.
    pub(crate) fn break_down(&self, deployment: &str) {
        lock(&self.broken).insert(deployment.to_owned());
    }

    /// Engines of all deployments start again.
    pub(crate) fn mend(&self) {
        lock(&self.broken).clear();
    }

    /// The starts since the last look.
    pub(crate) fn take_starts(&self) -> Vec<(Duration, String)> {
        std::mem::take(&mut *lock(&self.starts))
    }

    /// Whether an engine that has loaded can serve.
    fn can_serve(&self, program: &Program) -> bool {
        let deployment = program.label.split('/').next().unwrap_or_default();
        !lock(&self.broken).contains(deployment) && (!program.on_gpu || self.gpus.are_there())
    }

    /// Those that run now, oldest first.
    pub(crate) fn running(&self) -> Vec<Running> {
        lock(&self.running).values().cloned().collect()
    }

    /// The memory that a process holds, in MiB.
    pub(super) fn memory_mib(&self, pid: u32) -> Option<u64> {
        let running = lock(&self.running);
        running.get(&pid).map(|engine| if engine.leaks() { LEAKED_MIB } else { MEMORY_MIB })
    }

    pub(super) fn next_port(&self) -> u16 {
        (FIRST_PORT + self.next.fetch_add(1, Ordering::Relaxed) % PORTS) as u16
    }

    /// Starts one on the runtime of its host.
    pub(super) fn start(self: &Arc<Self>, program: Program) -> Controls {
        let pid = 1000 + self.next.fetch_add(1, Ordering::Relaxed);
        let (kill, terminate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let state = Arc::<State>::default();
        let (label, on_gpu) = (program.label.clone(), program.on_gpu);
        lock(&self.starts).push((turmoil::sim_elapsed().unwrap_or_default(), label.clone()));
        let running = Running { label, on_gpu, kill: kill.clone(), state: state.clone() };
        lock(&self.running).insert(pid, running);
        let entry = Entry { pid, engines: self.clone() };
        let (exited, exit) = watch::channel(None);
        let (lines, output) = mpsc::channel(LINES_MAX);
        let (killed, ended) = (kill.clone(), terminate.clone());
        let engines = self.clone();
        tokio::spawn(async move {
            let status = tokio::select! {
                biased;
                () = killed.notified() => "signal 9",
                () = ended.notified() => "exit code 0",
                failed = serve(&engines, program, state, lines) => {
                    tracing::debug!(reason = ?failed, "engine failed");
                    "exit code 1"
                }
            };
            drop(entry);
            exited.send_replace(Some(Exit { status: status.to_owned() }));
        });
        Controls { pid, kill, terminate, exit, output: Some(output) }
    }
}

/// Keeps an engine listed as long as it runs; dropped with its task when the host dies.
struct Entry {
    pid: u32,
    engines: Arc<Engines>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        lock(&self.engines.running).remove(&self.pid);
    }
}

/// What its parent holds of an engine.
pub(super) struct Controls {
    pub(super) pid: u32,
    pub(super) kill: Arc<Notify>,
    pub(super) terminate: Arc<Notify>,
    pub(super) exit: watch::Receiver<Option<Exit>>,
    pub(super) output: Option<mpsc::Receiver<String>>,
}

async fn serve(
    engines: &Engines,
    program: Program,
    state: Arc<State>,
    lines: mpsc::Sender<String>,
) -> io::Error {
    let _ = lines.try_send(format!("loading for {:?}", program.load));
    tokio::time::sleep(program.load).await;
    if !engines.can_serve(&program) {
        let _ = lines.try_send("the model cannot be loaded".to_owned());
        return io::Error::other("broken");
    }
    let listener = match TcpListener::bind(("127.0.0.1", program.port)).await {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let _ = lines.try_send(format!("listening on port {}", program.port));
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                let stream = Hangable { stream, state: state.clone() };
                connections.spawn(runtime::mock_engine::serve(stream, program.key.clone()));
            }
            Ok(_) => {}
            Err(error) => return error,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// A connection that goes silent when its engine hangs, and carries garbage when that garbles. Nothing wakes a silent one
/// again: a hung engine stays hung.
struct Hangable {
    stream: TcpStream,
    state: Arc<State>,
}

impl Hangable {
    fn hangs(&self) -> bool {
        self.state.hung.load(Ordering::Relaxed)
    }
}

impl AsyncRead for Hangable {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.hangs() { Poll::Pending } else { Pin::new(&mut self.stream).poll_read(cx, buf) }
    }
}

impl AsyncWrite for Hangable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.hangs() {
            return Poll::Pending;
        }
        if self.state.garbles.load(Ordering::Relaxed) {
            let garbage: Vec<u8> = buf.iter().map(|byte| !byte).collect();
            return Pin::new(&mut self.stream).poll_write(cx, &garbage);
        }
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
