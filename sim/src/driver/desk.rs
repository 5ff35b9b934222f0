//! The clients' host: makes the token, deploys, says when all is ready, runs the load, and in the end waits until all is
//! well and reads everything. It knows the cluster over HTTP only.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use wire::net::BoxIo;

use super::orders::Orders;
use crate::Dice;
use crate::history::History;
use crate::scenario::{REMOTE_MODEL, Scenario};
use crate::workload::operator::{self, Held};
use crate::workload::{Clients, Outside};
use crate::world::{HTTP_PORT, MODEL_FOLDER, PROVIDER, PROVIDER_KEY, PROVIDER_PORT, World, boot, lock};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(200);

/// What the driver and the clients' host tell each other.
pub(super) struct Desk {
    pub(super) world: Arc<World>,
    pub(super) scenario: Scenario,
    pub(super) history: Arc<History>,
    /// The clients, once there is a key.
    pub(super) clients: Mutex<Option<Clients>>,
    /// Set when nodes and deployments are ready and the load begins.
    pub(super) ready: AtomicBool,
    /// Set when the clients have finished and only recovery is awaited.
    pub(super) finish: AtomicBool,
    /// What is not well yet, as the nodes tell; `None` before the first look.
    pub(super) pending: Mutex<Option<Vec<String>>>,
    /// What an operator is to do.
    pub(super) orders: Arc<Orders>,
    /// What the cluster holds in the end.
    pub(super) held: Mutex<Option<Held>>,
}

impl Desk {
    pub(super) fn new(world: Arc<World>, scenario: Scenario) -> Arc<Self> {
        Arc::new(Self {
            world,
            scenario,
            history: Arc::default(),
            clients: Mutex::default(),
            ready: AtomicBool::new(false),
            finish: AtomicBool::new(false),
            pending: Mutex::default(),
            orders: Arc::default(),
            held: Mutex::default(),
        })
    }

    /// What the clients' host runs.
    pub(super) async fn run(self: Arc<Self>) -> turmoil::Result {
        let key = self.admin_key().await;
        let outside = Arc::new(SimOutside {
            world: self.world.clone(),
            dice: Mutex::new(Dice::of(self.world.seed, "clients")),
        });
        let clients = Clients::new(outside, &key, self.history.clone());
        *lock(&self.clients) = Some(clients.clone());
        let token = operator::make_token(&clients, || 0).await;
        *lock(&self.world.token) = Some(token);
        self.until_well(&clients).await;
        if self.scenario.knows_provider() {
            let url = format!("http://{PROVIDER}:{PROVIDER_PORT}/v1");
            operator::add_provider(&clients, PROVIDER, &url, PROVIDER_KEY, REMOTE_MODEL).await;
        }
        for (name, replicas) in &self.scenario.deployments {
            let model = format!("{MODEL_FOLDER}/{name}.gguf");
            let gpus = u32::from(self.scenario.on_gpus.contains(name));
            let body = json!({
                "modelId": model, "cluster": "default", "name": name, "engine": boot::ENGINE, "replicas": replicas,
                "resources": { "gpu": gpus, "memoryMib": boot::ENGINE_MIB },
            });
            operator::deploy(&clients, &body).await;
        }
        self.until_well(&clients).await;
        self.ready.store(true, Ordering::Relaxed);
        clients.start(&self.scenario.load);
        while !self.finish.load(Ordering::Relaxed) {
            self.orders.carry_out(&clients, &self.world);
            tokio::time::sleep(LOOK).await;
        }
        self.until_well(&clients).await;
        loop {
            if let Some(held) = operator::read_all(&clients, clients.any_node()).await {
                *lock(&self.held) = Some(held);
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn admin_key(&self) -> String {
        loop {
            if let Some(key) = lock(&self.world.admin_key).clone() {
                return key;
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn until_well(&self, clients: &Clients) {
        loop {
            let mut pending = Vec::new();
            let members: Vec<usize> = self.world.members().map(|host| host.number).collect();
            for node in &members {
                pending.extend(operator::pending(clients, *node, members.len()).await);
            }
            let well = pending.is_empty();
            *lock(&self.pending) = Some(pending);
            if well {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The clients' place in the world.
struct SimOutside {
    world: Arc<World>,
    dice: Mutex<Dice>,
}

#[async_trait]
impl Outside for SimOutside {
    fn now(&self) -> Duration {
        turmoil::sim_elapsed().unwrap_or_default()
    }
    fn draw(&self) -> u64 {
        lock(&self.dice).draw()
    }
    fn nodes(&self) -> usize {
        self.world.hosts.len()
    }
    fn any_node(&self) -> usize {
        let members: Vec<usize> = self.world.members().map(|host| host.number).collect();
        members[(self.draw() % members.len().max(1) as u64) as usize]
    }
    async fn dial(&self, node: usize) -> io::Result<BoxIo> {
        let host = self.world.hosts.get(node).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(self.world.connect(&host.name, HTTP_PORT).await?))
    }
}
