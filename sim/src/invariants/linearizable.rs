//! Whether there is an order of all reads and writes of a register that explains what each read saw and respects what ended
//! before what began: Wing and Gong's search, with Lowe's memory of what was tried. Values are used once, so a write of
//! unknown outcome whose value nobody read may as well not have happened, and is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::shown;
use crate::history::{Entry, What, Wrote};

/// How much is tried for one register before the search gives up without a verdict.
const STATES_MAX: usize = 400_000;

/// One operation on a register. Writes of unknown outcome may take effect at any time after their start.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Op {
    start: Duration,
    end: Duration,
    write: bool,
    value: Option<u64>,
}

/// Registers whose history nothing explains.
pub(super) fn broken(entries: &[Entry]) -> Vec<String> {
    let mut broken = Vec::new();
    for (register, (ops, ghosts)) in histories(entries) {
        broken.extend(
            ghosts.iter().map(|value| format!("{register} was read as {value}, whose writing was refused")),
        );
        match explain(&ops) {
            Verdict::Explained => {}
            Verdict::Open => tracing::warn!(register, ops = ops.len(), "too much to try: no verdict"),
            Verdict::Broken(stuck) => broken.push(format!(
                "{register}: no order of its {} operations explains {} of {:?} from {} to {}",
                ops.len(),
                if stuck.write { "the write" } else { "the read" },
                stuck.value,
                shown(stuck.start),
                shown(stuck.end),
            )),
        }
    }
    broken
}

type History = (Vec<Op>, Vec<u64>);

/// The operations of each register by start, and values that were read though refused.
fn histories(entries: &[Entry]) -> BTreeMap<&str, History> {
    let mut seen: BTreeSet<(&str, u64)> = BTreeSet::new();
    for entry in entries {
        if let What::Get { register, value: Some(value) } = &entry.what {
            seen.insert((register, *value));
        }
    }
    let mut histories: BTreeMap<&str, History> = BTreeMap::new();
    for Entry { start, end, what, .. } in entries {
        let op = |end, write, value| Op { start: *start, end, write, value };
        match what {
            What::Get { register, value } => {
                histories.entry(register).or_default().0.push(op(*end, false, *value));
            }
            What::Put { register, value, wrote } => {
                let history = histories.entry(register).or_default();
                let read = seen.contains(&(register.as_str(), *value));
                match wrote {
                    Wrote::Acknowledged => history.0.push(op(*end, true, Some(*value))),
                    Wrote::Unknown if read => history.0.push(op(Duration::MAX, true, Some(*value))),
                    Wrote::NotDone | Wrote::Rejected(_) if read => history.1.push(*value),
                    _ => {}
                }
            }
            _ => {}
        }
    }
    histories.values_mut().for_each(|(ops, _)| ops.sort_by_key(|op| (op.start, op.end)));
    histories
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Explained,
    Open,
    /// The earliest operation that no order got past.
    Broken(Op),
}

/// One point of the search: what is in order already, and the value then.
struct Point {
    done: Vec<u64>,
    first: usize,
    value: Option<u64>,
    /// Operations that may come next and were not tried yet.
    next: Vec<usize>,
}

fn explain(ops: &[Op]) -> Verdict {
    let start = Point { done: vec![0; ops.len().div_ceil(64)], first: 0, value: None, next: Vec::new() };
    let mut tried = BTreeSet::new();
    let mut furthest = 0;
    let mut path = vec![expand(ops, start)];
    while let Some(point) = path.last_mut() {
        if point.first == ops.len() {
            return Verdict::Explained;
        }
        furthest = furthest.max(point.first);
        let Some(choice) = point.next.pop() else {
            path.pop();
            continue;
        };
        let mut done = point.done.clone();
        done[choice / 64] |= 1 << (choice % 64);
        let value = if ops[choice].write { ops[choice].value } else { point.value };
        if !tried.insert((done.clone(), value)) {
            continue;
        }
        if tried.len() > STATES_MAX {
            return Verdict::Open;
        }
        let first = point.first;
        path.push(expand(ops, Point { done, first, value, next: Vec::new() }));
    }
    Verdict::Broken(ops[furthest].clone())
}

/// Finds what may come next: whatever is not in order yet and began before the first of those ended.
fn expand(ops: &[Op], mut point: Point) -> Point {
    let is_done = |done: &[u64], at: usize| done[at / 64] & (1 << (at % 64)) != 0;
    while point.first < ops.len() && is_done(&point.done, point.first) {
        point.first += 1;
    }
    let mut soonest = Duration::MAX;
    for (at, op) in ops.iter().enumerate().skip(point.first) {
        if op.start > soonest {
            break;
        }
        if is_done(&point.done, at) {
            continue;
        }
        soonest = soonest.min(op.end);
        if op.write || op.value == point.value {
            point.next.push(at);
        }
    }
    // What began after the soonest end may not come first; it was pushed before that end was known.
    point.next.retain(|at| ops[*at].start <= soonest);
    // The last is tried first: let that be the one that ends first.
    point.next.sort_by_key(|at| std::cmp::Reverse(ops[*at].end));
    point
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
    fn a_long_busy_history_is_explained_quickly() {
        let mut entries = Vec::new();
        for n in 0..600 {
            entries.push(put(10 * n, 10 * n + 14, n, Acknowledged));
            entries.push(get(10 * n + 15, 10 * n + 19, Some(n)));
        }
        assert_eq!(broken(&entries), [""; 0]);
    }
}
