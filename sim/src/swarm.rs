//! The default scenario: everything is left to the seed. Each seed turns some options on and leaves others out, since a run
//! that has everything hides what only shows in a quiet one (after TigerBeetle's swarm testing). Faults come in a safety
//! phase; then all heals, and the cluster must recover.

use std::time::Duration;

use domain::rotation;

use crate::Dice;
use crate::scenario::{
    Ailment, Fault, Load, REMOTE_MODEL, Scenario, Weather, Who, chats, limited, ms, probes, reads, s,
    streams, writes,
};

/// The name by which the default scenario is asked for.
pub const NAME: &str = "swarm";
/// When faults begin.
const CALM: Duration = s(2);
/// When everything heals.
const HEAL_AT: Duration = s(40);
/// When clients may stop: some load goes on after healing.
const LOAD_FOR: Duration = s(56);
/// How long recovery may take.
const CONVERGE: Duration = s(30);
/// How many faults there are at most.
const FAULTS_MAX: u64 = 9;
/// The deployments' names, and that of the one that needs a GPU.
const MODELS: [&str; 2] = ["tiny", "small"];
const ON_GPU: &str = "large";
/// Of a thousand seeds, how many have GPUs, a spare machine, and clients of the provider outside.
const GPUS_PERMILLE: u64 = 250;
const SPARES_PERMILLE: u64 = 400;
const PROVIDER_PERMILLE: u64 = 350;
/// How often a key calls more than it may.
const LIMITED_PERMILLE: u64 = 300;
/// Of a thousand seeds, in how many the log is cut short often, so that nodes that were away need a snapshot.
const SNAPSHOTS_PERMILLE: u64 = 400;
/// Of a thousand kinds of faults, how many a seed has.
const KIND_PERMILLE: u64 = 450;
/// The last write at which a crash may be ordered.
const WRITES_MAX: u64 = 200;

/// The scenario of a seed.
pub fn scenario(seed: u64) -> Scenario {
    sized(seed, None)
}

/// The scenario of a seed at another size than the one it draws.
pub fn sized(seed: u64, nodes: Option<usize>) -> Scenario {
    let mut dice = Dice::of(seed, "swarm");
    // Three nodes most of the time: the smallest cluster that survives anything, and the cheapest to run.
    let drawn = *dice.pick(&[3, 3, 3, 4, 5]).unwrap_or(&3);
    let nodes = nodes.unwrap_or(drawn);
    let zones = dice.between(1, 4) as usize;
    let mut scenario = Scenario::nodes(nodes).called(NAME).zones(zones).weather(weather(&mut dice));
    for name in MODELS.iter().take(dice.between(0, 3) as usize) {
        scenario = scenario.deploy(name, dice.between(1, 3) as u32);
    }
    if dice.permille(GPUS_PERMILLE) {
        // One replica, and GPUs on two nodes at least: losing those of one leaves it a place.
        let gpus: Vec<u32> = (0..nodes).map(|node| dice.between(u64::from(node < 2), 3) as u32).collect();
        scenario = scenario.gpus(&gpus).deploy_on_gpus(ON_GPU, 1);
    }
    if dice.permille(SNAPSHOTS_PERMILLE) {
        scenario = scenario.snapshot_every(dice.between(20, 400));
    }
    if dice.permille(SPARES_PERMILLE) {
        scenario = scenario.spares(1);
    }
    for load in load(&mut dice, &scenario) {
        scenario = scenario.load(load);
    }
    // A draw of its own, so that it changes nothing else about a seed.
    if Dice::of(seed, "limits").permille(LIMITED_PERMILLE) {
        scenario = scenario.load(limited("mock", 30));
    }
    let mut plan = Plan::new(dice, &scenario);
    plan.draw();
    for (when, fault) in plan.steps {
        scenario = scenario.at(when, fault);
    }
    scenario = scenario.at(HEAL_AT, Fault::Heal);
    for node in 0..nodes + scenario.spares {
        scenario = scenario.at(HEAL_AT, Fault::Restart(Who::Node(node)));
    }
    scenario.for_at_least(LOAD_FOR).converges_within(CONVERGE)
}

fn weather(dice: &mut Dice) -> Weather {
    Weather {
        latency_ms_max: dice.between(2, 12),
        lost_permille: if dice.permille(500) { dice.between(1, 100) } else { 0 },
        doubled_permille: if dice.permille(300) { dice.between(1, 50) } else { 0 },
        late_permille: if dice.permille(300) { dice.between(1, 100) } else { 0 },
        skew_ms_max: if dice.permille(300) { dice.between(1, 60_000) } else { 0 },
    }
}

fn load(dice: &mut Dice, scenario: &Scenario) -> Vec<Load> {
    let mut load = vec![writes(dice.between(4, 16) as u32), reads(dice.between(4, 16) as u32)];
    for (name, _) in &scenario.deployments {
        if dice.permille(700) {
            load.push(chats(name, dice.between(1, 8) as u32));
        }
        if dice.permille(500) {
            load.push(streams(name, dice.between(1, 4) as u32));
        }
    }
    if dice.permille(400) {
        load.push(streams("mock", dice.between(1, 3) as u32));
    }
    if dice.permille(PROVIDER_PERMILLE) {
        load.push(chats(REMOTE_MODEL, dice.between(1, 6) as u32));
        load.push(streams(REMOTE_MODEL, dice.between(1, 4) as u32));
    }
    if dice.permille(500) {
        load.push(probes("mock", dice.between(1, 3) as u32));
    }
    load
}

/// What a seed may do in a run. Each turns some of them on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Kill,
    PowerOff,
    CrashAtWrite,
    Isolate,
    OneWay,
    Cut,
    Flap,
    Delay,
    HeavyTail,
    Slow,
    SlowDisk,
    FillDisk,
    LoseDisk,
    Pause,
    ClockJump,
    Engine,
    BreakEngines,
    Gpus,
    Provider,
    Rolling,
    Membership,
    Rotate,
}

use Kind::{
    BreakEngines, ClockJump, CrashAtWrite, Cut, Delay, Engine, FillDisk, Flap, Gpus, HeavyTail, Isolate,
    Kill, LoseDisk, Membership, OneWay, Pause, PowerOff, Provider, Rolling, Rotate, Slow, SlowDisk,
};

/// All kinds; one that is here twice is drawn twice as often.
const KINDS: [Kind; 26] = [
    Kill,
    Kill,
    PowerOff,
    CrashAtWrite,
    Isolate,
    Isolate,
    OneWay,
    Cut,
    Flap,
    Delay,
    HeavyTail,
    Slow,
    SlowDisk,
    FillDisk,
    LoseDisk,
    Pause,
    ClockJump,
    Engine,
    BreakEngines,
    Gpus,
    Provider,
    Rolling,
    Membership,
    Membership,
    Rotate,
    Rotate,
];

struct Plan {
    dice: Dice,
    nodes: usize,
    spares: usize,
    models: Vec<String>,
    /// The kinds that this seed has.
    kinds: Vec<Kind>,
    /// A second lost disk among three could take acknowledged writes with it, and rightly so.
    disk_lost: bool,
    /// A node went, or comes: one such change is enough for the smallest clusters.
    membership_changed: bool,
    steps: Vec<(Duration, Fault)>,
}

impl Plan {
    fn new(mut dice: Dice, scenario: &Scenario) -> Self {
        let (nodes, spares) = (scenario.nodes, scenario.spares);
        let models = scenario.deployments.iter().map(|(name, _)| name.clone()).collect();
        let kinds = KINDS.into_iter().filter(|_| dice.permille(KIND_PERMILLE)).collect();
        Self {
            dice,
            nodes,
            spares,
            models,
            kinds,
            disk_lost: false,
            membership_changed: false,
            steps: Vec::new(),
        }
    }

    fn draw(&mut self) {
        let count = self.dice.between(1, FAULTS_MAX + 1);
        let span = (HEAL_AT - CALM).as_millis() as u64;
        for _ in 0..count {
            let at = CALM + ms(self.dice.between(0, span));
            let lasts = ms(self.dice.between(300, 9_000));
            let kind = *self.dice.pick(&self.kinds).unwrap_or(&Kill);
            self.fault(kind, at, lasts);
        }
    }

    fn fault(&mut self, kind: Kind, at: Duration, lasts: Duration) {
        let node = self.dice.between(0, self.nodes as u64) as usize;
        let other = (node + 1) % self.nodes;
        let who = if self.dice.permille(400) { Who::Leader } else { Who::Node(node) };
        let span = lasts.as_millis() as u64;
        let until = (at + lasts).min(HEAL_AT);
        let passing = match kind {
            Kill => return self.both(at, Fault::Kill(who), until, Fault::Restart(Who::Victim)),
            PowerOff => {
                let (off, on) = (Fault::PowerOff(Who::Node(node)), Fault::Restart(Who::Node(node)));
                return self.both(at, off, until, on);
            }
            CrashAtWrite => {
                let count = self.dice.between(1, WRITES_MAX) as u32;
                return self.steps.push((at, Fault::CrashAtWrite(who, count)));
            }
            Pause => return self.steps.push((at, Fault::Pause(who, lasts.min(s(4))))),
            ClockJump => {
                return self.steps.push((at, Fault::ClockJump(who, span as i64 * 20 - 60_000)));
            }
            Engine => return self.engine(at),
            Rolling => return self.steps.push((at, Fault::RollingRestart)),
            Rotate => {
                let kind = *self.dice.pick(&rotation::Kind::ALL).unwrap_or(&rotation::Kind::Data);
                return self.steps.push((at, Fault::Rotate(kind)));
            }
            LoseDisk => return self.lose_disk(at, node),
            Membership => return self.membership(at, node, who),
            Isolate => Fault::Isolate(who),
            OneWay => Fault::OneWay(node, other),
            Cut => Fault::Cut(node, other),
            Flap => Fault::Flap(node, other, ms(span / 10 + 50)),
            Delay => Fault::Delay(who, ms(span / 30 + 20)),
            HeavyTail => Fault::HeavyTail(who),
            Slow => Fault::Slow(who, ms(span / 20 + 50)),
            SlowDisk => Fault::SlowDisk(who, ms(span / 20 + 5)),
            FillDisk => Fault::FillDisk(who),
            BreakEngines => match self.dice.pick(&self.models).cloned() {
                Some(model) => Fault::BreakEngines(model),
                None => return,
            },
            Gpus => Fault::LoseGpus(Who::Node(node)),
            Provider => {
                let all = [Ailment::Down, Ailment::Slow, Ailment::Limited, Ailment::Cut, Ailment::Silent];
                Fault::Provider(*self.dice.pick(&all).unwrap_or(&Ailment::Down))
            }
        };
        self.both(at, passing, until, Fault::Heal);
    }

    fn both(&mut self, at: Duration, fault: Fault, until: Duration, end: Fault) {
        self.steps.extend([(at, fault), (until, end)]);
    }

    fn engine(&mut self, at: Duration) {
        let Some(model) = self.dice.pick(&self.models).cloned() else { return };
        let fault = match self.dice.between(0, 4) {
            0 => Fault::KillEngine(model),
            1 => Fault::HangEngine(model),
            2 => Fault::LeakEngine(model),
            _ => Fault::GarbleEngine(model),
        };
        self.steps.push((at, fault));
    }

    /// What a disk held is lost or damaged, once in a run.
    fn lose_disk(&mut self, at: Duration, node: usize) {
        if std::mem::replace(&mut self.disk_lost, true) {
            return;
        }
        let who = Who::Node(node);
        let fault = if self.dice.permille(500) { Fault::Wipe(who) } else { Fault::BitRot(who) };
        self.steps.push((at, fault));
    }

    /// Nodes leave, are taken out while they are down, come, or are replaced.
    fn membership(&mut self, at: Duration, node: usize, who: Who) {
        if std::mem::replace(&mut self.membership_changed, true) {
            return;
        }
        let spare = Who::Node(self.nodes + self.spares.saturating_sub(1));
        let soon = (at + ms(self.dice.between(0, 3_000))).min(HEAL_AT);
        match self.dice.between(0, 4) {
            0 => self.steps.push((at, Fault::Leave(who))),
            // Its acknowledged writes are as lost as if its disk were.
            1 if !std::mem::replace(&mut self.disk_lost, true) => {
                self.both(at, Fault::Kill(Who::Node(node)), soon, Fault::Remove(Who::Node(node)));
            }
            2 if self.spares > 0 => self.both(at, Fault::Leave(who), soon, Fault::Join(spare)),
            _ if self.spares > 0 => self.steps.push((at, Fault::Join(spare))),
            _ => {
                let back = (at + s(20)).min(HEAL_AT);
                self.both(at, Fault::Leave(Who::Node(node)), back, Fault::Join(Who::Node(node)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_always_gives_the_same_scenario_and_seeds_differ() {
        assert_eq!(scenario(3), scenario(3));
        let different: Vec<_> = (0..50).map(|seed| format!("{:?}", scenario(seed))).collect();
        assert!(different.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn no_scenario_takes_two_disks() {
        for seed in 0..500 {
            let lost = scenario(seed).steps.iter().filter(|(_, fault)| fault.takes_a_disk()).count();
            assert!(lost <= 1, "seed {seed}");
        }
    }

    #[test]
    fn every_kind_of_fault_is_drawn_by_some_seed() {
        let mut drawn: Vec<String> =
            (0..400).flat_map(|seed| scenario(seed).steps).map(|(_, fault)| kind(&fault)).collect();
        drawn.sort();
        drawn.dedup();
        // All but those of named scenarios.
        assert_eq!(drawn.len(), 30, "{drawn:?}");
    }

    fn kind(fault: &Fault) -> String {
        let text = format!("{fault:?}");
        text.split('(').next().unwrap_or_default().to_owned()
    }
}
