//! A cluster in one process: nodes over disks in memory and a network whose links can be cut, on tokio's paused clock.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use consensus::mem::{Crash, Platter};
use consensus::{Config, Consensus, Error, Kind, Link, LinkError, Peer, Published};
use domain::command::VERSION;
use domain::{Command, Envelope, NodeId, Reply, RequestId, key, level};
use futures::StreamExt;
use futures::stream::BoxStream;
use tokio::time::{Instant, sleep, timeout};

/// No test waits longer than this, in simulated time.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The wires.
#[derive(Default)]
pub(crate) struct Net {
    up: BTreeMap<NodeId, Consensus>,
    /// Where those listen that listen elsewhere than at first.
    pub(crate) moved: BTreeMap<NodeId, String>,
    cut: BTreeSet<(NodeId, NodeId)>,
    /// Answers that are lost on their way back, by who asked.
    pub(crate) deaf: BTreeSet<NodeId>,
    /// A snapshot stops after so many chunks.
    pub(crate) snapshot_chunks_max: Option<usize>,
    pub(crate) snapshots: usize,
    pub(crate) trace: Vec<String>,
    calls: u64,
}

#[derive(Clone)]
struct Wire {
    me: NodeId,
    epoch: Instant,
    net: Arc<Mutex<Net>>,
}

/// Where a node listens at first.
pub(crate) fn home(id: NodeId) -> String {
    format!("host-{}:7602", id.0)
}

impl Net {
    fn listens(&self, peer: &Peer) -> bool {
        let moved = self.moved.get(&peer.id);
        self.up.contains_key(&peer.id) && moved.map_or(peer.addr == home(peer.id), |at| *at == peer.addr)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

impl Wire {
    /// One way over the network: some milliseconds, the same ones every time.
    async fn hop(&self, to: NodeId, what: &str) -> Option<Consensus> {
        let delay = {
            let mut net = lock(&self.net);
            net.calls += 1;
            1 + net.calls * 7919 % 5
        };
        sleep(Duration::from_millis(delay)).await;
        let mut net = lock(&self.net);
        let line = format!("{:?} {}->{to} {what}", self.epoch.elapsed(), self.me);
        net.trace.push(line);
        if net.cut.contains(&(self.me, to)) { None } else { net.up.get(&to).cloned() }
    }

    async fn lost<T>(&self, deadline: Duration) -> Result<T, LinkError> {
        sleep(deadline).await;
        Err(LinkError::Unknown("time is up".to_owned()))
    }

    fn back(&self, from: NodeId) -> bool {
        let net = lock(&self.net);
        !net.cut.contains(&(from, self.me)) && !net.deaf.contains(&self.me)
    }
}

#[async_trait]
impl Link for Wire {
    async fn call(&self, to: Peer, kind: Kind, body: Bytes, deadline: Duration) -> Result<Bytes, LinkError> {
        if !lock(&self.net).listens(&to) {
            return Err(LinkError::Unreachable("connection refused".to_owned()));
        }
        let Some(target) = self.hop(to.id, kind.name()).await else { return self.lost(deadline).await };
        let answer = timeout(deadline, target.handle(self.me, kind, body)).await;
        match answer {
            Ok(_) if !self.back(to.id) => self.lost(deadline).await,
            Ok(answer) => answer.map_err(|e| LinkError::Refused(e.to_string())),
            Err(_) => Err(LinkError::Unknown("time is up".to_owned())),
        }
    }

    async fn snapshot(
        &self,
        to: Peer,
        meta: Bytes,
        chunks: BoxStream<'static, Result<Bytes, io::Error>>,
        deadline: Duration,
    ) -> Result<Bytes, LinkError> {
        if !lock(&self.net).listens(&to) {
            return Err(LinkError::Unreachable("connection refused".to_owned()));
        }
        let Some(target) = self.hop(to.id, "snapshot").await else { return self.lost(deadline).await };
        let most = {
            let mut net = lock(&self.net);
            net.snapshots += 1;
            net.snapshot_chunks_max.unwrap_or(usize::MAX)
        };
        target
            .install(self.me, meta, chunks.take(most).boxed())
            .await
            .map_err(|e| LinkError::Refused(e.to_string()))
    }
}

/// A node of the test.
pub(crate) struct Member {
    pub(crate) platter: Platter,
    pub(crate) seen: Arc<Mutex<Published>>,
}

pub(crate) struct World {
    pub(crate) net: Arc<Mutex<Net>>,
    pub(crate) members: BTreeMap<NodeId, Member>,
    pub(crate) tune: fn(&mut Config),
    seed: u64,
    starts: u64,
    epoch: Instant,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            net: Arc::default(),
            members: BTreeMap::new(),
            tune: |_| {},
            seed,
            starts: 0,
            epoch: Instant::now(),
        }
    }

    /// A cluster of voters 1 to `count`, ready.
    pub(crate) async fn with_voters(seed: u64, count: u64) -> Self {
        Self::tuned(seed, count, |_| {}).await
    }

    pub(crate) async fn tuned(seed: u64, count: u64, tune: fn(&mut Config)) -> Self {
        let world = Self::of_first_level(seed, count, tune).await;
        let raise = Command::Level(level::Command::Raise(VERSION));
        world.node(1).propose(Envelope::new(RequestId(u128::MAX), raise)).await.unwrap().unwrap();
        world
    }

    /// The same, in which nobody uses what programs of the first feature level do not know.
    pub(crate) async fn of_first_level(seed: u64, count: u64, tune: fn(&mut Config)) -> Self {
        let mut world = Self::new(seed);
        world.tune = tune;
        world.start(1).await.unwrap();
        world.node(1).initialize().await.unwrap();
        world.leader().await;
        for id in 2..=count {
            world.join(id).await;
        }
        let all: BTreeSet<NodeId> = (1..=count).map(NodeId).collect();
        world.node(1).set_voters(all.clone()).await.unwrap();
        world
            .until("all voters know themselves", |w| w.members.values().all(|m| *lock(&m.seen).voters == all))
            .await;
        world
    }

    /// Starts a node on its disk, or on a new one.
    pub(crate) async fn start(&mut self, id: u64) -> Result<Consensus, Error> {
        let id = NodeId(id);
        let member = self
            .members
            .entry(id)
            .or_insert_with(|| Member { platter: Platter::new(), seen: Arc::default() });
        self.starts += 1;
        let addr = lock(&self.net).moved.get(&id).cloned().unwrap_or_else(|| home(id));
        let mut config = Config::new(id, addr, self.seed * 1000 + self.starts);
        (self.tune)(&mut config);
        let seen = Arc::clone(&member.seen);
        let epoch = self.epoch;
        let link = Arc::new(Wire { me: id, epoch, net: Arc::clone(&self.net) });
        let node = Consensus::start(
            config,
            Arc::new(member.platter.open()),
            link,
            Arc::new(move |now| *lock(&seen) = now),
            Arc::new(move || 1_000_000 + epoch.elapsed().as_millis() as u64),
        )
        .await?;
        lock(&self.net).up.insert(id, node.clone());
        Ok(node)
    }

    /// Starts a node and lets it follow.
    pub(crate) async fn join(&mut self, id: u64) -> Consensus {
        let node = self.start(id).await.unwrap();
        let leader = self.leader().await;
        leader.add_learner(NodeId(id), home(NodeId(id))).await.unwrap();
        node
    }

    pub(crate) fn node(&self, id: u64) -> Consensus {
        lock(&self.net).up[&NodeId(id)].clone()
    }

    pub(crate) fn seen(&self, id: u64) -> Published {
        lock(&self.members[&NodeId(id)].seen).clone()
    }

    /// The power of a node goes.
    pub(crate) async fn crash(&self, id: u64, crash: Crash) {
        let node = lock(&self.net).up.remove(&NodeId(id));
        self.members[&NodeId(id)].platter.crash(crash);
        if let Some(node) = node {
            node.shutdown().await;
        }
    }

    /// The next start of a node will be elsewhere.
    pub(crate) fn move_away(&self, id: NodeId) -> String {
        let addr = format!("moved-{}:7602", id.0);
        lock(&self.net).moved.insert(id, addr.clone());
        addr
    }

    pub(crate) fn cut(&self, a: u64, b: u64) {
        lock(&self.net).cut.extend([(NodeId(a), NodeId(b)), (NodeId(b), NodeId(a))]);
    }

    pub(crate) fn isolate(&self, id: u64) {
        for other in self.members.keys().filter(|other| other.0 != id) {
            self.cut(id, other.0);
        }
    }

    pub(crate) fn heal(&self) {
        lock(&self.net).cut.clear();
    }

    /// Waits for a condition.
    pub(crate) async fn until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < PATIENCE, "still waiting: {what}; {:#?}", self.statuses());
            sleep(Duration::from_millis(10)).await;
        }
    }

    pub(crate) fn statuses(&self) -> Vec<consensus::Status> {
        lock(&self.net).up.values().map(Consensus::status).collect()
    }

    /// The leader that a majority of the running, connected nodes follows.
    pub(crate) async fn leader(&self) -> Consensus {
        let mut found = None;
        self.until("a leader", |world| {
            let net = lock(&world.net);
            found = net
                .up
                .values()
                .filter(|node| node.is_leader() && node.status().role == consensus::Role::Leader)
                .max_by_key(|node| node.status().term)
                .filter(|node| {
                    let status = node.status();
                    status.voters.len() == 1 || status.quorum_ms.is_none_or(|ms| ms < 400)
                })
                .cloned();
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    /// A running node that does not lead.
    pub(crate) async fn follower(&self) -> Consensus {
        let leader = self.leader().await.id();
        let net = lock(&self.net);
        net.up.values().find(|node| node.id() != leader).unwrap().clone()
    }

    /// Waits until every running node has the same tables, and says how many keys they hold.
    pub(crate) async fn converge(&self) -> usize {
        let leader = self.leader().await;
        let index = leader.read().await.unwrap();
        self.until("everyone has applied what the leader has", |world| {
            world.statuses().iter().all(|s| s.applied >= index)
        })
        .await;
        let running: Vec<u64> = lock(&self.net).up.keys().map(|id| id.0).collect();
        let counts: BTreeSet<usize> = running.iter().map(|id| self.seen(*id).state.keys.len()).collect();
        assert_eq!(counts.len(), 1, "nodes disagree: {counts:?}");
        counts.into_iter().next().unwrap()
    }
}

/// A command that creates the key of this number.
pub(crate) fn create(number: u64) -> Envelope {
    let mut hash = vec![0; 32];
    hash[..8].copy_from_slice(&number.to_be_bytes());
    let command = Command::Key(key::Command::Create {
        name: format!("key-{number}"),
        hash,
        prefix: "llm".to_owned(),
        scopes: vec![key::Scope::Admin],
    });
    Envelope::new(RequestId(u128::from(number) + 1), command)
}

/// Proposes and expects it to be accepted.
pub(crate) async fn put(node: &Consensus, number: u64) -> Reply {
    node.propose(create(number)).await.unwrap().unwrap()
}

/// The keys of these numbers that a node does not have.
pub(crate) fn missing(seen: &Published, numbers: impl IntoIterator<Item = u64>) -> Vec<u64> {
    let known: BTreeSet<String> = seen.state.keys.rows().map(|k| k.name.clone()).collect();
    numbers.into_iter().filter(|n| !known.contains(&format!("key-{n}"))).collect()
}

impl World {
    /// A running node other than this one.
    pub(crate) async fn follower_of_others(&self, not: NodeId) -> Consensus {
        lock(&self.net).up.values().find(|node| node.id() != not).unwrap().clone()
    }
}
