//! Makes a scenario that fails smaller as long as it fails in the same way: fewer faults (delta debugging, after Zeller and
//! Hildebrandt, "Simplifying and isolating failure-inducing input", 2002), less load, fewer deployments, nodes and zones,
//! calmer weather, a shorter run. What fails is for the caller to say, so this is pure; the caller also bounds it.

use std::time::Duration;

use serde_json::Value;

use crate::scenario::{Check, Fault, Scenario, Weather, Who, s};

/// How long clients go on after the last step of a shortened run.
const AFTER_LAST: Duration = s(5);

/// What a try came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It fails in the same way.
    Same,
    /// It passes, or fails otherwise.
    Other,
    /// There is no more time to try anything.
    Enough,
}

/// Looks for a smaller scenario that fails in the same way as `start`; `check` is what fails. Gives the smallest found.
pub fn minimise(start: &Scenario, check: &str, mut fails: impl FnMut(&Scenario) -> Verdict) -> Scenario {
    let mut search = Search {
        best: start.clone(),
        recovery: check == Check::Converges.name(),
        fails: &mut fails,
        enough: false,
    };
    loop {
        let before = search.best.clone();
        search.harms();
        search.mends();
        // Early, since every further try is shorter then.
        search.length();
        search.load();
        search.deployments();
        search.nodes();
        search.weather();
        if search.enough || search.best == before {
            return search.best;
        }
    }
}

struct Search<'a> {
    best: Scenario,
    /// Whether it is recovery that fails: then everything that mends must stay.
    recovery: bool,
    fails: &'a mut dyn FnMut(&Scenario) -> Verdict,
    enough: bool,
}

impl Search<'_> {
    /// Tries a candidate, and goes on from it when it fails in the same way.
    fn attempt(&mut self, candidate: Scenario) -> bool {
        if self.enough || candidate == self.best {
            return false;
        }
        let verdict = (self.fails)(&candidate);
        self.enough = verdict == Verdict::Enough;
        if verdict == Verdict::Same {
            self.best = candidate;
        }
        verdict == Verdict::Same
    }

    /// Fewer faults: ever smaller parts of them are left out. What mends stays for now.
    fn harms(&mut self) {
        let mut parts = 1;
        loop {
            let harms = self.steps(|fault| !fault.mends());
            if harms.is_empty() || self.enough {
                return;
            }
            let size = harms.len().div_ceil(parts);
            let left_out = harms.chunks(size).any(|some| self.attempt(without(&self.best, some)));
            match left_out {
                true => parts = parts.saturating_sub(1).max(1),
                false if size == 1 => return,
                false => parts = (parts * 2).min(harms.len()),
            }
        }
    }

    /// Fewer steps that mend. A cluster that nobody mends does not recover, and that is no failure of it.
    fn mends(&mut self) {
        let all = self.steps(Fault::mends);
        let candidate = without(&self.best, &all);
        if (!self.recovery || is_mended(&candidate)) && self.attempt(candidate) {
            return;
        }
        for at in all.into_iter().rev() {
            let candidate = without(&self.best, &[at]);
            if !self.recovery || is_mended(&candidate) {
                self.attempt(candidate);
            }
        }
    }

    fn steps(&self, is_one: impl Fn(&Fault) -> bool) -> Vec<usize> {
        let steps = self.best.steps.iter().enumerate();
        steps.filter(|(_, (_, fault))| is_one(fault)).map(|(at, _)| at).collect()
    }

    fn load(&mut self) {
        for at in (0..self.best.load.len()).rev() {
            let mut candidate = self.best.clone();
            candidate.load.remove(at);
            self.attempt(candidate);
        }
    }

    fn deployments(&mut self) {
        for at in (0..self.best.deployments.len()).rev() {
            let mut candidate = self.best.clone();
            let (name, _) = candidate.deployments.remove(at);
            candidate.load.retain(|load| !mentions(load, &name));
            candidate.steps.retain(|(_, fault)| !mentions(fault, &name));
            if !self.attempt(candidate) {
                let mut candidate = self.best.clone();
                candidate.deployments[at].1 = 1;
                self.attempt(candidate);
            }
        }
    }

    fn nodes(&mut self) {
        for nodes in [3, 2, 1] {
            if nodes < self.best.nodes {
                let candidate = with_nodes(&self.best, nodes);
                self.attempt(candidate);
            }
        }
        let zones = self.best.zones.min(self.best.nodes);
        for zones in [zones, 1] {
            let candidate = self.best.clone().zones(zones);
            self.attempt(candidate);
        }
    }

    fn weather(&mut self) {
        let calm = Weather::default();
        let candidate = self.best.clone().weather(calm);
        if self.attempt(candidate) {
            return;
        }
        let quieter: [fn(&mut Weather); 4] = [
            |weather| weather.lost_permille = 0,
            |weather| weather.doubled_permille = 0,
            |weather| weather.late_permille = 0,
            |weather| weather.skew_ms_max = 0,
        ];
        for quiet in quieter {
            let mut candidate = self.best.clone();
            quiet(&mut candidate.weather);
            self.attempt(candidate);
        }
    }

    fn length(&mut self) {
        let last = self.best.steps.last().map_or(Duration::ZERO, |(when, _)| *when);
        let shorter = self.best.load_for.min(last + AFTER_LAST);
        let candidate = self.best.clone().for_at_least(shorter);
        self.attempt(candidate);
    }
}

fn without(scenario: &Scenario, steps: &[usize]) -> Scenario {
    let mut smaller = scenario.clone();
    let mut at = 0;
    smaller.steps.retain(|_| {
        at += 1;
        !steps.contains(&(at - 1))
    });
    smaller
}

/// Whether after the last harm all links are healed and all nodes started.
fn is_mended(scenario: &Scenario) -> bool {
    let last_harm = scenario.steps.iter().rposition(|(_, fault)| !fault.mends());
    let Some(last_harm) = last_harm else { return true };
    let mut after = scenario.steps[last_harm..].iter().map(|(_, fault)| fault);
    let all_started = (0..scenario.nodes).all(|node| {
        let start = Fault::Restart(Who::Node(node));
        after.clone().any(|fault| *fault == start)
    });
    all_started && after.any(|fault| *fault == Fault::Heal)
}

/// The same with fewer nodes; what is done to the others is left out.
fn with_nodes(scenario: &Scenario, nodes: usize) -> Scenario {
    let mut smaller = scenario.clone();
    (smaller.nodes, smaller.zones) = (nodes, scenario.zones.min(nodes));
    smaller.steps.retain(|(_, fault)| match fault {
        Fault::OneWay(from, to) => *from < nodes && *to < nodes,
        other => !anywhere(&data(other), &|value| {
            value.get("Node").and_then(Value::as_u64).is_some_and(|node| node >= nodes as u64)
        }),
    });
    smaller
}

fn mentions(thing: &impl serde::Serialize, name: &str) -> bool {
    anywhere(&data(thing), &|value| value == name)
}

/// A step or a load as data. Looking there spares a list of all kinds of them.
fn data(thing: &impl serde::Serialize) -> Value {
    serde_json::to_value(thing).unwrap_or_default()
}

/// Whether some value within this one is so.
fn anywhere(value: &Value, is_so: &dyn Fn(&Value) -> bool) -> bool {
    is_so(value)
        || match value {
            Value::Array(items) => items.iter().any(|item| anywhere(item, is_so)),
            Value::Object(fields) => fields.values().any(|field| anywhere(field, is_so)),
            _ => false,
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{chats, ms, writes};
    use crate::swarm;

    /// Minimises with a failure that follows from the scenario alone; gives the number of tries too.
    fn smallest(start: &Scenario, check: Check, fails: impl Fn(&Scenario) -> bool) -> (Scenario, usize) {
        let mut tries = 0;
        assert!(fails(start));
        let best = minimise(start, check.name(), |candidate| {
            tries += 1;
            if fails(candidate) { Verdict::Same } else { Verdict::Other }
        });
        assert!(fails(&best));
        (best, tries)
    }

    fn kills(scenario: &Scenario) -> usize {
        scenario.steps.iter().filter(|(_, fault)| matches!(fault, Fault::Kill(_))).count()
    }

    #[test]
    fn two_faults_out_of_many_that_are_needed_together_remain() {
        let mut start = Scenario::nodes(5).deploy("tiny", 3).load(writes(9)).load(chats("tiny", 2));
        for at in 0..20 {
            let fault = if at % 9 == 4 { Fault::Kill(Who::Leader) } else { Fault::Pause(Who::Leader, ms(5)) };
            start = start.at(s(at), fault).at(s(at), Fault::Heal);
        }
        let (best, tries) = smallest(&start, Check::NoDuplicate, |scenario| kills(scenario) == 2);
        assert_eq!((best.steps.len(), best.nodes, best.deployments.len()), (2, 1, 0));
        assert!(best.load.is_empty() && best.load_for == s(18), "{best:?}");
        assert!(tries < 80, "{tries}");
    }

    #[test]
    fn what_mends_stays_where_recovery_is_what_fails() {
        let start = (0..500).map(swarm::scenario).find(|scenario| kills(scenario) > 0).unwrap();
        let (best, _) = smallest(&start, Check::Converges, |scenario| kills(scenario) > 0);
        assert_eq!(best.steps.iter().filter(|(_, fault)| !fault.mends()).count(), 1, "{best:?}");
        assert!(is_mended(&best), "{best:?}");
        let (best, _) = smallest(&start, Check::Linearizable, |scenario| kills(scenario) > 0);
        assert_eq!(best.steps.len(), 1);
    }

    #[test]
    fn nothing_remains_that_speaks_of_what_was_left_out() {
        let host = Fault::Kill(Who::HostOf("tiny".to_owned()));
        let start = Scenario::nodes(5).deploy("tiny", 1).load(chats("tiny", 1)).at(s(1), host);
        let start = start.at(s(2), Fault::OneWay(4, 0)).at(s(3), Fault::Kill(Who::Node(3)));
        let fewer = with_nodes(&start, 3);
        assert_eq!((fewer.steps.len(), fewer.zones), (1, 3));
        let (best, _) = smallest(&start, Check::OneLeader, |_| true);
        assert_eq!(best, Scenario { nodes: 1, zones: 1, load_for: s(5), ..Scenario::nodes(1) });
    }

    #[test]
    fn it_ends_when_there_is_no_more_time() {
        let start = swarm::scenario(1);
        let mut tries = 0;
        let best = minimise(&start, "one_leader", |_| {
            tries += 1;
            Verdict::Enough
        });
        assert_eq!((tries, best), (1, start));
    }
}
