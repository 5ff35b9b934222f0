//! The doorway: messages between nodes' actors over `ractor_cluster`, in the one form that holds: each node has a single
//! remotable actor, the doorway, which takes envelopes of bytes and spawns the work; sessions run over our own streams and
//! are watched by our own heartbeat. Actors use it as [`PeerLink`]. It knows nothing of what is in a message.

mod asks;
mod dialer;
mod doorway;
mod envelope;
mod hello;
mod host;
mod session;
mod sessions;
mod stream;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use actors::ports::{Entropy, PeerError, PeerLink};
use async_trait::async_trait;
use bytes::Bytes;
use domain::NodeId;
use futures::future::BoxFuture;
use ractor::{Actor, ActorRef, SpawnErr};
use ractor_cluster::NodeServerMessage;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::streams::{PeerStream, Streams, lock};
use doorway::{DoorMessage, Doorway};
use host::Host;
use sessions::Sessions;

/// The largest frame on a session, in bytes; larger things go elsewhere.
pub const FRAME_BYTES_MAX: usize = 1 << 20;
/// The largest body of a message or an answer, in bytes: a frame less its envelope.
pub const BODY_BYTES_MAX: usize = FRAME_BYTES_MAX - (4 << 10);
/// Messages under way to one peer.
pub const CALLS_PER_PEER_MAX: usize = 256;
/// Bytes under way to one peer.
pub const BYTES_PER_PEER_MAX: usize = 8 << 20;
/// Messages handled at the same time on this node.
pub const HANDLERS_MAX: usize = 512;
/// How often a session is asked whether it lives, and how long it may take to say so.
pub const HEARTBEAT: Duration = Duration::from_millis(500);
/// Heartbeats missed in a row before a session is given up.
pub const MISSES_MAX: u32 = 3;
/// How long the two ends may take to introduce themselves.
const HELLO_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a session may take from there until it works, and an old one until it is gone.
const READY_TIMEOUT: Duration = Duration::from_secs(2);
/// Pauses between dials of a peer that does not answer: doubled from the first to the second.
const REDIAL_MIN: Duration = Duration::from_millis(200);
const REDIAL_MAX: Duration = Duration::from_secs(1);

/// Answers messages of a topic. It is dropped when the asker's deadline has passed.
pub type Handler = Arc<dyn Fn(NodeId, Bytes) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;
/// The services of a node by topic.
pub type DoorServices = BTreeMap<&'static str, Handler>;

/// A node's door to its peers. Closes when dropped.
pub struct Door(Arc<Inner>);

/// What the tasks and actors of a door share; they hold it weakly.
struct Inner {
    me: NodeId,
    streams: Arc<Streams>,
    entropy: Arc<dyn Entropy>,
    services: Mutex<DoorServices>,
    handlers: Arc<Semaphore>,
    sessions: Sessions,
    dialers: Mutex<BTreeMap<NodeId, (String, CancellationToken)>>,
    doorway: ActorRef<DoorMessage>,
    host: ActorRef<NodeServerMessage>,
}

impl Door {
    /// Opens a door on the current tokio runtime.
    pub async fn start(
        me: NodeId,
        streams: Arc<Streams>,
        entropy: Arc<dyn Entropy>,
        services: DoorServices,
    ) -> Result<Self, SpawnErr> {
        let late = Late::default();
        let (doorway, _) = Actor::spawn(None, Doorway(late.clone()), ()).await?;
        let (host, _) = Actor::spawn(None, Host { me, door: late.clone() }, ()).await?;
        let inner = Arc::new(Inner {
            me,
            streams,
            entropy,
            services: Mutex::new(services),
            handlers: Arc::new(Semaphore::new(HANDLERS_MAX)),
            sessions: Sessions::default(),
            dialers: Mutex::default(),
            doorway,
            host,
        });
        late.set(&inner);
        Ok(Self(inner))
    }

    /// Adds or replaces a service.
    pub fn register(&self, topic: &'static str, handler: Handler) {
        lock(&self.0.services).insert(topic, handler);
    }

    /// Who the other members are and where: dials those with a higher id, waits for those with a lower one, and drops
    /// whoever is not among them.
    pub fn set_peers(&self, peers: BTreeMap<NodeId, String>) {
        self.0.set_peers(peers);
    }

    /// Takes the streams of [`crate::Protocol::Door`] until there are no more.
    pub async fn serve(&self, mut arrivals: mpsc::Receiver<PeerStream>) {
        while let Some(stream) = arrivals.recv().await {
            self.accept(stream);
        }
    }

    /// Takes one stream that a peer dialled.
    pub fn accept(&self, stream: PeerStream) {
        self.0.clone().accept(stream);
    }

    /// Peers that can be asked now.
    pub fn connected(&self) -> BTreeSet<NodeId> {
        self.0.sessions.peers()
    }

    /// Ends all sessions and dials no more.
    pub fn close(&self) {
        lock(&self.0.dialers).values().for_each(|(_, stop)| stop.cancel());
        lock(&self.0.dialers).clear();
        self.0.sessions.close_all();
        self.0.doorway.stop(None);
        self.0.host.stop(None);
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        self.close();
    }
}

#[async_trait]
impl PeerLink for Door {
    async fn ask(
        &self,
        to: NodeId,
        topic: &'static str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, PeerError> {
        self.0.ask(to, topic, body, deadline).await
    }
}

/// The door as its actors see it: they exist before it does and must not keep it alive.
#[derive(Clone, Default)]
struct Late(Arc<Mutex<Weak<Inner>>>);

impl Late {
    fn set(&self, inner: &Arc<Inner>) {
        *lock(&self.0) = Arc::downgrade(inner);
    }
    fn get(&self) -> Option<Arc<Inner>> {
        lock(&self.0).upgrade()
    }
}
