//! A degraded node does what it declares: it serves models and reads, and acknowledges no change.

use super::{Evidence, shown};
use crate::history::{Entry, What};

/// What a change may be answered where there is no majority: refused, or its fate unknown.
const CHANGE: &[&str] = &["503 no_quorum", "504 outcome_unknown"];

/// Probes of degraded nodes that went otherwise than declared.
pub(super) fn broken(evidence: &Evidence<'_>) -> Vec<String> {
    evidence.entries.iter().filter_map(|entry| otherwise(evidence, entry)).collect()
}

fn otherwise(evidence: &Evidence<'_>, entry: &Entry) -> Option<String> {
    let What::Probe(probe) = &entry.what else { return None };
    if !probe.degraded || !evidence.outages.was_up(entry.node, entry.start, entry.end) {
        return None;
    }
    let declared = probe.chat == "200" && probe.read == "200" && CHANGE.contains(&probe.change.as_str());
    (!declared).then(|| {
        format!(
            "node {} was degraded from {} to {}: {probe:?}",
            entry.node,
            shown(entry.start),
            shown(entry.end)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Outages, Probe};
    use crate::scenario::s;

    #[test]
    fn only_a_degraded_node_that_was_up_is_held_to_the_table() {
        let probe = |degraded, chat: &str, change: &str| {
            let what =
                Probe { degraded, chat: chat.to_owned(), read: "200".to_owned(), change: change.to_owned() };
            Entry { node: 1, start: s(1), end: s(2), what: What::Probe(what) }
        };
        let entries = [
            probe(true, "200", "503 no_quorum"),
            probe(true, "200", "200"),
            probe(true, "503 no_target", "504 outcome_unknown"),
            probe(false, "503 no_target", "200"),
        ];
        let mut outages = Outages::default();
        let count = |outages: &Outages| broken(&Evidence { entries: &entries, outages, held: None }).len();
        assert_eq!(count(&outages), 2);
        outages.begin(1, s(0));
        assert_eq!(count(&outages), 0);
    }
}
