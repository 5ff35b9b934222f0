//! A key's limit holds over the whole cluster: whoever was cut off or died, its nodes let no more calls through than it says.
//! One key's counts requests, the other's money, of which no call takes more than was reserved for it: nothing may be overspent.

use domain::limit::Unit;

use super::Evidence;
use crate::history::{Ended, What};
use crate::workload::{LIMIT, PAID};

/// That more calls were answered than a limit allows, or that they wrote more tokens than there was money for.
pub(super) fn exceeded(evidence: &Evidence<'_>) -> Vec<String> {
    let (mut calls, mut paid) = (0, 0);
    for entry in evidence.entries {
        match &entry.what {
            What::Limited { by: Unit::Money, tokens, ended: Ended::Well } => paid += tokens,
            What::Limited { ended: Ended::Well, .. } => calls += 1,
            _ => {}
        }
    }
    let mut found = Vec::new();
    if calls > LIMIT {
        found.push(format!("a key that may make {LIMIT} calls was answered {calls}"));
    }
    if paid > PAID {
        found.push(format!("a key with money for {PAID} tokens was written {paid}"));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Entry, Outages};
    use crate::scenario::s;

    fn entry(by: Unit, ended: Ended) -> Entry {
        Entry { node: 0, start: s(1), end: s(2), what: What::Limited { by, tokens: 4, ended } }
    }

    fn count(entries: &[Entry]) -> usize {
        exceeded(&Evidence { entries, outages: &Outages::default(), held: None }).len()
    }

    #[test]
    fn only_answered_calls_count() {
        for (by, allowed) in [(Unit::Requests, LIMIT), (Unit::Money, PAID / 4)] {
            let mut entries: Vec<Entry> = (0..allowed).map(|_| entry(by, Ended::Well)).collect();
            entries.push(entry(by, Ended::Status(429)));
            assert_eq!(count(&entries), 0);
            entries.push(entry(by, Ended::Well));
            assert_eq!(count(&entries), 1);
        }
    }
}
