//! The simulated world: for every node a host with a network, a disk, files, a clock, chance, processes and GPUs. What
//! survives a crash lives in a [`Host`]; what does not is made anew for each life by [`boot`]. Nothing here decides what
//! a node does, and no production logic is repeated.

pub(crate) mod boot;
mod clock;
mod datagrams;
mod engine;
mod files;
mod gpus;
mod handshake;
mod network;
mod processes;
mod upstream;

use std::io;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use consensus::mem::{Image, Platter};
use domain::{NodeId, View};
use runtime::NodeHandle;
use turmoil::net::TcpStream;

use crate::scenario::{Scenario, Weather};
pub(crate) use engine::{Engines, Running};
pub(crate) use files::SimFiles;
pub(crate) use gpus::Cards;
pub(crate) use upstream::{PROVIDER, PROVIDER_KEY, PROVIDER_PORT, Upstream};

/// The port on which nodes talk to each other.
pub(crate) const CLUSTER_PORT: u16 = 7602;
/// The port on which clients talk to nodes.
pub(crate) const HTTP_PORT: u16 = 6602;
/// Where the model files lie on every node.
pub(crate) const MODEL_FOLDER: &str = "/models";
/// The wall clock when the world begins, in milliseconds since the Unix epoch.
pub(crate) const EPOCH_MS: u64 = 1_700_000_000_000;
/// How long a durable write takes on a healthy disk.
pub(crate) const DISK_LATENCY: Duration = Duration::from_micros(500);

/// How long it takes to be refused.
const REFUSAL: Duration = Duration::from_millis(2);
/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// What every host of a world shares.
pub(crate) struct World {
    /// The seed everything follows from.
    pub seed: u64,
    /// How messages travel.
    pub weather: Weather,
    /// The hosts that run nodes, and those that could.
    pub hosts: Vec<Arc<Host>>,
    /// The provider outside.
    pub upstream: Arc<Upstream>,
    /// After how many log entries nodes make a snapshot; `None` for their default.
    pub snapshot_every: Option<u64>,
    /// Whether every host has every model file.
    pub files_everywhere: bool,
    /// The first admin key, once there is a cluster.
    pub admin_key: Mutex<Option<String>>,
    /// The newest join token, once somebody made one.
    pub token: Mutex<Option<String>>,
}

impl World {
    /// An empty world for a scenario.
    pub(crate) fn new(seed: u64, scenario: &Scenario) -> Arc<Self> {
        let mut dice = crate::Dice::of(seed, "hosts");
        let hosts = (0..scenario.nodes + scenario.spares).map(|number| {
            let most = scenario.weather.skew_ms_max;
            let skew = dice.between(0, 2 * most + 1) as i64 - most as i64;
            let gpus = scenario.gpus.get(number).copied().unwrap_or(0);
            let host = Host::new(number, scenario.zone_of(number), skew, Cards::new(gpus));
            if number >= scenario.nodes {
                host.stand(Place::Spare);
                host.set_power(Power::NoNode);
            }
            Arc::new(host)
        });
        Arc::new(Self {
            seed,
            weather: scenario.weather,
            hosts: hosts.collect(),
            upstream: Arc::default(),
            snapshot_every: scenario.snapshot_every,
            files_everywhere: scenario.files_everywhere(),
            admin_key: Mutex::default(),
            token: Mutex::default(),
        })
    }

    /// The hosts whose nodes belong to the cluster.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Arc<Host>> {
        self.hosts.iter().filter(|host| host.place() == Place::Member)
    }

    /// The view of the running node that has applied most.
    pub(crate) fn furthest(&self) -> Option<Arc<View>> {
        let views = self.hosts.iter().filter_map(|host| Some(host.node()?.view().load()));
        views.max_by_key(|view| view.applied)
    }

    /// A connection to a port of a host, from the host this runs on. A dead node's machine refuses, as a kernel does.
    pub(crate) async fn connect(&self, host: &str, port: u16) -> io::Result<TcpStream> {
        let host = if host == "localhost" { "127.0.0.1" } else { host };
        let dead = self.hosts.iter().any(|other| other.name == host && other.power() == Power::NoNode);
        if dead || (host == PROVIDER && !self.upstream.listens()) {
            tokio::time::sleep(REFUSAL).await;
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let late = || io::Error::new(io::ErrorKind::TimedOut, format!("{host}:{port} does not answer"));
        let dial = TcpStream::connect((host, port));
        tokio::time::timeout(CONNECT_TIMEOUT, dial).await.map_err(|_| late())?
    }
}

/// Whether something runs on a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Power {
    /// Its node runs.
    Up,
    /// Its node is dead; the machine refuses connections.
    NoNode,
    /// The machine is dead; nobody answers.
    Off,
}

/// Whether a host's node belongs to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// It does, or is on its way in.
    Member,
    /// There never was one.
    Spare,
    /// It was removed.
    Gone,
}

/// Why a node ended.
#[derive(Debug, Clone)]
pub(crate) struct Ended {
    /// In its own words.
    pub why: String,
    /// Whether its cluster removed it: then nobody starts it again.
    pub removed: bool,
}

/// A machine: what of it survives the death of the node that runs on it.
pub(crate) struct Host {
    /// Its number, from 0.
    pub number: usize,
    /// Its name, of the node too.
    pub name: String,
    /// Its zone's name.
    pub zone: String,
    /// Its metadata disk.
    pub platter: Platter,
    /// Its small files.
    pub files: Arc<SimFiles>,
    /// Its GPUs.
    pub gpus: Cards,
    /// A copy of its disk and files, once one was made.
    pub copy: Mutex<Option<(Image, SimFiles)>>,
    /// Its running engines.
    pub engines: Arc<Engines>,
    /// How far its wall clock is off, in milliseconds.
    pub skew_ms: Arc<AtomicI64>,
    /// How often a node was started on it.
    pub lives: AtomicU64,
    /// The join token that whoever starts its node passes.
    pub token: Mutex<Option<String>>,
    /// Whether anything runs on it, and if not, whether the machine still answers.
    power: AtomicU8,
    place: AtomicU8,
    /// Set when the node is to stop gracefully; it clears it when it has.
    pub stop: AtomicBool,
    /// Why its node ended by itself or did not start, until the driver has seen it.
    pub ended: Mutex<Option<Ended>>,
    node: Mutex<Weak<NodeHandle>>,
    /// The id of the last node that ran on what its disk holds.
    id: Mutex<Option<NodeId>>,
}

impl Host {
    fn new(number: usize, zone: usize, skew_ms: i64, gpus: Cards) -> Self {
        let platter = Platter::new();
        platter.set_latency(DISK_LATENCY);
        Self {
            number,
            name: format!("n{}", number + 1),
            zone: format!("az{}", zone + 1),
            platter,
            files: Arc::default(),
            engines: Arc::new(Engines::new(gpus.clone())),
            gpus,
            copy: Mutex::default(),
            skew_ms: Arc::new(AtomicI64::new(skew_ms)),
            lives: AtomicU64::new(0),
            token: Mutex::default(),
            power: AtomicU8::new(Power::Up as u8),
            place: AtomicU8::new(Place::Member as u8),
            stop: AtomicBool::new(false),
            ended: Mutex::default(),
            node: Mutex::default(),
            id: Mutex::default(),
        }
    }

    /// Whether its node belongs to the cluster.
    pub(crate) fn place(&self) -> Place {
        [Place::Member, Place::Spare]
            .into_iter()
            .find(|p| self.place.load(Ordering::Relaxed) == *p as u8)
            .unwrap_or(Place::Gone)
    }

    /// Its node belongs to the cluster from now on, or does not.
    pub(crate) fn stand(&self, place: Place) {
        self.place.store(place as u8, Ordering::Relaxed);
    }

    /// The id of the last node that ran on what its disk holds.
    pub(crate) fn id(&self) -> Option<NodeId> {
        *lock(&self.id)
    }

    /// The node that runs on it, while it does. To be let go of at once, so that it dies with its host.
    pub(crate) fn node(&self) -> Option<Arc<NodeHandle>> {
        lock(&self.node).upgrade()
    }

    /// Whether something runs on it.
    pub(crate) fn power(&self) -> Power {
        [Power::Up, Power::NoNode]
            .into_iter()
            .find(|p| self.power.load(Ordering::Relaxed) == *p as u8)
            .unwrap_or(Power::Off)
    }

    /// Something begins or ceases to run on it.
    pub(crate) fn set_power(&self, power: Power) {
        self.power.store(power as u8, Ordering::Relaxed);
    }

    fn seat(&self, node: &Arc<NodeHandle>) {
        *lock(&self.node) = Arc::downgrade(node);
        *lock(&self.id) = Some(node.id());
    }

    /// Its disk and files are replaced by empty ones.
    pub(crate) fn wipe(&self) {
        self.platter.wipe();
        self.files.wipe();
        *lock(&self.id) = None;
        *lock(&self.token) = None;
    }

    /// Copies its disk and files, as somebody might who knows no better.
    pub(crate) fn keep_copy(&self) {
        *lock(&self.copy) = Some((self.platter.copy(), self.files.copy()));
    }

    /// Its disk and files are what they were when they were copied.
    pub(crate) fn put_copy_back(&self) {
        if let Some((image, files)) = &*lock(&self.copy) {
            self.platter.put_back(image);
            self.files.put_back(files);
        }
    }

    /// Where the others reach its node.
    pub(crate) fn cluster_addr(&self) -> String {
        format!("{}:{CLUSTER_PORT}", self.name)
    }

    /// The next life's number, from 1.
    fn next_life(&self) -> u64 {
        self.lives.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// Everything here runs on one thread: a poisoned lock only says that the run failed already.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
