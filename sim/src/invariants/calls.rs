//! Calls of models: every stream ends, nothing hangs, and where the scenario says so, no chat fails.

use super::{Evidence, shown};
use crate::history::{Ended, Entry, What};

/// Streams that ended as if all were well but were not whole.
pub(super) fn unended(evidence: &Evidence<'_>) -> Vec<String> {
    let cut = |entry: &&Entry| match &entry.what {
        What::Stream { ended: Ended::Truncated, .. } | What::Chat { ended: Ended::Truncated, .. } => true,
        // A node that stays up owes an end that says how it ended: it may not just drop the connection.
        What::Stream { ended: Ended::Broken, .. } | What::Chat { ended: Ended::Broken, .. } => {
            evidence.outages.was_up(entry.node, entry.start, entry.end)
        }
        _ => false,
    };
    evidence.entries.iter().filter(cut).map(tell).collect()
}

/// Requests that outlived their deadline on a node that was up.
pub(super) fn hung(evidence: &Evidence<'_>) -> Vec<String> {
    let hung = |entry: &&Entry| {
        let hung = matches!(
            &entry.what,
            What::Hang { .. }
                | What::Chat { ended: Ended::Hung, .. }
                | What::Stream { ended: Ended::Hung, .. }
                | What::Limited { ended: Ended::Hung, .. }
        );
        hung && evidence.outages.was_up(entry.node, entry.start, entry.end)
    };
    evidence.entries.iter().filter(hung).map(tell).collect()
}

/// Chats that a node which stayed up did not answer well.
pub(super) fn failed(evidence: &Evidence<'_>) -> Vec<String> {
    let failed = |entry: &&Entry| {
        let failed = matches!(&entry.what, What::Chat { ended, .. } if *ended != Ended::Well);
        failed && evidence.outages.was_up(entry.node, entry.start, entry.end)
    };
    evidence.entries.iter().filter(failed).map(tell).collect()
}

fn tell(entry: &Entry) -> String {
    format!("node {} from {} to {}: {:?}", entry.node, shown(entry.start), shown(entry.end), entry.what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::Outages;
    use crate::scenario::s;

    #[test]
    fn a_broken_stream_is_the_fault_of_a_node_that_stayed_up_only() {
        let what = What::Stream { model: "m".to_owned(), ended: Ended::Broken, pieces: 3 };
        let entries = [Entry { node: 1, start: s(1), end: s(3), what }];
        let mut outages = Outages::default();
        let evidence = Evidence { entries: &entries, outages: &outages, held: None };
        assert_eq!(unended(&evidence).len(), 1);
        outages.begin(1, s(2));
        let evidence = Evidence { entries: &entries, outages: &outages, held: None };
        assert!(unended(&evidence).is_empty());
    }
}
