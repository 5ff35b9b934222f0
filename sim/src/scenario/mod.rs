//! What happens to a cluster, as data: its size, what runs on it, what clients ask of it, which faults come when, and
//! what must hold. Two drivers run the same data: the simulator here, and `chaos` on real processes. A scenario knows
//! neither.

mod links;
mod named;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use named::{CORE, NAMES, named};

/// Seconds.
pub const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Milliseconds.
pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Whom a fault hits; resolved when it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// The node that leads.
    Leader,
    /// The node that runs the first ready replica of this deployment.
    HostOf(String),
    /// The node with this number, from 0.
    Node(usize),
    /// Every node of the zone with this number, from 0.
    Zone(usize),
    /// Whoever the last fault hit.
    Victim,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The process dies at once (SIGKILL); what was not durable may be gone.
    Kill(Who),
    /// The machine dies: as `Kill`, but nobody is told that its connections are gone. Simulator only.
    PowerOff(Who),
    /// It is started again on what is left of its disk.
    Restart(Who),
    /// It dies, loses its disk and comes back with a join token.
    Wipe(Who),
    /// It is frozen (SIGSTOP) for so long.
    Pause(Who, Duration),
    /// No messages between it, or them, and the others, either way.
    Isolate(Who),
    /// Messages from the first node to the second vanish, those back arrive.
    OneWay(usize, usize),
    /// Messages between it and the others take that long.
    Delay(Who, Duration),
    /// Of a thousand packets between it and the others, so many vanish. Real processes only; the simulator has [`Weather`].
    Lose(Who, u16),
    /// Its disk is full, until all heals.
    FillDisk(Who),
    /// Its disk takes that long to make a write durable. Simulator only.
    SlowDisk(Who, Duration),
    /// Its wall clock jumps by so many milliseconds.
    ClockJump(Who, i64),
    /// The engine of a replica of this deployment dies.
    KillEngine(String),
    /// The engine of a replica of this deployment stops answering.
    HangEngine(String),
    /// One node after the other is stopped gracefully and started again, each when the one before is well.
    RollingRestart,
    /// Links, disks and delays are as they should be again. Nodes stay down.
    Heal,
}

impl Fault {
    /// Whether it only mends what other faults did.
    pub fn mends(&self) -> bool {
        matches!(self, Fault::Restart(_) | Fault::Heal)
    }

    /// Whether only the simulator can do it.
    pub fn needs_simulator(&self) -> bool {
        matches!(self, Fault::PowerOff(_) | Fault::SlowDisk(..))
    }

    /// Whether only real processes can do it.
    pub fn needs_processes(&self) -> bool {
        matches!(self, Fault::Lose(..))
    }
}

/// What clients do all the time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Load {
    /// Create and revoke keys, and write registers: so many changes a second.
    Writes(u32),
    /// Linearizable reads of the registers, so many a second.
    Reads(u32),
    /// Plain chats with this model, so many a second.
    Chats(String, u32),
    /// So many streams with this model open at a time.
    Streams(String, u32),
}

/// What must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Check {
    /// At most one leader a term. Looks inside, so: simulator only.
    OneLeader,
    /// Nodes that applied equally much have equal tables. Simulator only.
    Agreement,
    /// Every acknowledged write is there in the end.
    NoWriteLost,
    /// No write happened twice, none that was refused happened.
    NoDuplicate,
    /// Reads and writes of each register have an order that explains them.
    Linearizable,
    /// No epoch of a replica runs on two nodes. Simulator only.
    OneHostPerEpoch,
    /// Every stream of a node that stays up ends in `[DONE]` or in an error.
    EveryStreamEnds,
    /// No request outlives its deadline.
    NoHang,
    /// A chat asked of a node that stays up succeeds, whoever else dies.
    NoChatFails,
    /// The cluster gets ready, and after the last fault it becomes well again in time.
    Converges,
    /// Nothing panics. Simulator only; real processes show it as a node that died.
    NoPanic,
    /// No replica moves or starts again but those of nodes that were taken away. Real processes only.
    HealthyStay,
}

impl Check {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Check::OneLeader => "one_leader",
            Check::Agreement => "agreement",
            Check::NoWriteLost => "no_write_lost",
            Check::NoDuplicate => "no_duplicate",
            Check::Linearizable => "linearizable",
            Check::OneHostPerEpoch => "one_host_per_epoch",
            Check::EveryStreamEnds => "every_stream_ends",
            Check::NoHang => "no_hang",
            Check::NoChatFails => "no_chat_fails",
            Check::Converges => "converges",
            Check::NoPanic => "no_panic",
            Check::HealthyStay => "healthy_stay",
        }
    }
}

/// What must hold everywhere.
pub const SAFETY: &[Check] = &[
    Check::OneLeader,
    Check::Agreement,
    Check::NoWriteLost,
    Check::NoDuplicate,
    Check::Linearizable,
    Check::OneHostPerEpoch,
    Check::EveryStreamEnds,
    Check::NoHang,
    Check::Converges,
    Check::NoPanic,
];

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
    /// Over how many zones they are spread, one after the other.
    pub zones: usize,
    /// Deployments of the cluster's engine: name, replicas.
    pub deployments: Vec<(String, u32)>,
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
}

impl Scenario {
    /// A quiet cluster of so many nodes, each in a zone of its own up to three.
    pub fn nodes(nodes: usize) -> Self {
        Self {
            name: "unnamed".to_owned(),
            nodes,
            zones: nodes.clamp(1, 3),
            deployments: Vec::new(),
            load: Vec::new(),
            steps: Vec::new(),
            load_for: s(20),
            always: SAFETY.to_vec(),
            converge_within: s(30),
            weather: Weather::default(),
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

    /// The zone of a node, from 0.
    pub fn zone_of(&self, node: usize) -> usize {
        node % self.zones
    }

    /// Whether only the simulator can run it.
    pub fn needs_simulator(&self) -> bool {
        self.steps.iter().any(|(_, fault)| fault.needs_simulator())
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
        assert!(named("no_such").is_none());
    }
}
