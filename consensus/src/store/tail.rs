//! The newest entries of the log, in memory too: what a leader sends to its followers and what everyone applies was
//! appended a moment ago. It only ever shortens the way to what is on the disk; after a start it is empty.

use std::collections::VecDeque;

use openraft::EntryPayload;
use openraft::entry::RaftEntry;

use crate::raft::Entry;

/// So many entries are kept at most.
const ENTRIES_MAX: usize = 4_096;
/// About so many bytes.
const BYTES_MAX: usize = 8 * 1024 * 1024;
/// What an entry takes beside its command, roughly.
const ENTRY_BYTES: usize = 64;

/// Entries without a hole, up to the last of the log.
#[derive(Default)]
pub(crate) struct Tail {
    entries: VecDeque<Entry>,
    bytes: usize,
}

impl Tail {
    /// The entries of these indexes as far as there are any and as many as fit, one at least; nothing if the disk has to be
    /// asked.
    pub(crate) fn read(&self, from: u64, to: u64, bytes_max: usize) -> Option<Vec<Entry>> {
        let first = self.entries.front()?.index();
        let skip = usize::try_from(from.checked_sub(first)?).ok()?;
        let (mut found, mut bytes) = (Vec::new(), 0);
        for entry in self.entries.iter().skip(skip) {
            if entry.index() > to || bytes >= bytes_max {
                break;
            }
            bytes += size(entry);
            found.push(entry.clone());
        }
        Some(found)
    }

    /// Adds what was appended to the log.
    pub(crate) fn append(&mut self, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(RaftEntry::index) else { return };
        self.truncate(first);
        if self.entries.back().is_some_and(|last| last.index() + 1 != first) {
            self.clear();
        }
        self.bytes += entries.iter().map(size).sum::<usize>();
        self.entries.extend(entries);
        while self.entries.len() > ENTRIES_MAX || self.bytes > BYTES_MAX {
            self.drop_first();
        }
    }

    /// Forgets the entries from this index on.
    pub(crate) fn truncate(&mut self, from: u64) {
        while self.entries.back().is_some_and(|last| last.index() >= from) {
            if let Some(last) = self.entries.pop_back() {
                self.bytes -= size(&last);
            }
        }
    }

    /// Forgets the entries before this index.
    pub(crate) fn purge(&mut self, upto: u64) {
        while self.entries.front().is_some_and(|first| first.index() < upto) {
            self.drop_first();
        }
    }

    fn drop_first(&mut self) {
        if let Some(first) = self.entries.pop_front() {
            self.bytes -= size(&first);
        }
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}

fn size(entry: &Entry) -> usize {
    match &entry.payload {
        EntryPayload::Normal(record) => ENTRY_BYTES + record.len(),
        EntryPayload::Blank | EntryPayload::Membership(_) => ENTRY_BYTES,
    }
}

#[cfg(test)]
mod tests {
    use openraft::vote::RaftLeaderId;

    use super::*;
    use crate::raft::LogId;

    fn entries(indexes: std::ops::RangeInclusive<u64>) -> Vec<Entry> {
        let leader = openraft::impls::leader_id_std::LeaderId::new(1, 1).to_committed();
        indexes.map(|index| Entry::new_blank(LogId::new(leader, index))).collect()
    }

    fn read(tail: &Tail, from: u64, to: u64) -> Option<Vec<u64>> {
        Some(tail.read(from, to, usize::MAX)?.iter().map(RaftEntry::index).collect())
    }

    #[test]
    fn it_gives_what_it_has_and_leaves_the_rest_to_the_disk() {
        let mut tail = Tail::default();
        assert_eq!(read(&tail, 1, 9), None);
        tail.append(entries(5..=9));
        assert_eq!(read(&tail, 4, 6), None);
        assert_eq!(read(&tail, 6, 7), Some(vec![6, 7]));
        assert_eq!(read(&tail, 8, 20), Some(vec![8, 9]));
        assert_eq!(read(&tail, 10, 20), Some(vec![]));
        assert_eq!(tail.read(5, 9, 1).map(|found| found.len()), Some(1), "one at least");
    }

    #[test]
    fn what_was_cut_off_or_overwritten_is_not_there_any_more() {
        let mut tail = Tail::default();
        tail.append(entries(5..=9));
        tail.truncate(8);
        assert_eq!(read(&tail, 5, 9), Some(vec![5, 6, 7]));
        tail.append(entries(7..=8));
        assert_eq!(read(&tail, 5, 9), Some(vec![5, 6, 7, 8]));
        tail.purge(7);
        assert_eq!((read(&tail, 6, 9), read(&tail, 7, 9)), (None, Some(vec![7, 8])));
        tail.append(entries(20..=21));
        assert_eq!((read(&tail, 8, 9), read(&tail, 20, 21)), (None, Some(vec![20, 21])));
        tail.purge(30);
        assert_eq!((read(&tail, 20, 21), tail.bytes), (None, 0));
    }

    #[test]
    fn it_stays_small() {
        let mut tail = Tail::default();
        tail.append(entries(1..=2 * ENTRIES_MAX as u64));
        assert_eq!(tail.entries.len(), ENTRIES_MAX);
    }
}
