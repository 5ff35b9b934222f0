//! A key's limit holds over the whole cluster: whoever was cut off or died, its nodes let no more calls through than it says.
//! It counts requests, for which nothing may be overspent.

use super::Evidence;
use crate::history::{Ended, What};
use crate::workload::LIMIT;

/// That more calls were answered than the limit allows.
pub(super) fn exceeded(evidence: &Evidence<'_>) -> Vec<String> {
    let answered = |what: &What| matches!(what, What::Limited { ended: Ended::Well });
    let through = evidence.entries.iter().filter(|entry| answered(&entry.what)).count() as u64;
    let told = format!("a key that may make {LIMIT} calls was answered {through}");
    (through > LIMIT).then_some(told).into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Entry, Outages};
    use crate::scenario::s;

    #[test]
    fn only_answered_calls_count() {
        let entry = |ended| Entry { node: 0, start: s(1), end: s(2), what: What::Limited { ended } };
        let mut entries: Vec<Entry> = (0..LIMIT).map(|_| entry(Ended::Well)).collect();
        entries.push(entry(Ended::Status(429)));
        let outages = Outages::default();
        let count = |entries: &[Entry]| exceeded(&Evidence { entries, outages: &outages, held: None }).len();
        assert_eq!(count(&entries), 0);
        entries.push(entry(Ended::Well));
        assert_eq!(count(&entries), 1);
    }
}
