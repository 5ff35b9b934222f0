//! A fake engine: a task that loads for a moment, then serves the mock's answers on a loopback port of its host. It can
//! be ended, killed and made to hang. [`Engines`] knows what runs on a host; a host that dies takes its engines along.

use std::collections::BTreeMap;
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

use super::lock;

/// The first loopback port handed out; below turmoil's ephemeral ones.
const FIRST_PORT: u32 = 20_000;
/// How many there are before they are handed out again.
const PORTS: u32 = 20_000;
/// Connections served at a time.
const CONNECTIONS_MAX: usize = 512;
/// Lines of output that wait to be read.
pub(super) const LINES_MAX: usize = 64;

/// What to run.
pub(super) struct Program {
    pub(super) label: String,
    pub(super) port: u16,
    pub(super) key: Option<Arc<str>>,
    /// How long it loads.
    pub(super) load: Duration,
}

/// A running engine as seen from outside.
#[derive(Clone)]
pub(crate) struct Running {
    /// What it was started as: `dep-…/0`.
    pub label: String,
    kill: Arc<Notify>,
    hung: Arc<AtomicBool>,
}

impl Running {
    /// Ends it at once.
    pub(crate) fn kill(&self) {
        self.kill.notify_one();
    }

    /// Lets it answer nobody any more, for good.
    pub(crate) fn hang(&self) {
        self.hung.store(true, Ordering::Relaxed);
    }
}

/// The engines of one host.
#[derive(Default)]
pub(crate) struct Engines {
    next: AtomicU32,
    running: Mutex<BTreeMap<u32, Running>>,
}

impl Engines {
    /// Those that run now, oldest first.
    pub(crate) fn running(&self) -> Vec<Running> {
        lock(&self.running).values().cloned().collect()
    }

    pub(super) fn next_port(&self) -> u16 {
        (FIRST_PORT + self.next.fetch_add(1, Ordering::Relaxed) % PORTS) as u16
    }

    /// Starts one on the runtime of its host.
    pub(super) fn start(self: &Arc<Self>, program: Program) -> Controls {
        let pid = 1000 + self.next.fetch_add(1, Ordering::Relaxed);
        let (kill, terminate) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let hung = Arc::new(AtomicBool::new(false));
        let running = Running { label: program.label.clone(), kill: kill.clone(), hung: hung.clone() };
        lock(&self.running).insert(pid, running);
        let entry = Entry { pid, engines: self.clone() };
        let (exited, exit) = watch::channel(None);
        let (lines, output) = mpsc::channel(LINES_MAX);
        let (killed, ended) = (kill.clone(), terminate.clone());
        tokio::spawn(async move {
            let status = tokio::select! {
                biased;
                () = killed.notified() => "signal 9",
                () = ended.notified() => "exit code 0",
                failed = serve(program, hung, lines) => {
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

async fn serve(program: Program, hung: Arc<AtomicBool>, lines: mpsc::Sender<String>) -> io::Error {
    let _ = lines.try_send(format!("loading for {:?}", program.load));
    tokio::time::sleep(program.load).await;
    let listener = match TcpListener::bind(("127.0.0.1", program.port)).await {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    let _ = lines.try_send(format!("listening on port {}", program.port));
    let mut connections = JoinSet::new();
    loop {
        match listener.accept().await {
            Ok((stream, _)) if connections.len() < CONNECTIONS_MAX => {
                let stream = Hangable { stream, hung: hung.clone() };
                connections.spawn(runtime::mock_engine::serve(stream, program.key.clone()));
            }
            Ok(_) => {}
            Err(error) => return error,
        }
        while connections.try_join_next().is_some() {}
    }
}

/// A connection that goes silent when its engine hangs. Nothing wakes it again: a hung engine stays hung.
struct Hangable {
    stream: TcpStream,
    hung: Arc<AtomicBool>,
}

impl Hangable {
    fn hangs(&self) -> bool {
        self.hung.load(Ordering::Relaxed)
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
        if self.hangs() { Poll::Pending } else { Pin::new(&mut self.stream).poll_write(cx, buf) }
    }
    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
