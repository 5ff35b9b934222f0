//! The default scenario: everything is left to the seed. Each seed turns some options on and leaves others out, since a run
//! that has everything hides what only shows in a quiet one (after TigerBeetle's swarm testing). Faults come in a safety
//! phase; then all heals, and the cluster must recover.

use std::time::Duration;

use crate::Dice;
use crate::scenario::{Check, Fault, Load, Scenario, Weather, Who, chats, ms, reads, s, streams, writes};

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
/// The deployments' names.
const MODELS: [&str; 2] = ["tiny", "small"];

/// The scenario of a seed.
pub fn scenario(seed: u64) -> Scenario {
    let mut dice = Dice::of(seed, "swarm");
    // Three nodes most of the time: the smallest cluster that survives anything, and the cheapest to run.
    let nodes = *dice.pick(&[3, 3, 3, 4, 5]).unwrap_or(&3);
    let zones = dice.between(1, 4) as usize;
    let mut scenario = Scenario::nodes(nodes).called(NAME).zones(zones).weather(weather(&mut dice));
    for name in MODELS.iter().take(dice.between(0, 3) as usize) {
        scenario = scenario.deploy(name, dice.between(1, 3) as u32);
    }
    for load in load(&mut dice, &scenario) {
        scenario = scenario.load(load);
    }
    let mut plan = Plan { dice, nodes, wiped: false, steps: Vec::new() };
    let models: Vec<String> = scenario.deployments.iter().map(|(name, _)| name.clone()).collect();
    plan.draw(&models);
    for (when, fault) in plan.steps {
        scenario = scenario.at(when, fault);
    }
    scenario = scenario.at(HEAL_AT, Fault::Heal);
    for node in 0..nodes {
        scenario = scenario.at(HEAL_AT, Fault::Restart(Who::Node(node)));
    }
    let checks: &[Check] = &[];
    scenario.for_at_least(LOAD_FOR).converges_within(CONVERGE).always(checks)
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
    load
}

struct Plan {
    dice: Dice,
    nodes: usize,
    wiped: bool,
    steps: Vec<(Duration, Fault)>,
}

impl Plan {
    fn draw(&mut self, models: &[String]) {
        let count = self.dice.between(1, FAULTS_MAX + 1);
        let span = (HEAL_AT - CALM).as_millis() as u64;
        for _ in 0..count {
            let at = CALM + ms(self.dice.between(0, span));
            let lasts = ms(self.dice.between(300, 9_000));
            self.fault(at, lasts, models);
        }
    }

    fn fault(&mut self, at: Duration, lasts: Duration, models: &[String]) {
        let node = self.dice.between(0, self.nodes as u64) as usize;
        let who = if self.dice.permille(400) { Who::Leader } else { Who::Node(node) };
        let until = (at + lasts).min(HEAL_AT);
        let mut both = |fault: Fault, end: Fault| self.steps.extend([(at, fault), (until, end)]);
        match self.dice.between(0, 12) {
            0 | 1 => both(Fault::Kill(who), Fault::Restart(Who::Victim)),
            2 => both(Fault::PowerOff(Who::Node(node)), Fault::Restart(Who::Node(node))),
            3 | 4 => both(Fault::Isolate(who), Fault::Heal),
            5 => {
                let other = (node + 1) % self.nodes;
                both(Fault::OneWay(node, other), Fault::Heal);
            }
            6 => both(Fault::Delay(who, ms(lasts.as_millis() as u64 / 30 + 20)), Fault::Heal),
            7 => both(Fault::SlowDisk(who, ms(lasts.as_millis() as u64 / 20 + 5)), Fault::Heal),
            8 => self.steps.push((at, Fault::Pause(who, lasts.min(s(4))))),
            9 => self.steps.push((at, Fault::ClockJump(who, lasts.as_millis() as i64 * 20 - 60_000))),
            10 => self.engine(at, models),
            _ if self.wiped => self.steps.push((at, Fault::RollingRestart)),
            _ => {
                // A second lost disk among three could take acknowledged writes with it, and rightly so.
                self.wiped = true;
                self.steps.push((at, Fault::Wipe(Who::Node(node))));
            }
        }
    }

    fn engine(&mut self, at: Duration, models: &[String]) {
        let Some(model) = self.dice.pick(models).cloned() else { return };
        let fault = if self.dice.permille(500) { Fault::KillEngine(model) } else { Fault::HangEngine(model) };
        self.steps.push((at, fault));
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
            let wipes = scenario(seed).steps.iter().filter(|(_, f)| matches!(f, Fault::Wipe(_))).count();
            assert!(wipes <= 1, "seed {seed}");
        }
    }
}
