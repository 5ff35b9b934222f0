//! What must hold after a run, beyond what the simulator's judges say of the clients' record: every node holds the same,
//! nobody ended or panicked unasked, and the run tried at all what it is about. It only looks.

use sim::history::{Ended, Entry, Outages, What, Wrote};
use sim::invariants::{Evidence, Violation, judge};
use sim::scenario::{Check, Load, Scenario};
use sim::workload::operator::Held;

/// What a run left behind.
pub(crate) struct Remains<'a> {
    /// What clients did and saw.
    pub(crate) entries: &'a [Entry],
    /// When nodes were not there.
    pub(crate) outages: &'a Outages,
    /// What each node holds in the end; `None` when it could not be read.
    pub(crate) held: &'a [Option<Held>],
    /// Ends that nobody asked for.
    pub(crate) surprises: &'a [String],
    /// Lines of logs that tell a panic.
    pub(crate) panics: &'a [String],
}

/// Judges a run.
pub(crate) fn verdict(scenario: &Scenario, remains: &Remains<'_>) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut tell = |check, what| violations.push(Violation { check, what });
    remains.surprises.iter().for_each(|what| tell(Check::NoPanic, what.clone()));
    remains.panics.iter().for_each(|what| tell(Check::NoPanic, what.clone()));
    differing(remains.held).into_iter().for_each(|what| tell(Check::Converges, what));
    untried(scenario, remains.entries).into_iter().for_each(|what| tell(Check::Converges, what));
    for held in distinct(remains.held) {
        let evidence = Evidence { entries: remains.entries, outages: remains.outages, held: Some(held) };
        violations.extend(judge(&scenario.always, &evidence));
    }
    if remains.held.iter().all(Option::is_none) {
        let evidence = Evidence { entries: remains.entries, outages: remains.outages, held: None };
        violations.extend(judge(&scenario.always, &evidence));
    }
    let mut told: Vec<Violation> = Vec::new();
    for violation in violations {
        if !told.contains(&violation) {
            told.push(violation);
        }
    }
    told
}

/// What was read, each variant once: where nodes differ, each is judged.
fn distinct(held: &[Option<Held>]) -> Vec<&Held> {
    let mut distinct: Vec<&Held> = Vec::new();
    for one in held.iter().flatten() {
        if !distinct.contains(&one) {
            distinct.push(one);
        }
    }
    distinct
}

/// Nodes that could not be read, or hold something else than the first.
fn differing(held: &[Option<Held>]) -> Vec<String> {
    let Some((first, reference)) = held.iter().enumerate().find_map(|(n, h)| Some((n, h.as_ref()?))) else {
        return vec!["no node tells what it holds".to_owned()];
    };
    let tell = |(number, one): (usize, &Option<Held>)| match one {
        None => Some(format!("node {number} does not tell what it holds")),
        Some(one) if one != reference => {
            let counts = (reference.keys.values().sum::<u32>(), one.keys.values().sum::<u32>());
            Some(format!("node {first} lists {} keys, node {number} other {}", counts.0, counts.1))
        }
        Some(_) => None,
    };
    held.iter().enumerate().filter_map(tell).collect()
}

/// Load of which not one succeeded: then nothing was shown.
fn untried(scenario: &Scenario, entries: &[Entry]) -> Vec<String> {
    let any = |test: &dyn Fn(&What) -> bool| entries.iter().any(|entry| test(&entry.what));
    let untried = |load: &Load| match load {
        Load::Writes(_) => (!any(&|what| acknowledged(what))).then_some("no write was acknowledged"),
        Load::Reads(_) => (!any(&|what| matches!(what, What::Get { .. }))).then_some("no read was answered"),
        Load::Chats(..) => (!any(&|what| matches!(what, What::Chat { ended: Ended::Well, .. })))
            .then_some("no chat was answered"),
        Load::Probes(..) => (!any(&|what| matches!(what, What::Probe(probe) if probe.degraded)))
            .then_some("no node was seen degraded"),
        Load::Limited(..) => (!any(&|what| matches!(what, What::Limited { ended: Ended::Well, .. })))
            .then_some("no call of a limited key was answered"),
        Load::Streams(..) => (!any(&|what| matches!(what, What::Stream { ended: Ended::Well, .. })))
            .then_some("no stream ended well"),
    };
    scenario.load.iter().filter_map(untried).map(str::to_owned).collect()
}

/// Whether a change was acknowledged.
pub(crate) fn acknowledged(what: &What) -> bool {
    match what {
        What::Create { wrote, .. } | What::Revoke { wrote, .. } | What::Put { wrote, .. } => {
            *wrote == Wrote::Acknowledged
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim::scenario::{s, writes};

    fn held(keys: &[(&str, u32)]) -> Held {
        let keys = keys.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        Held { keys, ..Held::default() }
    }

    fn created(name: &str) -> Entry {
        let what = What::Create { name: name.to_owned(), wrote: Wrote::Acknowledged };
        Entry { node: 0, start: s(1), end: s(2), what }
    }

    fn judged(entries: &[Entry], held: &[Option<Held>], surprises: &[String]) -> Vec<String> {
        let scenario = Scenario::nodes(2).load(writes(1));
        let outages = Outages::default();
        let remains = Remains { entries, outages: &outages, held, surprises, panics: &[] };
        verdict(&scenario, &remains).into_iter().map(|v| format!("{}: {}", v.check.name(), v.what)).collect()
    }

    #[test]
    fn a_write_that_is_missing_on_one_node_only_is_lost() {
        let all = Some(held(&[("key-a", 1)]));
        assert!(judged(&[created("key-a")], &[all.clone(), all.clone()], &[]).is_empty());
        let told = judged(&[created("key-a")], &[all, Some(held(&[]))], &[]);
        assert_eq!(told.len(), 2, "{told:?}");
        assert_eq!(told[0], "converges: node 0 lists 1 keys, node 1 other 0");
        assert!(told[1].starts_with("no_write_lost: "), "{told:?}");
    }

    #[test]
    fn a_node_that_cannot_be_read_or_ended_unasked_is_told() {
        let all = Some(held(&[("key-a", 1)]));
        let told = judged(&[created("key-a")], &[all, None], &["n2 ended by itself".to_owned()]);
        assert_eq!(told, ["no_panic: n2 ended by itself", "converges: node 1 does not tell what it holds"]);
    }

    #[test]
    fn a_run_in_which_nothing_succeeded_shows_nothing() {
        let told = judged(&[], &[Some(held(&[])), Some(held(&[]))], &[]);
        assert_eq!(told, ["converges: no write was acknowledged"]);
    }
}
