//! A node in its world, and what tests do to it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actors::{Config, Directory, Ports, Settings, Tree};
use domain::deployment::{self, Deployment, Phase, Resources, Spec};
use domain::model::{self, Model};
use domain::node::{self, Capacity, Node, Standing};
use domain::{Command, DeploymentId, Incarnation, ModelId, NodeId, Reply};

use crate::cluster::{Cluster, ME};
use crate::engines::{Machine, Port};

pub(crate) const LIFE: Incarnation = Incarnation(77);
pub(crate) const FILE: &str = "/models/tiny.gguf";

pub(crate) struct World {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) tree: Tree,
}

impl World {
    /// A node that is in the cluster and follows.
    pub(crate) async fn start() -> World {
        Self::start_with(Settings::default()).await
    }

    pub(crate) async fn start_with(settings: Settings) -> World {
        Self::start_on(Arc::new(Machine::default()), settings).await
    }

    pub(crate) async fn start_on(machine: Arc<Machine>, settings: Settings) -> World {
        let cluster = Cluster::new();
        machine.put_file(FILE, b"GGUF\x03\0\0\0 and more");
        let port = Arc::new(Port(machine.clone()));
        let ports = Ports {
            view: cluster.view.clone(),
            proposer: cluster.clone(),
            peers: cluster.clone(),
            electorate: cluster.clone(),
            custodian: cluster.clone(),
            vault: cluster.clone(),
            http: port.clone(),
            processes: port.clone(),
            gpus: port,
            clock: cluster.clone(),
            entropy: cluster.clone(),
        };
        join(&cluster, ME);
        let tree = Tree::start(Config { me: ME, incarnation: LIFE, settings }, ports).await.unwrap();
        cluster.inner.lock().unwrap().services = tree.services();
        World { cluster, machine, tree }
    }

    pub(crate) fn directory(&self) -> Arc<Directory> {
        self.tree.directory()
    }

    /// Creates a deployment of a file.
    pub(crate) fn deploy(&self, engine: &str, path: &str) -> DeploymentId {
        let model = Model {
            id: ModelId::from("tiny"),
            name: "tiny".to_owned(),
            description: String::new(),
            path: Some(path.to_owned()),
            created_at: 0,
        };
        self.cluster.apply(Command::Model(model::Command::Put(model))).unwrap();
        let spec = Spec {
            name: "tiny".to_owned(),
            model: ModelId::from("tiny"),
            engine: engine.to_owned(),
            replicas: 1,
            resources: Resources::default(),
            env: BTreeMap::new(),
            args: Vec::new(),
            policy: Default::default(),
        };
        self.create(spec)
    }

    pub(crate) fn create(&self, spec: Spec) -> DeploymentId {
        match self.apply(deployment::Command::Create(spec)) {
            Reply::Deployment(id) => id,
            other => panic!("{other:?}"),
        }
    }

    /// Gives replica 0 to a node; answers its epoch.
    pub(crate) fn assign(&self, id: DeploymentId, node: NodeId) -> u64 {
        let was = self.row(id).replica(0).map(|r| r.epoch);
        match self.apply(deployment::Command::Assign { id, ordinal: 0, was, node, gpus: Vec::new() }) {
            Reply::Epoch(epoch) => epoch,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn apply(&self, command: deployment::Command) -> Reply {
        self.cluster.apply(Command::Deployment(command)).unwrap()
    }

    pub(crate) fn row(&self, id: DeploymentId) -> Arc<Deployment> {
        self.cluster.view.load().state.deployments.get(&id).cloned().unwrap()
    }

    /// The phase that the tables show for replica 0.
    pub(crate) fn phase(&self, id: DeploymentId) -> Option<Phase> {
        self.row(id).replica(0).map(|r| r.phase.clone())
    }

    pub(crate) async fn until_ready(&self, id: DeploymentId) {
        until("the replica is ready", || self.phase(id) == Some(Phase::Ready)).await;
    }

    /// Waits until the replica is given up, and tells why.
    pub(crate) async fn until_failed(&self, id: DeploymentId) -> String {
        until("the replica failed", || matches!(self.phase(id), Some(Phase::Failed { .. }))).await;
        match self.phase(id) {
            Some(Phase::Failed { reason }) => reason,
            other => panic!("{other:?}"),
        }
    }
}

/// Lets a node into the cluster.
pub(crate) fn join(cluster: &Cluster, id: NodeId) {
    let row = Node {
        id,
        name: format!("n{}", id.0),
        zone: format!("az{}", id.0),
        cluster_addr: format!("10.0.0.{}:7602", id.0),
        http_addr: String::new(),
        seal_public: vec![0; 32],
        cert_fingerprint: Vec::new(),
        incarnation: LIFE,
        capacity: Capacity {
            cpus: 4,
            memory_mib: 4_096,
            gpus: Vec::new(),
            engines: Settings::default().engine_names(),
        },
        standing: Standing::Active,
        since: 0,
        version: domain::level::stamp("0.0.0", domain::command::VERSION),
        joined_at: 0,
        cordon: None,
    };
    cluster.apply(Command::Node(node::Command::Join(row))).unwrap();
}

/// Waits until something is so, but not longer than five simulated minutes.
pub(crate) async fn until(what: &str, mut so: impl FnMut() -> bool) {
    let waiting = async {
        while !so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(300), waiting).await;
    assert!(waited.is_ok(), "it never came to be that {what}");
}
