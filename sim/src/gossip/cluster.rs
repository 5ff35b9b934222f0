//! Many nodes that do nothing but gossip, and what each of them believes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::ports::Entropy;
use domain::{Health, Incarnation, Liveness, NodeId};
use tokio::time::Instant;
use wire::gossip::{Gossip, GossipConfig, GossipHandle, KEY_LEN, KeyRing};

use super::Plan;
use super::air::{Air, Sent};
use crate::Dice;
use crate::world::lock;

/// The pause between two looks at what the nodes believe.
const LOOK: Duration = Duration::from_millis(5);

/// What nodes believed of live ones that was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Heard {
    /// How often a node began to suspect another.
    pub(super) suspicions: u64,
    /// How often a node gave another up.
    pub(super) given_up: u64,
}

/// How soon each of the others knew of a death: that the node is not to be routed to.
pub(super) struct Known(pub(super) Vec<Duration>);

/// What all nodes believe, and what was wrong of it.
#[derive(Default)]
struct Beliefs {
    of: BTreeMap<NodeId, Liveness>,
    /// Who is dead, since when; and when each other node knew.
    dead: Option<(NodeId, Instant, BTreeMap<NodeId, Duration>)>,
    heard: Heard,
}

impl Beliefs {
    fn hear(&mut self, listener: NodeId, now: Liveness) {
        let before = self.of.get(&listener);
        for (node, (health, _)) in &now.nodes {
            let was = before.map_or(Health::Alive, |before| before.of(*node));
            if *health == Health::Alive || *health == was {
                continue;
            }
            match &mut self.dead {
                Some((dead, since, known)) if dead == node => {
                    known.entry(listener).or_insert_with(|| since.elapsed());
                }
                _ if *health == Health::Suspect => self.heard.suspicions += 1,
                // A node that was never heard of as alive is none that is given up.
                _ if before.is_some_and(|before| before.nodes.contains_key(node)) => self.heard.given_up += 1,
                _ => {}
            }
        }
        self.of.insert(listener, now);
    }
}

struct Chance(Mutex<Dice>);

impl Entropy for Chance {
    fn fill(&self, bytes: &mut [u8]) {
        lock(&self.0).fill(bytes);
    }
}

/// The nodes.
pub(super) struct Cluster {
    plan: Plan,
    air: Air,
    beliefs: Arc<Mutex<Beliefs>>,
    /// Those that run, by number.
    running: BTreeMap<usize, GossipHandle>,
    lives: u64,
}

fn addr(node: usize) -> String {
    format!("n{node}:7602")
}

fn id(node: usize) -> NodeId {
    NodeId(node as u64 + 1)
}

impl Cluster {
    pub(super) fn start(plan: Plan) -> Self {
        let air = Air::new(Dice::of(plan.seed, "air"), plan.lost_permille);
        let mut cluster = Self { plan, air, beliefs: Arc::default(), running: BTreeMap::new(), lives: 0 };
        (0..plan.nodes).for_each(|node| cluster.restart(node));
        cluster
    }

    /// Starts a node's next life.
    pub(super) fn restart(&mut self, node: usize) {
        self.lives += 1;
        lock(&self.beliefs).dead = None;
        let config = GossipConfig {
            node: id(node),
            incarnation: Incarnation(self.lives),
            addr: addr(node),
            seeds: (0..self.plan.nodes).map(addr).collect(),
        };
        let entropy = Arc::new(Chance(Mutex::new(Dice::of(self.plan.seed, &format!("life {}", self.lives)))));
        let Ok(keys) = KeyRing::new(1, BTreeMap::from([(1, [7; KEY_LEN])])) else { return };
        let (beliefs, listener) = (self.beliefs.clone(), id(node));
        let on_change = Arc::new(move |now: Liveness| lock(&beliefs).hear(listener, now));
        let socket = Arc::new(self.air.socket(&addr(node)));
        let handle = Gossip::start(config, socket, entropy, keys, on_change);
        self.running.insert(node, handle);
    }

    /// Ends a node without a word, and waits until all others know.
    pub(super) async fn kill(&mut self, node: usize, limit: Duration) -> Option<Known> {
        if let Some(handle) = self.running.remove(&node) {
            handle.shutdown();
        }
        self.air.close(&addr(node));
        {
            let mut beliefs = lock(&self.beliefs);
            beliefs.of.remove(&id(node));
            beliefs.dead = Some((id(node), Instant::now(), BTreeMap::new()));
        }
        let others = self.running.len();
        let known = || lock(&self.beliefs).dead.as_ref().map(|(.., known)| known.clone());
        until(limit, || {
            known().filter(|known| known.len() >= others).map(|k| Known(k.into_values().collect()))
        })
        .await
    }

    /// Waits until every node takes every other one for alive, in its present life.
    pub(super) async fn until_all_alive(&self, limit: Duration) -> Option<()> {
        let all_alive = |beliefs: &Beliefs| {
            beliefs.of.len() == self.plan.nodes
                && beliefs.of.values().all(|one| {
                    one.nodes.len() == self.plan.nodes
                        && one.nodes.values().all(|(health, _)| *health == Health::Alive)
                        && one.nodes.values().map(|(_, life)| life.0).max() == Some(self.lives)
                })
        };
        until(limit, || all_alive(&lock(&self.beliefs)).then_some(())).await
    }

    pub(super) fn sent(&self) -> Sent {
        self.air.sent()
    }

    pub(super) fn heard(&self) -> Heard {
        lock(&self.beliefs).heard
    }
}

/// Looks until something is there, or the time is over.
async fn until<T>(limit: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let found = look();
        if found.is_some() || Instant::now() > end {
            return found;
        }
        tokio::time::sleep(LOOK).await;
    }
}
