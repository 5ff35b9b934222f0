//! The difference between what is wanted on this node and what runs here, as starts and stops. A replica's successor
//! starts when its predecessor has ended; a provider's at once. What fails is started again with pauses; what ended by
//! itself is not, until something else is wanted in its place.

use std::collections::BTreeMap;

use domain::deployment::Phase;
use domain::provider::Kind;
use domain::{DeploymentId, Millis, NodeId, ProviderName, View};
use serde::{Deserialize, Serialize};

use crate::supervision::Record;

/// What can run here.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Key {
    /// Connections to a provider.
    Provider(ProviderName),
    /// A replica of a deployment.
    Replica(DeploymentId, u32),
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Key::Provider(name) => write!(f, "provider/{name}"),
            Key::Replica(id, ordinal) => write!(f, "replica/{id}/{ordinal}"),
        }
    }
}

/// Which making of it: a provider's revision and the version of what it speaks, or a replica's epoch and generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u64, pub u64);

/// What is wanted under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// Which making of it.
    pub version: Version,
    /// The phase the tables show and since when, for replicas.
    pub phase: Option<Shown>,
}

/// A phase in the tables. The time tells it from the same phase shown before, when what was between was not looked at.
pub type Shown = (Phase, Millis);

/// What is wanted on a node.
pub type Wanted = BTreeMap<Key, Item>;

/// What the tables want on this node.
pub fn wanted(view: &View, me: NodeId) -> Wanted {
    let state = &view.state;
    let providers = state.providers.rows().map(|row| {
        let dialect = if let Kind::Api(api) = &row.kind { state.adapters.get(&api.dialect) } else { None };
        let spoken = dialect.map_or(0, |adapter| u64::from(adapter.current));
        (Key::Provider(row.name.clone()), Item { version: Version(row.revision, spoken), phase: None })
    });
    let replicas = state.deployments.rows().flat_map(|row| {
        let wanted = row.replicas.iter().filter(|r| r.ordinal < row.wanted());
        wanted.filter_map(move |r| {
            // A replica and its successor are never on the same node.
            let next = r.successor.as_ref().filter(|next| next.node == me);
            let (epoch, phase, since) = match next {
                Some(next) => (next.epoch, &next.phase, next.since),
                None if r.node == me => (r.epoch, &r.phase, r.since),
                None => return None,
            };
            let item = Item { version: Version(epoch, row.generation), phase: Some((phase.clone(), since)) };
            Some((Key::Replica(row.id, r.ordinal), item))
        })
    });
    providers.chain(replicas).collect()
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The tables were looked at.
    Look(Wanted),
    /// A child is over.
    Ended {
        /// Under which key.
        key: Key,
        /// Which making of it.
        version: Version,
        /// Why it failed, if it did not end in order.
        failure: Option<String>,
        /// A random number.
        draw: u64,
    },
    /// The pause before a child is started again is over.
    Due {
        /// Under which key.
        key: Key,
        /// Which making of it.
        version: Version,
    },
    /// Everything is to be stopped, for good.
    Quiesce,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Start a child.
    Start(Key, Version),
    /// Stop a child; its end will be told.
    Stop(Key, Version),
    /// Tell a replica what the tables show.
    Tell(Key, Version, Phase),
    /// Come back after this many milliseconds.
    After(Millis, Key, Version),
    /// Nothing runs any more.
    Quiet,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Status {
    Running { told: Option<Shown> },
    Stopping,
    Waiting,
    Over,
}

#[derive(Debug, Clone)]
struct Child {
    version: Version,
    status: Status,
    record: Record,
}

/// The reconciler's machine.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    wanted: Wanted,
    children: BTreeMap<Key, Child>,
    quiescing: bool,
}

impl Machine {
    /// How each child stands with its supervisor.
    pub fn records(&self) -> impl Iterator<Item = (&Key, &Record)> {
        self.children.iter().map(|(key, child)| (key, &child.record))
    }

    /// Takes in what happened and tells what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        let mut out = Vec::new();
        match event {
            Event::Look(wanted) if !self.quiescing => self.wanted = wanted,
            Event::Look(_) => {}
            Event::Ended { key, version, failure, draw } => {
                self.ended(&key, version, failure, now, draw, &mut out);
            }
            Event::Due { key, version } => self.due(&key, version, &mut out),
            Event::Quiesce => {
                self.quiescing = true;
                self.wanted.clear();
            }
        }
        self.reconcile(&mut out);
        if self.quiescing && self.children.is_empty() {
            out.push(Effect::Quiet);
        }
        out
    }

    fn reconcile(&mut self, out: &mut Vec<Effect>) {
        let wanted = &self.wanted;
        self.children.retain(|key, child| {
            let same = wanted.get(key).is_some_and(|item| item.version == child.version);
            match (&child.status, same) {
                (Status::Running { .. }, false) => {
                    out.push(Effect::Stop(key.clone(), child.version));
                    child.status = Status::Stopping;
                    // A provider's connections are closed beside: nothing waits for their end.
                    !matches!(key, Key::Provider(_))
                }
                (Status::Waiting | Status::Over, false) => false,
                (Status::Stopping, _) | (_, true) => true,
            }
        });
        for (key, item) in wanted {
            match self.children.get_mut(key) {
                None => {
                    out.push(Effect::Start(key.clone(), item.version));
                    let status = Status::Running { told: item.phase.clone() };
                    let child = Child { version: item.version, status, record: Record::default() };
                    self.children.insert(key.clone(), child);
                }
                Some(Child { version, status: Status::Running { told }, .. }) if *told != item.phase => {
                    told.clone_from(&item.phase);
                    if let Some((phase, _)) = &item.phase {
                        out.push(Effect::Tell(key.clone(), *version, phase.clone()));
                    }
                }
                Some(_) => {}
            }
        }
    }

    fn ended(
        &mut self,
        key: &Key,
        version: Version,
        failure: Option<String>,
        now: Millis,
        draw: u64,
        out: &mut Vec<Effect>,
    ) {
        let Some(child) = self.children.get_mut(key).filter(|c| c.version == version) else { return };
        match (&child.status, failure) {
            (Status::Stopping, _) => {
                self.children.remove(key);
            }
            (Status::Running { .. }, Some(reason)) => {
                child.status = Status::Waiting;
                out.push(Effect::After(child.record.failed(reason, now, draw), key.clone(), version));
            }
            (Status::Running { .. }, None) => child.status = Status::Over,
            (Status::Waiting | Status::Over, _) => {}
        }
    }

    fn due(&mut self, key: &Key, version: Version, out: &mut Vec<Effect>) {
        let Some(child) = self.children.get_mut(key) else { return };
        if child.version == version && child.status == Status::Waiting {
            child.record.restarted();
            // What the tables show is told anew with the next look.
            child.status = Status::Running { told: None };
            out.push(Effect::Start(key.clone(), version));
        }
    }
}
