//! What happens to a cluster, as data: its size, what runs on it, what clients ask of it, which faults come when, and
//! what must hold. Two drivers run the same data: the simulator here, and `chaos` on real processes. A scenario knows
//! neither.

mod check;
mod fault;
mod links;
mod named;
mod simulated;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use check::{Check, SAFETY};
pub use fault::{Ailment, Fault, Who};
pub use named::{CORE, NAMES};
pub use simulated::SIMULATED;

/// The scenario of that name.
pub fn named(name: &str) -> Option<Scenario> {
    named::named(name).or_else(|| simulated::simulated(name))
}

/// Seconds.
pub const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A model that the provider outside offers. Where clients ask for it, the cluster knows that provider.
pub const REMOTE_MODEL: &str = "remote";

/// What clients do all the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// Create and revoke keys, and write registers: so many changes a second.
    Writes(u32),
    /// Linearizable reads of the registers, so many a second.
    Reads(u32),
    /// Plain chats with this model, so many a second.
    Chats(String, u32),
    /// Probes of what nodes declare, with a model that each can serve alone, so many a second.
    Probes(String, u32),
    /// Plain chats with this model and a key that has a limit, so many a second. One load of a scenario at most.
    Limited(String, u32),
    /// So many streams with this model open at a time.
    Streams(String, u32),
}

/// How messages travel when nothing special happens. Simulator only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Weather {
    /// The longest a message takes.
    pub latency_ms_max: u64,
    /// Of a thousand datagrams, how many are lost.
    pub lost_permille: u64,
    /// Of a thousand datagrams, how many arrive twice.
    pub doubled_permille: u64,
    /// Of a thousand datagrams, how many are overtaken by later ones.
    pub late_permille: u64,
    /// How far a node's wall clock may be off, either way.
    pub skew_ms_max: u64,
}

impl Default for Weather {
    fn default() -> Self {
        Self { latency_ms_max: 4, lost_permille: 0, doubled_permille: 0, late_permille: 0, skew_ms_max: 0 }
    }
}

/// What happens to a cluster and what must hold. Times count from the moment its nodes and deployments are ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// How many nodes there are.
    pub nodes: usize,
    /// How many more machines there are, without a node until one joins there. Simulator only.
    pub spares: usize,
    /// Over how many zones they are spread, one after the other.
    pub zones: usize,
    /// How many GPUs each node has; none where nothing is said. Simulator only.
    pub gpus: Vec<u32>,
    /// Deployments of the cluster's engine: name, replicas.
    pub deployments: Vec<(String, u32)>,
    /// Those of them whose replicas need a GPU each. Simulator only.
    pub on_gpus: Vec<String>,
    /// What clients do.
    pub load: Vec<Load>,
    /// Faults, in order of time.
    pub steps: Vec<(Duration, Fault)>,
    /// How long clients go on at least.
    pub load_for: Duration,
    /// What must hold.
    pub always: Vec<Check>,
    /// How long after the last fault everything may take to be well again.
    pub converge_within: Duration,
    /// How messages travel.
    pub weather: Weather,
    /// After how many log entries nodes make a snapshot; `None` for their default, which few runs reach. Simulator only.
    pub snapshot_every: Option<u64>,
}

impl Scenario {
    /// A quiet cluster of so many nodes, each in a zone of its own up to three.
    pub fn nodes(nodes: usize) -> Self {
        Self {
            name: "unnamed".to_owned(),
            nodes,
            spares: 0,
            zones: nodes.clamp(1, 3),
            gpus: Vec::new(),
            deployments: Vec::new(),
            on_gpus: Vec::new(),
            load: Vec::new(),
            steps: Vec::new(),
            load_for: s(20),
            always: SAFETY.to_vec(),
            converge_within: s(30),
            weather: Weather::default(),
            snapshot_every: None,
        }
    }

    /// The same under a name.
    pub fn called(mut self, name: &str) -> Self {
        name.clone_into(&mut self.name);
        self
    }

    /// The same over so many zones.
    pub fn zones(mut self, zones: usize) -> Self {
        self.zones = zones.max(1);
        self
    }

    /// With so many machines more, on which nodes may join.
    pub fn spares(mut self, spares: usize) -> Self {
        self.spares = spares;
        self
    }

    /// With so many GPUs, node by node.
    pub fn gpus(mut self, gpus: &[u32]) -> Self {
        self.gpus = gpus.to_vec();
        self
    }

    /// With one more deployment whose replicas need a GPU each.
    pub fn deploy_on_gpus(mut self, name: &str, replicas: u32) -> Self {
        self.on_gpus.push(name.to_owned());
        self.deploy(name, replicas)
    }

    /// With one more deployment.
    pub fn deploy(mut self, name: &str, replicas: u32) -> Self {
        self.deployments.push((name.to_owned(), replicas));
        self
    }

    /// With more load.
    pub fn load(mut self, load: Load) -> Self {
        self.load.push(load);
        self
    }

    /// With one more fault. Faults of one moment happen in the order in which they were added.
    pub fn at(mut self, when: Duration, fault: Fault) -> Self {
        self.steps.push((when, fault));
        self.steps.sort_by_key(|(when, _)| *when);
        self
    }

    /// With clients that go on for so long at least.
    pub fn for_at_least(mut self, load_for: Duration) -> Self {
        self.load_for = load_for;
        self
    }

    /// With more that must hold.
    pub fn always(mut self, checks: &[Check]) -> Self {
        self.always.extend_from_slice(checks);
        self.always.sort();
        self.always.dedup();
        self
    }

    /// With a limit for recovery.
    pub fn converges_within(mut self, limit: Duration) -> Self {
        self.converge_within = limit;
        self
    }

    /// With this weather.
    pub fn weather(mut self, weather: Weather) -> Self {
        self.weather = weather;
        self
    }

    /// With a snapshot after so many log entries.
    pub fn snapshot_every(mut self, entries: u64) -> Self {
        self.snapshot_every = Some(entries);
        self
    }

    /// The zone of a node, from 0.
    pub fn zone_of(&self, node: usize) -> usize {
        node % self.zones
    }

    /// Whether clients ask for a model of the provider outside.
    pub fn calls_provider(&self) -> bool {
        let remote = |load: &Load| matches!(load, Load::Chats(model, _) | Load::Streams(model, _) if model == REMOTE_MODEL);
        self.load.iter().any(remote)
    }

    /// Whether the cluster knows the provider outside: where it is called, and where its key is one that is sealed anew.
    pub fn knows_provider(&self) -> bool {
        self.calls_provider() || self.steps.iter().any(|(_, fault)| matches!(fault, Fault::Rotate(_)))
    }

    /// Whether every model file must be everywhere: where nodes leave, so that replicas have a place, and where each node is
    /// to serve alone.
    pub fn files_everywhere(&self) -> bool {
        let deployed = |model: &str| self.deployments.iter().any(|(name, _)| name == model);
        let probed = self.load.iter().any(|load| matches!(load, Load::Probes(model, _) if deployed(model)));
        probed || self.steps.iter().any(|(_, fault)| matches!(fault, Fault::Leave(_) | Fault::Remove(_)))
    }

    /// Whether only the simulator can run it.
    pub fn needs_simulator(&self) -> bool {
        let alone = self.spares > 0 || !self.gpus.is_empty() || self.calls_provider();
        alone || self.steps.iter().any(|(_, fault)| fault.needs_simulator())
    }

    /// Whether nodes run one program first and another one later.
    pub fn changes_program(&self) -> bool {
        self.steps.iter().any(|(_, fault)| fault.changes_program())
    }

    /// Whether only real processes can run it.
    pub fn needs_processes(&self) -> bool {
        self.steps.iter().any(|(_, fault)| fault.needs_processes())
    }
}

/// Plain chats with a model, so many a second.
pub fn chats(model: &str, per_second: u32) -> Load {
    Load::Chats(model.to_owned(), per_second)
}

/// Probes with a model that every node can serve alone, so many a second.
pub fn probes(model: &str, per_second: u32) -> Load {
    Load::Probes(model.to_owned(), per_second)
}

/// Plain chats with a key that has a limit, so many a second.
pub fn limited(model: &str, per_second: u32) -> Load {
    Load::Limited(model.to_owned(), per_second)
}

/// Streams with a model, so many at a time.
pub fn streams(model: &str, at_a_time: u32) -> Load {
    Load::Streams(model.to_owned(), at_a_time)
}

/// Changes of metadata, so many a second.
pub fn writes(per_second: u32) -> Load {
    Load::Writes(per_second)
}

/// Linearizable reads, so many a second.
pub fn reads(per_second: u32) -> Load {
    Load::Reads(per_second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_happen_in_order_of_time() {
        let scenario = Scenario::nodes(3).at(s(9), Fault::Heal).at(s(2), Fault::RollingRestart);
        assert_eq!(scenario.steps[0].1, Fault::RollingRestart);
        assert!(!scenario.needs_simulator());
        assert!(scenario.at(s(1), Fault::PowerOff(Who::Leader)).needs_simulator());
    }

    #[test]
    fn every_name_has_a_scenario_that_real_processes_can_run() {
        assert!(CORE.iter().all(|name| NAMES.contains(name)));
        for name in NAMES {
            let scenario = named(name).unwrap();
            assert_eq!(scenario.name, *name);
            assert!(!scenario.needs_simulator(), "{name}");
        }
        for name in SIMULATED {
            assert_eq!(named(name).unwrap().name, *name);
        }
        assert!(named("no_such").is_none());
    }
}
