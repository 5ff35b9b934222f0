//! A gateway over fakes: commands are applied at once, targets answer what a test lays in.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use actors::limiter;
use actors::monotonic::Monotonic;
use actors::ports::*;
use bytes::Bytes;
use domain::decide::mode::Contact;
use domain::deployment::{self, Phase};
use domain::key::Scope;
use domain::{
    Command, DeploymentId, Epoch, Health, Incarnation, Liveness, Millis, NodeId, ProviderName, Reply,
    RequestId, View, key, model, node, provider,
};
use http::{Method, StatusCode};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

pub(super) use super::fakes::*;
use crate::{Config, Contacts, Deps, Gateway};

pub(super) const ME: NodeId = NodeId(1);
pub(super) const OTHER: NodeId = NodeId(2);
pub(super) const NOW: Millis = 1_700_000_000_000;

/// A key's text with every scope named.
pub(super) fn key_text(scope: Scope) -> String {
    format!("sk-llmhub-{}", scope.as_str().repeat(20))
}

/// A gateway and its fakes. Node 1 is this one, node 2 another; the model `api` is offered by providers `a` and `b`.
pub(super) struct Bed {
    pub(super) gateway: Gateway,
    pub(super) view: ViewCell,
    pub(super) targets: Arc<Targets>,
    pub(super) log: Arc<Log>,
    pub(super) doors: Arc<Open>,
    pub(super) contacts: Arc<Heard>,
    pub(super) limiter: limiter::Handle,
}

/// When a majority answered last.
pub(super) struct Heard(Mutex<Contact>);

impl Heard {
    pub(super) fn set(&self, age_ms: Millis, ever: bool) {
        *self.0.lock().unwrap() = Contact { age_ms, ever };
    }
}

impl Contacts for Heard {
    fn contact(&self) -> Contact {
        *self.0.lock().unwrap()
    }
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
            now: AtomicU64::new(NOW),
            failures: Mutex::default(),
            barriers: AtomicU64::new(0),
        });
        let (targets, doors, rest) =
            (Arc::new(Targets::default()), Arc::new(Open::default()), Arc::new(Rest(AtomicU64::new(1))));
        let contacts = Arc::new(Heard(Mutex::new(Contact { age_ms: 500, ever: true })));
        let limiter = limiter::Handle::new(ME, Incarnation(1), view.clone(), Monotonic::start());
        let deps = Deps {
            view: view.clone(),
            proposer: log.clone(),
            limiter: limiter.clone(),
            directory: doors.clone(),
            http: targets.clone(),
            relay: targets.clone(),
            vault: rest.clone(),
            peers: rest.clone(),
            clock: rest.clone(),
            entropy: rest.clone(),
            tokens: rest,
            contacts: contacts.clone(),
            me: ME,
            version: domain::level::stamp("0.0.0", domain::command::VERSION),
            cluster: "blue".to_owned(),
        };
        let gateway = Gateway::new(config, deps);
        let bed = Self { gateway, view, targets, log, doors, contacts, limiter };
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
            policy: Default::default(),
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
        version: domain::level::stamp("0.0.0", domain::command::VERSION),
        joined_at: 0,
        cordon: None,
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
