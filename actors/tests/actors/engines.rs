//! The machine's side of the world: files that are there or not, engines that obey or not, and an HTTP client that
//! reaches them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::ports::{
    CallError, Exit, FileError, FileProbe, GpuError, GpuReading, Gpus, Http, Process, Processes, Request,
    Response, Spawn, SpawnError,
};
use async_trait::async_trait;
use bytes::Bytes;
use domain::node::Gpu;
use http_body_util::{BodyExt, Full};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// How engines behave from now on.
#[derive(Clone, Default)]
pub(crate) struct Manners {
    /// How long a start takes until the engine answers.
    pub(crate) loads_for: Duration,
    /// After how long it ends by itself.
    pub(crate) dies_after: Option<Duration>,
    /// Whether it ignores SIGTERM.
    pub(crate) deaf: bool,
    /// Whether its program is missing.
    pub(crate) missing: bool,
}

/// A machine that runs engines.
#[derive(Default)]
pub(crate) struct Machine {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    manners: Manners,
    files: BTreeMap<String, Vec<u8>>,
    next_port: u16,
    /// Running engines by port.
    engines: BTreeMap<u16, Engine>,
    hung: BTreeSet<u16>,
    /// What was done to processes: when, and what.
    record: Vec<(Instant, String)>,
    /// What providers answer, by URL.
    answers: BTreeMap<String, u16>,
    log: Vec<String>,
    /// How often listing the GPUs still panics.
    gpu_panics: u32,
    /// How often a replica's actor still panics when it starts.
    replica_panics: u32,
}

struct Engine {
    key: String,
    ready_at: Instant,
}

impl Machine {
    pub(crate) fn behave(&self, manners: Manners) {
        self.inner.lock().unwrap().manners = manners;
    }
    pub(crate) fn put_file(&self, path: &str, content: &[u8]) {
        self.inner.lock().unwrap().files.insert(path.to_owned(), content.to_owned());
    }
    pub(crate) fn answer(&self, url: &str, status: u16) {
        self.inner.lock().unwrap().answers.insert(url.to_owned(), status);
    }
    /// The GPUs' watcher panics this often.
    pub(crate) fn break_gpus(&self, times: u32) {
        self.inner.lock().unwrap().gpu_panics = times;
    }
    /// A replica's actor panics this often.
    pub(crate) fn break_replicas(&self, times: u32) {
        self.inner.lock().unwrap().replica_panics = times;
    }
    fn panic_while(&self, left: impl Fn(&mut Inner) -> &mut u32) {
        let broken = {
            let mut inner = self.inner.lock().unwrap();
            let left = left(&mut inner);
            let broken = *left > 0;
            *left = left.saturating_sub(1);
            broken
        };
        assert!(!broken, "this part of the world is broken");
    }
    /// Engines that run stop answering, without ending.
    pub(crate) fn hang(&self) {
        let mut inner = self.inner.lock().unwrap();
        inner.hung = inner.engines.keys().copied().collect();
    }
    pub(crate) fn running(&self) -> usize {
        self.inner.lock().unwrap().engines.len()
    }
    pub(crate) fn log(&self) -> Vec<String> {
        self.inner.lock().unwrap().log.clone()
    }
    /// When something was done to a process, in order.
    pub(crate) fn when(&self, what: &str) -> Vec<Instant> {
        let inner = self.inner.lock().unwrap();
        inner.record.iter().filter(|(_, done)| done == what).map(|(at, _)| *at).collect()
    }
    /// Everything that was done to processes: milliseconds since `start`, and what.
    pub(crate) fn record(&self, start: Instant) -> Vec<(u128, String)> {
        let inner = self.inner.lock().unwrap();
        inner.record.iter().map(|(at, what)| ((*at - start).as_millis(), what.clone())).collect()
    }
    fn note(&self, what: &str) {
        self.inner.lock().unwrap().record.push((Instant::now(), what.to_owned()));
    }
}

/// A handle on the machine, as the ports want it.
#[derive(Clone)]
pub(crate) struct Port(pub(crate) Arc<Machine>);

struct Running {
    machine: Arc<Machine>,
    port: u16,
    deaf: bool,
    lines: Option<mpsc::Receiver<String>>,
    over: watch::Sender<Option<&'static str>>,
    dies_at: Option<Instant>,
}

impl Running {
    fn end(&self, status: &'static str) {
        self.machine.inner.lock().unwrap().engines.remove(&self.port);
        self.over.send_if_modified(|over| over.replace(status).is_none());
    }
}

#[async_trait]
impl Process for Running {
    fn pid(&self) -> u32 {
        u32::from(self.port)
    }
    fn lines(&mut self) -> Option<mpsc::Receiver<String>> {
        self.lines.take()
    }
    fn terminate(&mut self) {
        self.machine.note("term");
        if !self.deaf {
            self.end("signal 15");
        }
    }
    fn kill(&mut self) {
        self.machine.note("kill");
        self.end("signal 9");
    }
    async fn wait(&mut self) -> Exit {
        let mut over = self.over.subscribe();
        if let Some(at) = self.dies_at {
            let ended = tokio::time::timeout_at(at, over.wait_for(Option::is_some)).await.is_ok();
            if !ended {
                self.end("exit code 1");
            }
        }
        let status = over.wait_for(Option::is_some).await.unwrap().unwrap();
        Exit { status: status.to_owned() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.end("dropped");
    }
}

#[async_trait]
impl Processes for Port {
    async fn spawn(&self, spawn: Spawn) -> Result<Box<dyn Process>, SpawnError> {
        self.0.note("spawn");
        let mut inner = self.0.inner.lock().unwrap();
        if inner.manners.missing {
            return Err(SpawnError::Program { program: spawn.program, reason: "no such file".to_owned() });
        }
        let manners = inner.manners.clone();
        let place = spawn.args.iter().position(|arg| arg == "--port").unwrap();
        let port: u16 = spawn.args[place + 1].parse().unwrap();
        let key = ["LLAMA_API_KEY", "LLMHUB_ENGINE_KEY"].iter().find_map(|name| spawn.env.get(*name));
        let key = key.unwrap().clone();
        let (send, lines) = mpsc::channel(16);
        send.try_send(format!("listening on {port}, my key is {key}")).unwrap();
        let now = Instant::now();
        inner.engines.insert(port, Engine { key, ready_at: now + manners.loads_for });
        Ok(Box::new(Running {
            machine: self.0.clone(),
            port,
            deaf: manners.deaf,
            lines: Some(lines),
            over: watch::Sender::new(None),
            dies_at: manners.dies_after.map(|after| now + after),
        }))
    }
    async fn free_port(&self) -> Result<u16, SpawnError> {
        let mut inner = self.0.inner.lock().unwrap();
        inner.next_port += 1;
        Ok(40_000 + inner.next_port)
    }
    async fn probe_file(&self, path: &str) -> Result<FileProbe, FileError> {
        let inner = self.0.inner.lock().unwrap();
        let content = inner.files.get(path).ok_or_else(|| FileError::Missing(path.to_owned()))?;
        let magic = content.iter().take(8).copied().collect();
        Ok(FileProbe { len: content.len() as u64, magic })
    }
    async fn log(&self, label: &str, line: &str) {
        self.0.inner.lock().unwrap().log.push(format!("{label}: {line}"));
    }
    async fn memory_mib(&self, _: u32) -> Option<u64> {
        None
    }
    fn stop_grace(&self) -> Duration {
        self.0.panic_while(|inner| &mut inner.replica_panics);
        GRACE
    }
}

#[async_trait]
impl Http for Port {
    async fn send(&self, request: Request, _: Duration) -> Result<Response, CallError> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let target = request.uri().to_string();
        let inner = self.0.inner.lock().unwrap();
        let refused = || CallError::Connect { target: target.clone(), reason: "refused".to_owned() };
        let status = if request.uri().host() == Some("127.0.0.1") {
            let port = request.uri().port_u16().unwrap();
            let engine = inner.engines.get(&port).filter(|_| !inner.hung.contains(&port));
            let engine = engine.ok_or_else(refused)?;
            let authorized = request.headers().get("authorization").and_then(|v| v.to_str().ok());
            assert_eq!(authorized, Some(format!("Bearer {}", engine.key).as_str()));
            if Instant::now() < engine.ready_at { 503 } else { 200 }
        } else {
            *inner.answers.get(&target).ok_or_else(refused)?
        };
        let body = Full::new(Bytes::from_static(b"{}")).map_err(|never| match never {}).boxed_unsync();
        Ok(http::Response::builder().status(status).body(body).unwrap())
    }
}

#[async_trait]
impl Gpus for Port {
    async fn list(&self) -> Result<Vec<Gpu>, GpuError> {
        self.0.panic_while(|inner| &mut inner.gpu_panics);
        Ok(Vec::new())
    }
    async fn read(&self) -> Result<Vec<GpuReading>, GpuError> {
        Err(GpuError("there is none".to_owned()))
    }
}
