//! The lines of a queue: one for each priority, in which callers take turns.

use std::collections::{BTreeMap, VecDeque};

use super::Ticket;
use crate::ids::{KeyId, Millis};

/// All that wait. As long as the queue lets it be: nothing here bounds it.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines {
    /// By priority; none is empty.
    lines: BTreeMap<i32, Line>,
    waiters: BTreeMap<Ticket, Waiter>,
}

#[derive(Debug, Clone)]
struct Waiter {
    caller: KeyId,
    priority: i32,
    until: Millis,
}

#[derive(Debug, Clone, Default)]
struct Line {
    /// Whose turn it is; each caller that waits is in it once.
    turns: VecDeque<KeyId>,
    /// What each of them waits for, the oldest first.
    of: BTreeMap<KeyId, VecDeque<Ticket>>,
}

impl Line {
    /// Who waits for most, and with how many calls.
    fn longest(&self) -> Option<(KeyId, usize)> {
        let lengths = self.of.iter().map(|(caller, tickets)| (tickets.len(), *caller));
        lengths.max().map(|(length, caller)| (caller, length))
    }

    fn newest(&self, caller: KeyId) -> Option<Ticket> {
        self.of.get(&caller)?.back().copied()
    }

    fn waits(&self, caller: KeyId) -> usize {
        self.of.get(&caller).map_or(0, VecDeque::len)
    }
}

impl Lines {
    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    /// How many go before a new call of this caller, if nobody else comes.
    pub(super) fn ahead(&self, caller: KeyId, priority: i32) -> usize {
        let above = self.lines.range(priority..).filter(|(other, _)| **other > priority);
        let above: usize = above.flat_map(|(_, line)| line.of.values()).map(VecDeque::len).sum();
        let Some(line) = self.lines.get(&priority) else { return above };
        let own = line.waits(caller);
        // In each of its turns up to this one, every other caller has one too.
        let others = line.of.iter().filter(|(other, _)| **other != caller);
        above + own + others.map(|(_, tickets)| tickets.len().min(own + 1)).sum::<usize>()
    }

    pub(super) fn join(&mut self, ticket: Ticket, caller: KeyId, priority: i32, until: Millis) {
        self.waiters.insert(ticket, Waiter { caller, priority, until });
        let line = self.lines.entry(priority).or_default();
        let tickets = line.of.entry(caller).or_default();
        if tickets.is_empty() {
            line.turns.push_back(caller);
        }
        tickets.push_back(ticket);
    }

    /// Takes out whose turn it is, and until when it would have waited.
    pub(super) fn next(&mut self) -> Option<(Ticket, Millis)> {
        let line = self.lines.values_mut().next_back()?;
        let caller = line.turns.pop_front()?;
        let ticket = *line.of.get(&caller)?.front()?;
        if line.waits(caller) > 1 {
            line.turns.push_back(caller);
        }
        Some((ticket, self.take(ticket)?))
    }

    /// Takes one out that waits no longer; its caller keeps its turn for what else it waits for.
    pub(super) fn leave(&mut self, ticket: Ticket) -> Option<Millis> {
        let Waiter { caller, priority, .. } = self.waiters.get(&ticket)?;
        if let Some(line) = self.lines.get_mut(priority)
            && line.waits(*caller) == 1
        {
            line.turns.retain(|turn| turn != caller);
        }
        self.take(ticket)
    }

    /// Takes one out; whose turn it is was seen to.
    fn take(&mut self, ticket: Ticket) -> Option<Millis> {
        let Waiter { caller, priority, until } = self.waiters.remove(&ticket)?;
        let line = self.lines.get_mut(&priority)?;
        let tickets = line.of.get_mut(&caller)?;
        tickets.retain(|other| *other != ticket);
        if tickets.is_empty() {
            line.of.remove(&caller);
        }
        if line.of.is_empty() {
            self.lines.remove(&priority);
        }
        Some(until)
    }

    /// Who gives way to a new call of this caller where all places are taken: the newest call of who waits for most, in the
    /// lowest priority below the call's; in its own priority only one whose caller waits for more than this one will.
    pub(super) fn gives_way(&self, caller: KeyId, priority: i32) -> Option<Ticket> {
        let (lowest, line) = self.lines.first_key_value()?;
        let (longest, length) = line.longest()?;
        let own = line.waits(caller);
        let gives_way = *lowest < priority || (*lowest == priority && length > own + 1);
        if gives_way { line.newest(longest) } else { None }
    }
}
