//! Whether there is an order of all reads and writes of a register that explains what each read saw and respects what ended
//! before what began. Each value is written once, which makes the question easy (Gibbons and Korach, "Testing shared
//! memories", 1997): a value and its reads are one cluster, every cluster claims a zone of time, and only zones that get in
//! each other's way have no order. The verdict is exact and costs one sort. A write of unknown outcome whose value nobody
//! read may as well not have happened, and is left out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::shown;
use crate::history::{Entry, What, Wrote};

/// A value of a register, `None` before its first write, with all that was seen of it.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    value: Option<u64>,
    /// When its write began; `None` as long as no write of it is known.
    written: Option<Duration>,
    /// Whether its write was refused, so that nobody should read it.
    refused: bool,
    read: bool,
    /// The earliest end and the latest start of its operations. Where the end comes first, the register held the value all
    /// the time between them (a forward zone); else one moment between them is enough (a backward zone). The end is `None`
    /// for what was there before all operations.
    end: Option<Duration>,
    start: Duration,
    /// The earliest end of its reads.
    read_end: Duration,
}

impl Cluster {
    fn new(value: Option<u64>) -> Self {
        let (end, start) = (Some(Duration::MAX), Duration::ZERO);
        Self { value, written: None, refused: false, read: false, end, start, read_end: Duration::MAX }
    }

    fn saw(&mut self, start: Duration, end: Duration) {
        self.start = self.start.max(start);
        self.end = self.end.min(Some(end));
    }

    fn is_forward(&self) -> bool {
        self.end < Some(self.start)
    }

    fn since(&self) -> String {
        self.end.map_or_else(|| "the beginning".to_owned(), shown)
    }

    fn named(&self) -> String {
        self.value.map_or_else(|| "nothing".to_owned(), |value| value.to_string())
    }

    /// What is wrong with it already by itself.
    fn fault(&self) -> Option<String> {
        match self.written {
            _ if self.refused => Some(format!("read as {}, whose writing was refused", self.named())),
            None => Some(format!("read as {}, which nobody wrote", self.named())),
            Some(start) if self.read_end < start => {
                let (read, start) = (shown(self.read_end), shown(start));
                Some(format!("read as {} by {read}, whose write began at {start}", self.named()))
            }
            Some(_) => None,
        }
    }
}

/// Registers whose history nothing explains.
pub(super) fn broken(entries: &[Entry]) -> Vec<String> {
    let mut broken = Vec::new();
    for (register, clusters) in clusters(entries) {
        let faults: Vec<String> = clusters.iter().filter_map(Cluster::fault).collect();
        let found = if faults.is_empty() { conflict(&clusters).into_iter().collect() } else { faults };
        broken.extend(found.into_iter().map(|what| format!("{register} was {what}")));
    }
    broken
}

/// The values of each register that count: those that were certainly written, and those that were read.
fn clusters(entries: &[Entry]) -> BTreeMap<&str, Vec<Cluster>> {
    let mut registers: BTreeMap<&str, BTreeMap<Option<u64>, Cluster>> = BTreeMap::new();
    for Entry { start, end, what, .. } in entries {
        let (register, value) = match what {
            What::Get { register, value } => (register, *value),
            What::Put { register, value, .. } => (register, Some(*value)),
            _ => continue,
        };
        let values = registers.entry(register).or_default();
        let cluster = values.entry(value).or_insert_with(|| Cluster::new(value));
        match what {
            What::Put { wrote: Wrote::Acknowledged, .. } => {
                cluster.written = Some(*start);
                cluster.saw(*start, *end);
            }
            What::Put { wrote: Wrote::Unknown, .. } => {
                cluster.written = Some(*start);
                cluster.saw(*start, Duration::MAX);
            }
            What::Put { wrote: Wrote::NotDone | Wrote::Rejected(_), .. } => cluster.refused = true,
            _ => {
                cluster.read = true;
                cluster.read_end = cluster.read_end.min(*end);
                cluster.saw(*start, *end);
                if value.is_none() {
                    cluster.written = Some(Duration::ZERO);
                    cluster.end = None;
                }
            }
        }
    }
    let counts =
        |cluster: &Cluster| cluster.read || (cluster.written.is_some() && cluster.end < Some(Duration::MAX));
    registers
        .into_iter()
        .map(|(register, values)| (register, values.into_values().filter(counts).collect()))
        .collect()
}

/// Two values that cannot both have been there: two forward zones that overlap, or a backward zone inside a forward one.
fn conflict(clusters: &[Cluster]) -> Option<String> {
    let mut forward: Vec<&Cluster> = clusters.iter().filter(|cluster| cluster.is_forward()).collect();
    forward.sort_by_key(|zone| (zone.end, zone.start));
    if let Some(pair) = forward.windows(2).find(|pair| pair[1].end < Some(pair[0].start)) {
        return Some(format!(
            "{} from {} to {} and yet {} from {} to {}",
            pair[0].named(),
            pair[0].since(),
            shown(pair[0].start),
            pair[1].named(),
            pair[1].since(),
            shown(pair[1].start),
        ));
    }
    // Forward zones lie apart here, so that only the last to begin before a backward zone can hold it.
    clusters.iter().filter(|cluster| !cluster.is_forward()).find_map(|inner| {
        let at = forward.partition_point(|outer| outer.end < Some(inner.start));
        let outer = forward[..at].last()?;
        (inner.end < Some(outer.start)).then(|| {
            let (from, to) = (outer.since(), shown(outer.start));
            let (start, end) = (shown(inner.start), inner.since());
            let (outer, inner) = (outer.named(), inner.named());
            format!("{outer} from {from} to {to} and yet {inner} between {start} and {end}")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::s;

    fn put(start: u64, end: u64, value: u64, wrote: Wrote) -> Entry {
        let what = What::Put { register: "r".to_owned(), value, wrote };
        Entry { node: 0, start: s(start), end: s(end), what }
    }
    fn get(start: u64, end: u64, value: Option<u64>) -> Entry {
        Entry { node: 0, start: s(start), end: s(end), what: What::Get { register: "r".to_owned(), value } }
    }
    use Wrote::{Acknowledged, NotDone, Unknown};

    #[test]
    fn overlapping_operations_may_be_seen_in_either_order() {
        let one = [put(1, 5, 1, Acknowledged), get(2, 3, Some(1)), get(2, 4, None), get(6, 7, Some(1))];
        assert_eq!(broken(&one), [""; 0]);
    }

    #[test]
    fn a_stale_read_is_told() {
        let stale = [put(1, 2, 1, Acknowledged), put(3, 4, 2, Acknowledged), get(5, 6, Some(1))];
        assert_eq!(broken(&stale).len(), 1);
        let back = [put(1, 9, 1, Unknown), get(2, 3, Some(1)), get(4, 5, None)];
        assert_eq!(broken(&back).len(), 1);
    }

    #[test]
    fn a_write_of_unknown_outcome_may_happen_late_or_never() {
        let late =
            [put(1, 2, 1, Unknown), put(3, 4, 2, Acknowledged), get(5, 6, Some(2)), get(7, 8, Some(1))];
        assert_eq!(broken(&late), [""; 0]);
        let never = [put(1, 2, 1, Unknown), get(3, 4, None), get(5, 6, None)];
        assert_eq!(broken(&never), [""; 0]);
    }

    #[test]
    fn a_value_whose_write_was_refused_is_a_ghost() {
        let ghost = broken(&[put(1, 2, 1, NotDone), get(3, 4, Some(1))]);
        assert!(ghost[0].contains("refused"), "{ghost:?}");
    }

    #[test]
    fn a_value_that_nobody_wrote_or_not_yet_is_told() {
        let invented = broken(&[get(3, 4, Some(7))]);
        assert!(invented[0].contains("nobody wrote"), "{invented:?}");
        let early = broken(&[get(1, 2, Some(7)), put(3, 4, 7, Acknowledged)]);
        assert!(early[0].contains("began at"), "{early:?}");
    }

    /// Tries every order: what the zones are held against.
    fn has_an_order(left: &[Entry], value: Option<u64>) -> bool {
        let certain = |entry: &Entry| !matches!(entry.what, What::Put { wrote: Unknown, .. });
        let end = |entry: &Entry| if certain(entry) { entry.end } else { Duration::MAX };
        let Some(soonest) = left.iter().map(end).min() else { return true };
        if !left.iter().any(certain) {
            return true;
        }
        (0..left.len()).filter(|at| left[*at].start <= soonest).any(|at| {
            let next = match &left[at].what {
                What::Put { value, .. } => Some(*value),
                What::Get { value: seen, .. } if *seen == value => value,
                _ => return false,
            };
            let mut rest = left.to_vec();
            rest.remove(at);
            has_an_order(&rest, next)
        })
    }

    proptest::proptest! {
        #[test]
        fn the_verdict_is_that_of_trying_every_order(
            ops in proptest::collection::vec((0_u64..12, 0_u64..6, 0_u8..5, 0_u64..4), 1..8)
        ) {
            let mut entries = Vec::new();
            for (n, (start, length, kind, value)) in ops.into_iter().enumerate() {
                let end = start + length;
                let mine = u64::try_from(n).unwrap();
                entries.push(match kind {
                    0 | 1 => put(start, end, mine, Acknowledged),
                    2 => put(start, end, mine, Unknown),
                    3 => get(start, end, Some(value)),
                    _ => get(start, end, None),
                });
            }
            proptest::prop_assert_eq!(broken(&entries).is_empty(), has_an_order(&entries, None));
        }
    }

    #[test]
    fn a_long_busy_history_is_explained_quickly() {
        let mut entries = Vec::new();
        for n in 0..600 {
            entries.push(put(10 * n, 10 * n + 14, n, Acknowledged));
            entries.push(get(10 * n + 15, 10 * n + 19, Some(n)));
        }
        assert_eq!(broken(&entries), [""; 0]);
    }
}
