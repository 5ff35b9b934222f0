//! Changes of metadata: what was acknowledged is there, nothing is there twice, nothing is there that was not done.

use std::collections::BTreeMap;

use super::Evidence;
use crate::history::{What, Wrote};

/// What became of a key as its client knows.
#[derive(Default)]
struct Fate<'a> {
    created: Option<&'a Wrote>,
    revoked: Option<&'a Wrote>,
}

fn fates<'a>(evidence: &'a Evidence<'_>) -> BTreeMap<&'a str, Fate<'a>> {
    let mut fates: BTreeMap<&str, Fate<'_>> = BTreeMap::new();
    for entry in evidence.entries {
        match &entry.what {
            What::Create { name, wrote } => fates.entry(name).or_default().created = Some(wrote),
            What::Revoke { name, wrote } => fates.entry(name).or_default().revoked = Some(wrote),
            _ => {}
        }
    }
    fates
}

/// Acknowledged changes that are not there.
pub(super) fn lost(evidence: &Evidence<'_>) -> Vec<String> {
    let Some(held) = evidence.held else { return Vec::new() };
    let mut lost = Vec::new();
    for (name, fate) in fates(evidence) {
        let there = held.keys.get(name).copied().unwrap_or(0);
        match (fate.created, fate.revoked) {
            (Some(Wrote::Acknowledged), None | Some(Wrote::NotDone)) if there == 0 => {
                lost.push(format!("the creation of {name} was acknowledged, but it is not there"));
            }
            (Some(Wrote::Acknowledged), Some(Wrote::Acknowledged)) if there > 0 => {
                lost.push(format!("the revocation of {name} was acknowledged, but it is there"));
            }
            (Some(Wrote::Acknowledged), Some(Wrote::Rejected(status))) => {
                lost.push(format!("{name} was created, but its revocation was refused with {status}"));
            }
            _ => {}
        }
    }
    for entry in evidence.entries {
        if let What::Put { register, wrote: Wrote::Acknowledged, .. } = &entry.what
            && !held.providers.contains(register)
        {
            lost.push(format!("{register} was written, but it is not there"));
        }
    }
    lost
}

/// Changes that happened twice, or that happened although they were refused.
pub(super) fn doubled(evidence: &Evidence<'_>) -> Vec<String> {
    let Some(held) = evidence.held else { return Vec::new() };
    let fates = fates(evidence);
    let mut doubled = Vec::new();
    for (name, there) in held.keys.iter().filter(|(name, _)| name.starts_with("key-")) {
        let created = fates.get(name.as_str()).and_then(|fate| fate.created);
        if *there > 1 {
            doubled.push(format!("{name} is there {there} times"));
        }
        match created {
            Some(Wrote::NotDone | Wrote::Rejected(_)) => {
                doubled.push(format!("{name} is there, but its creation was refused: {created:?}"));
            }
            None => doubled.push(format!("{name} is there, but nobody created it")),
            _ => {}
        }
    }
    doubled
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Entry, Outages};
    use crate::scenario::s;
    use crate::workload::operator::Held;

    fn entry(what: What) -> Entry {
        Entry { node: 0, start: s(1), end: s(2), what }
    }

    #[test]
    fn a_lost_a_doubled_and_a_ghost_key_are_told() {
        let create = |name: &str, wrote| entry(What::Create { name: name.to_owned(), wrote });
        let entries = [
            create("key-a", Wrote::Acknowledged),
            create("key-b", Wrote::Unknown),
            create("key-c", Wrote::NotDone),
            create("key-d", Wrote::Unknown),
        ];
        let counts = [("key-b", 2), ("key-c", 1), ("admin", 1)];
        let keys = counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let held = Held { keys, ..Held::default() };
        let outages = Outages::default();
        let evidence = Evidence { entries: &entries, outages: &outages, held: Some(&held) };
        assert_eq!(lost(&evidence), ["the creation of key-a was acknowledged, but it is not there"]);
        let told = doubled(&evidence);
        assert_eq!(told.len(), 2, "{told:?}");
        assert!(told[0].starts_with("key-b is there 2 times") && told[1].starts_with("key-c"), "{told:?}");
    }
}
