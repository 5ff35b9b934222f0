//! A gateway over fakes: commands are applied at once, targets answer what a test lays in.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::ports::*;
use actors::{Endpoint, Refused, Secret};
use async_trait::async_trait;
use bytes::Bytes;
use domain::command::Envelope;
use domain::deployment::{self, Phase};
use domain::key::Scope;
use domain::secret::Sealed;
use domain::{
    Command, DeploymentId, Epoch, Health, Incarnation, Liveness, Millis, NodeId, ProviderName, Reply,
    RequestId, TokenId, View, key, model, node, provider,
};
use futures::StreamExt;
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full, StreamBody};
use serde_json::Value;

use crate::{Config, Deps, Doors, Gateway, Minted, Pass, TokenMint};

pub(super) const ME: NodeId = NodeId(1);
pub(super) const OTHER: NodeId = NodeId(2);
pub(super) const NOW: Millis = 1_700_000_000_000;

/// A key's text with every scope named.
pub(super) fn key_text(scope: Scope) -> String {
    format!("sk-llmhub-{}", scope.as_str().repeat(20))
}

/// A piece of a target's body.
pub(super) enum Piece {
    Bytes(&'static str),
    Wait(Duration),
    Break,
    Hang,
}

/// Tells when the body it is in was dropped.
#[derive(Clone, Default)]
pub(super) struct Dropped(Arc<AtomicBool>);

impl Dropped {
    pub(super) fn is_true(&self) -> bool {
        self.0.load(Ordering::SeqCst)
    }
}

struct Guard(Dropped);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::SeqCst);
    }
}

pub(super) fn body(pieces: Vec<Piece>, dropped: Dropped) -> Body {
    let guard = Guard(dropped);
    let stream = futures::stream::iter(pieces).then(move |piece| {
        let _ = &guard;
        async move {
            match piece {
                Piece::Bytes(text) => Some(Ok(http_body::Frame::data(Bytes::from_static(text.as_bytes())))),
                Piece::Wait(time) => {
                    tokio::time::sleep(time).await;
                    None
                }
                Piece::Break => Some(Err("connection reset".into())),
                Piece::Hang => std::future::pending().await,
            }
        }
    });
    StreamBody::new(stream.filter_map(|item| async { item })).boxed_unsync()
}

/// What a target does when it is called next.
pub(super) enum Next {
    Answer(u16, &'static str, Vec<Piece>),
    Fail(CallError),
    Hang,
    Watched(Vec<Piece>, Dropped),
}

pub(super) fn json(text: &'static str) -> Next {
    Next::Answer(200, "application/json", vec![Piece::Bytes(text)])
}

pub(super) fn events(pieces: Vec<Piece>) -> Next {
    Next::Answer(200, "text/event-stream", pieces)
}

pub(super) fn unreachable() -> Next {
    Next::Fail(CallError::Connect { target: "t".to_owned(), reason: "refused".to_owned() })
}

/// Calls in the order they came: the node, for relayed ones, and the request.
#[derive(Default)]
pub(super) struct Targets {
    next: Mutex<VecDeque<Next>>,
    seen: Mutex<Vec<(Option<NodeId>, Request)>>,
}

impl Targets {
    pub(super) fn then(&self, next: Next) -> &Self {
        self.next.lock().unwrap().push_back(next);
        self
    }
    pub(super) fn seen(&self) -> Vec<(Option<NodeId>, Request)> {
        self.seen.lock().unwrap().clone()
    }
    async fn answer(
        &self,
        node: Option<NodeId>,
        request: Request,
        timeout: Duration,
    ) -> Result<Response, CallError> {
        self.seen.lock().unwrap().push((node, request));
        let next = self.next.lock().unwrap().pop_front();
        let (status, kind, body) = match next.expect("the test lays in an answer for every call") {
            Next::Answer(status, kind, pieces) => (status, kind, body(pieces, Dropped::default())),
            Next::Watched(pieces, dropped) => (200, "text/event-stream", body(pieces, dropped)),
            Next::Fail(error) => return Err(error),
            Next::Hang => {
                tokio::time::sleep(timeout).await;
                return Err(CallError::Timeout { target: "t".to_owned(), waited: timeout });
            }
        };
        let response = http::Response::builder().status(status).header("content-type", kind);
        Ok(response.header("server", "hidden").body(body).unwrap())
    }
}

#[async_trait]
impl Http for Targets {
    async fn send(&self, request: Request, timeout: Duration) -> Result<Response, CallError> {
        self.answer(None, request, timeout).await
    }
}

#[async_trait]
impl Relay for Targets {
    async fn send(&self, to: NodeId, request: Request, timeout: Duration) -> Result<Response, CallError> {
        self.answer(Some(to), request, timeout).await
    }
}

/// Applies commands at once; fails first as often as it was told.
pub(super) struct Log {
    view: ViewCell,
    index: AtomicU64,
    pub(super) failures: Mutex<VecDeque<ProposeError>>,
    pub(super) barriers: AtomicU64,
}

impl Log {
    fn apply(&self, id: RequestId, command: Command) -> Result<Reply, ProposeError> {
        let index = self.index.fetch_add(1, Ordering::SeqCst);
        let envelope = Envelope { at: NOW, ..Envelope::new(id, command) };
        let mut outcome = None;
        self.view.update(|view| {
            let mut next = view.clone();
            outcome = Some(next.state.apply(index, &envelope, &mut Vec::new()));
            next.applied = index;
            next
        });
        Ok(outcome.unwrap()?)
    }
}

#[async_trait]
impl Proposer for Log {
    async fn propose_as(&self, id: RequestId, command: Command) -> Result<Reply, ProposeError> {
        let failure = self.failures.lock().unwrap().pop_front();
        failure.map_or_else(|| self.apply(id, command), Err)
    }
    async fn propose(&self, command: Command) -> Result<Reply, ProposeError> {
        let id = RequestId(u128::from(self.index.load(Ordering::SeqCst)));
        self.propose_as(id, command).await
    }
    async fn barrier(&self) -> Result<(), ProposeError> {
        self.barriers.fetch_add(1, Ordering::SeqCst);
        self.failures.lock().unwrap().pop_front().map_or(Ok(()), Err)
    }
}

/// Everything else that the gateway needs, as simple as can be.
pub(super) struct Rest(AtomicU64);

impl Clock for Rest {
    fn now(&self) -> Millis {
        NOW
    }
}

impl Entropy for Rest {
    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill_with(|| self.0.fetch_add(1, Ordering::SeqCst) as u8);
    }
}

impl TokenMint for Rest {
    fn mint(&self) -> Minted {
        let n = self.0.fetch_add(1, Ordering::SeqCst);
        Minted { id: TokenId(n), text: format!("join-{n}"), hash: vec![n as u8; 32] }
    }
}

#[async_trait]
impl Vault for Rest {
    async fn seal(&self, context: &str, clear: &[u8]) -> Result<Sealed, VaultError> {
        let bytes = clear.iter().map(|b| b ^ 0x55).collect();
        Ok(Sealed { nonce: context.as_bytes().to_vec(), bytes })
    }
    async fn open_provider_key(&self, _: &provider::Provider) -> Result<Option<String>, VaultError> {
        Ok(None)
    }
}

#[async_trait]
impl PeerLink for Rest {
    async fn ask(&self, to: NodeId, topic: &'static str, _: Bytes, _: Duration) -> Result<Bytes, PeerError> {
        match (to, topic) {
            (OTHER, _) => Err(PeerError::Unreachable(to)),
            (_, "replica.logs") => Ok(rmp_serde::to_vec(&["one", "two"]).unwrap().into()),
            _ => Err(PeerError::Timeout(to)),
        }
    }
    async fn deliver(&self, to: NodeId, _: &'static str, _: Bytes, _: Duration) -> Result<(), PeerError> {
        Err(PeerError::Unreachable(to))
    }
}

/// Targets on this node: all open, but for those that were closed.
#[derive(Default)]
pub(super) struct Open {
    pub(super) closed: Mutex<BTreeMap<String, String>>,
}

impl Open {
    fn pass(&self, name: String, base_url: String) -> Result<Pass, Refused> {
        if let Some(why) = self.closed.lock().unwrap().get(&name) {
            return Err(Refused::Closed(why.clone()));
        }
        Ok(Pass::Open(Endpoint { base_url, bearer: Some(Secret::new(format!("key-of-{name}"))) }))
    }
}

impl Doors for Open {
    fn provider(&self, name: &ProviderName) -> Result<Pass, Refused> {
        self.pass(name.to_string(), format!("http://{name}.test/v1"))
    }
    fn replica(&self, id: DeploymentId, ordinal: u32, epoch: Epoch) -> Result<Pass, Refused> {
        self.pass(format!("{ordinal}"), format!("http://127.0.0.1:{}/v1", id.0 + epoch))
    }
}

/// A gateway and its fakes. Node 1 is this one, node 2 another; the model `api` is offered by providers `a` and `b`.
pub(super) struct Bed {
    pub(super) gateway: Gateway,
    pub(super) view: ViewCell,
    pub(super) targets: Arc<Targets>,
    pub(super) log: Arc<Log>,
    pub(super) doors: Arc<Open>,
}

impl Bed {
    pub(super) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(super) fn with(config: Config) -> Self {
        let nodes = BTreeMap::from([(OTHER, (Health::Alive, Incarnation(1)))]);
        let view = View {
            me: ME,
            leader: Some(ME),
            voters: Arc::new([ME].into()),
            liveness: Arc::new(Liveness { nodes }),
            ..View::default()
        };
        let view = ViewCell::new(view);
        let log = Arc::new(Log {
            view: view.clone(),
            index: AtomicU64::new(100),
            failures: Mutex::default(),
            barriers: AtomicU64::new(0),
        });
        let (targets, doors, rest) =
            (Arc::new(Targets::default()), Arc::new(Open::default()), Arc::new(Rest(AtomicU64::new(1))));
        let deps = Deps {
            view: view.clone(),
            proposer: log.clone(),
            directory: doors.clone(),
            http: targets.clone(),
            relay: targets.clone(),
            vault: rest.clone(),
            peers: rest.clone(),
            clock: rest.clone(),
            entropy: rest.clone(),
            tokens: rest,
            me: ME,
            version: "0.0.0".to_owned(),
            cluster: "blue".to_owned(),
        };
        let bed = Self { gateway: Gateway::new(config, deps), view, targets, log, doors };
        bed.furnish();
        bed
    }

    fn furnish(&self) {
        for (id, name, zone) in [(ME, "one", "az1"), (OTHER, "two", "az2")] {
            self.apply(Command::Node(node::Command::Join(node_row(id, name, zone))));
        }
        for (_, scope) in Scope::ALL {
            let text = key_text(scope);
            self.apply(Command::Key(key::Command::Create {
                name: scope.as_str().to_owned(),
                hash: crate::auth::hash(text.as_bytes()).to_vec(),
                prefix: text[..12].to_owned(),
                scopes: vec![scope],
            }));
        }
        self.provider("a", &["api"]);
        self.provider("b", &["api"]);
    }

    pub(super) fn apply(&self, command: Command) -> Reply {
        let id = RequestId(u128::from(self.log.index.load(Ordering::SeqCst)) << 64);
        self.log.apply(id, command).unwrap()
    }

    pub(super) fn provider(&self, name: &str, models: &[&str]) {
        let kind = provider::Kind::OpenAi { url: format!("http://{name}.test/v1"), api_key: None };
        self.provider_of(name, kind, models);
    }

    pub(super) fn provider_of(&self, name: &str, kind: provider::Kind, models: &[&str]) {
        let models = models.iter().map(|m| (*m).to_owned()).collect();
        let row =
            provider::Provider { name: ProviderName::from(name), kind, models, revision: 0, created_at: 0 };
        self.apply(Command::Provider(provider::Command::Put(row)));
    }

    /// A deployment of the mock model with ready replicas on these nodes.
    pub(super) fn deployment(&self, name: &str, nodes: &[NodeId]) -> DeploymentId {
        let model = model::Model {
            id: "mock".into(),
            name: "mock".to_owned(),
            description: String::new(),
            path: None,
            created_at: 0,
        };
        self.apply(Command::Model(model::Command::Put(model)));
        let spec = deployment::Spec {
            name: name.to_owned(),
            model: "mock".into(),
            engine: "mock".to_owned(),
            replicas: nodes.len().max(1) as u32,
            resources: deployment::Resources::default(),
            env: BTreeMap::new(),
            args: Vec::new(),
        };
        let Reply::Deployment(id) = self.apply(Command::Deployment(deployment::Command::Create(spec))) else {
            panic!("a deployment was created");
        };
        for (ordinal, node) in (0..).zip(nodes) {
            self.assign(id, ordinal, None, *node);
        }
        id
    }

    pub(super) fn assign(&self, id: DeploymentId, ordinal: u32, was: Option<Epoch>, node: NodeId) -> Epoch {
        let assign = deployment::Command::Assign { id, ordinal, was, node, gpus: Vec::new() };
        let Reply::Epoch(epoch) = self.apply(Command::Deployment(assign)) else { panic!("it was assigned") };
        self.apply(Command::Deployment(deployment::Command::Report {
            id,
            ordinal,
            epoch,
            phase: Phase::Ready,
        }));
        epoch
    }

    pub(super) fn health(&self, node: NodeId, health: Health) {
        self.view.update(|view| {
            let mut nodes = view.liveness.nodes.clone();
            nodes.insert(node, (health, Incarnation(1)));
            View { liveness: Arc::new(Liveness { nodes }), ..view.clone() }
        });
    }

    /// A request with the key of a scope.
    pub(super) async fn ask(&self, method: Method, path: &str, scope: Scope, body: &str) -> Got {
        let request = http::Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {}", key_text(scope)))
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .unwrap();
        self.send(request).await
    }

    pub(super) async fn send(&self, request: http::Request<Full<Bytes>>) -> Got {
        let (parts, body) = self.gateway.handle(request).await.into_parts();
        let body = body.collect().await.expect("the answer is whole").to_bytes();
        Got { status: parts.status, headers: parts.headers, body }
    }

    pub(super) async fn get(&self, path: &str) -> Got {
        self.ask(Method::GET, path, Scope::Read, "").await
    }

    pub(super) async fn chat(&self, model: &str) -> Got {
        let body = format!(r#"{{"model":"{model}","messages":[]}}"#);
        self.ask(Method::POST, "/v1/chat/completions", Scope::Inference, &body).await
    }

    /// The head and the unread body of a streamed chat.
    pub(super) async fn stream(&self, model: &str) -> http::Response<Body> {
        let body = format!(r#"{{"model":"{model}","messages":[],"stream":true}}"#);
        let request = http::Request::post("/v1/chat/completions")
            .header("authorization", format!("Bearer {}", key_text(Scope::Inference)))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        self.gateway.handle(request).await
    }

    /// A number of the metrics page.
    pub(super) async fn metric(&self, line: &str) -> String {
        let page = self.get("/metrics").await.text();
        let found = page.lines().find_map(|l| l.strip_prefix(line)?.strip_prefix(' ').map(str::to_owned));
        found.unwrap_or_else(|| panic!("no {line} in\n{page}"))
    }
}

fn node_row(id: NodeId, name: &str, zone: &str) -> node::Node {
    node::Node {
        id,
        name: name.to_owned(),
        zone: zone.to_owned(),
        cluster_addr: String::new(),
        http_addr: String::new(),
        seal_public: Vec::new(),
        cert_fingerprint: Vec::new(),
        incarnation: Incarnation(1),
        capacity: node::Capacity {
            cpus: 4,
            memory_mib: 1024,
            gpus: Vec::new(),
            engines: vec!["llama".to_owned(), "mock".to_owned()],
        },
        standing: node::Standing::Active,
        since: 0,
        version: "0.0.0".to_owned(),
        joined_at: 0,
    }
}

/// A whole answer.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) status: StatusCode,
    pub(super) headers: http::HeaderMap,
    pub(super) body: Bytes,
}

impl Got {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.text()))
    }
    /// Status, code and message of an error.
    pub(super) fn error(&self) -> (u16, String, String) {
        let error = &self.json()["error"];
        let text = |field: &str| error[field].as_str().unwrap_or_default().to_owned();
        assert!(self.headers.contains_key("x-request-id"));
        (self.status.as_u16(), text("code"), text("message"))
    }
    #[track_caller]
    pub(super) fn is_error(&self, status: u16, code: &str, says: &str) {
        let (got, got_code, message) = self.error();
        assert_eq!((got, got_code.as_str()), (status, code), "{message}");
        assert!(message.contains(says), "{message}");
    }
}

/// What is left of a streamed answer, up to its end.
pub(super) async fn rest(response: http::Response<Body>) -> String {
    let bytes =
        response.into_body().collect().await.expect("a stream never breaks without a word").to_bytes();
    String::from_utf8_lossy(&bytes).into_owned()
}
