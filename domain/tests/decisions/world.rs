//! A small cluster to decide about, built by commands alone.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::decide::placement::{HANDOVER_MS, Problem, solve};
use domain::deployment::{Phase, Resources, Spec};
use domain::node::{Capacity, Gpu, Node, Standing};
use domain::{
    Changes, Command, DeploymentId, Envelope, Health, Incarnation, Liveness, ModelId, NodeId, Outcome, Reply,
    RequestId, State, View, deployment, model, node,
};

pub(crate) struct World {
    pub(crate) state: State,
    pub(crate) rows: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(crate) index: u64,
    pub(crate) now: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { state: State::default(), rows: BTreeMap::new(), index: 0, now: 1_000 }
    }

    /// Nodes 1.. with these zones and numbers of GPUs.
    pub(crate) fn with_nodes(nodes: &[(&str, u32)]) -> Self {
        let mut world = Self::new();
        for (i, (zone, gpus)) in nodes.iter().enumerate() {
            let id = i as u64 + 1;
            world.apply(Command::Node(node::Command::Join(a_node(id, zone, *gpus)))).unwrap();
        }
        let model = model::Model {
            id: ModelId::from("m"),
            name: "m".into(),
            description: String::new(),
            path: None,
            created_at: 0,
        };
        world.apply(Command::Model(model::Command::Put(model))).unwrap();
        world
    }

    pub(crate) fn apply(&mut self, command: Command) -> Outcome {
        self.apply_as(RequestId(u128::from(self.index) + 1), command)
    }

    pub(crate) fn apply_as(&mut self, id: RequestId, command: Command) -> Outcome {
        self.index += 1;
        let mut changes = Changes::new();
        let envelope = Envelope { at: self.now, ..Envelope::new(id, command) };
        let outcome = self.state.apply(self.index, &envelope, &mut changes);
        for change in changes {
            match change.value {
                Some(value) => self.rows.insert(change.key.to_vec(), value.to_vec()),
                None => self.rows.remove(&change.key.to_vec()),
            };
        }
        outcome
    }

    pub(crate) fn deploy(&mut self, spec: Spec) -> DeploymentId {
        match self.apply(Command::Deployment(deployment::Command::create(spec))) {
            Ok(Reply::Deployment(id)) => id,
            other => panic!("{other:?}"),
        }
    }

    /// A view in which every node is alive.
    pub(crate) fn view(&self) -> View {
        let alive = self.state.nodes.rows().map(|n| (n.id, (Health::Alive, n.incarnation))).collect();
        View {
            me: NodeId(1),
            state: self.state.clone(),
            applied: self.index,
            liveness: Arc::new(Liveness { nodes: alive }),
            ..View::default()
        }
    }

    /// One round of placement, applied; says how many moves it made.
    pub(crate) fn place(&mut self) -> usize {
        let moves = solve(&Problem::of(&self.view(), self.now));
        let count = moves.len();
        for (step, _) in moves {
            self.apply(Command::Deployment(step)).unwrap();
        }
        count
    }

    /// Every replica, and every successor of one, is in this phase.
    pub(crate) fn report_all(&mut self, phase: Phase) {
        let epochs = |r: &deployment::Replica| {
            let next = r.successor.as_ref().map(|next| next.epoch);
            [Some(r.epoch), next].into_iter().flatten().map(|epoch| (r.ordinal, epoch)).collect::<Vec<_>>()
        };
        let all: Vec<_> = self
            .state
            .deployments
            .rows()
            .flat_map(|d| d.replicas.iter().flat_map(epochs).map(|(o, e)| (d.id, o, e)).collect::<Vec<_>>())
            .collect();
        for (id, ordinal, epoch) in all {
            let phase = phase.clone();
            self.apply(Command::Deployment(deployment::Command::Report { id, ordinal, epoch, phase }))
                .unwrap();
        }
    }

    /// Rounds until nothing is left to do; whatever is started answers at once. Says how many moves it took.
    pub(crate) fn settle(&mut self) -> usize {
        let mut moves = 0;
        for _ in 0..1_000 {
            self.report_all(Phase::Ready);
            self.now += HANDOVER_MS;
            let made = self.place();
            if made == 0 {
                return moves;
            }
            moves += made;
        }
        panic!("it never settles: {:?}", solve(&Problem::of(&self.view(), self.now)));
    }

    pub(crate) fn cordon(&mut self, id: u64, drain: bool) {
        self.apply(Command::Node(node::Command::Cordon { id: NodeId(id), drain })).unwrap();
    }

    pub(crate) fn uncordon(&mut self, id: u64) {
        self.apply(Command::Node(node::Command::Uncordon { id: NodeId(id) })).unwrap();
    }

    pub(crate) fn hosts(&self, id: DeploymentId) -> Vec<u64> {
        self.state.deployments.get(&id).unwrap().replicas.iter().map(|r| r.node.0).collect()
    }

    /// A node starts again.
    pub(crate) fn register(&mut self, id: NodeId, incarnation: Incarnation) {
        let row = (**self.state.nodes.get(&id).unwrap()).clone();
        self.apply(Command::Node(node::Command::Register {
            id,
            incarnation,
            zone: row.zone,
            cluster_addr: row.cluster_addr,
            http_addr: row.http_addr,
            capacity: row.capacity,
            version: row.version,
        }))
        .unwrap();
    }

    pub(crate) fn lose(&mut self, id: u64) {
        let incarnation = Incarnation(1);
        self.apply(Command::Node(node::Command::Lose { id: NodeId(id), incarnation })).unwrap();
    }
}

pub(crate) fn a_node(id: u64, zone: &str, gpus: u32) -> Node {
    let gpu = |index| Gpu { index, name: "H200".into(), memory_mib: 1024 * u64::from(index + 1) };
    Node {
        id: NodeId(id),
        name: format!("node{id}"),
        zone: zone.into(),
        cluster_addr: format!("10.0.0.{id}:7602"),
        http_addr: format!("10.0.0.{id}:6602"),
        seal_public: vec![0; 32],
        cert_fingerprint: vec![0; 32],
        incarnation: Incarnation(1),
        capacity: Capacity {
            cpus: 8,
            memory_mib: 16_384,
            gpus: (0..gpus).map(gpu).collect(),
            engines: vec!["mock".into()],
        },
        standing: Standing::Active,
        since: 0,
        version: domain::level::stamp("0", domain::command::VERSION),
        joined_at: 0,
        cordon: None,
    }
}

pub(crate) fn a_spec(name: &str, replicas: u32) -> Spec {
    Spec {
        name: name.into(),
        model: ModelId::from("m"),
        engine: "mock".into(),
        replicas,
        resources: Resources::default(),
        env: BTreeMap::new(),
        args: Vec::new(),
        policy: Default::default(),
    }
}
