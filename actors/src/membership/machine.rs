//! When to ask whom to renew the lease, and until when it is good. The lease is counted from the moment the request was
//! sent, less a margin, so it always ends here before the leader may think so.

use domain::limits::{LEASE_MARGIN_MS, LEASE_MS, LEASE_RENEW_MS};
use domain::{Millis, NodeId};

/// Pause before another try after one that failed.
pub const RETRY_MS: Millis = 200;

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// It may be time; who leads, as far as this node knows.
    Look(Option<NodeId>),
    /// The leader answered the request sent then.
    Answered {
        /// Whom it was sent to.
        leader: NodeId,
        /// When it was sent.
        sent: Millis,
        /// The leader's term, or why not.
        answer: Result<u64, String>,
    },
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Ask this node to renew the lease.
    Ask(NodeId),
    /// Look again after this many milliseconds.
    LookAfter(Millis),
}

/// The lease's machine.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    leader: Option<NodeId>,
    term: u64,
    asked: Option<(NodeId, Millis)>,
    due: Millis,
    ends: Millis,
    failure: Option<String>,
}

impl Machine {
    /// When the lease ends, on the node's monotonic clock; 0 before the first renewal.
    pub fn ends(&self) -> Millis {
        self.ends
    }
    /// Who was asked last.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }
    /// Why the last request failed, if it did.
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Takes in what happened and tells what to do.
    pub fn step(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        match event {
            Event::Look(leader) => self.look(leader, now),
            Event::Answered { leader, sent, answer } => self.answered(leader, sent, answer, now),
        }
    }

    fn look(&mut self, leader: Option<NodeId>, now: Millis) -> Vec<Effect> {
        if leader != self.leader {
            // A new leader knows of no renewals: it is told at once.
            self.leader = leader;
            self.due = now;
        }
        let Some(leader) = self.leader else { return Vec::new() };
        if self.asked.is_some_and(|(whom, _)| whom == leader) || now < self.due {
            return Vec::new();
        }
        self.asked = Some((leader, now));
        vec![Effect::Ask(leader)]
    }

    fn answered(
        &mut self,
        leader: NodeId,
        sent: Millis,
        answer: Result<u64, String>,
        now: Millis,
    ) -> Vec<Effect> {
        if self.asked == Some((leader, sent)) {
            self.asked = None;
        }
        match answer {
            // An answer of an older term is worth nothing: that leader has a successor.
            Ok(term) if term >= self.term => {
                self.term = term;
                self.ends = self.ends.max(sent + LEASE_MS - LEASE_MARGIN_MS);
                self.failure = None;
                self.due = self.due.max(sent + LEASE_RENEW_MS);
            }
            Ok(term) => {
                self.failure = Some(format!("node {leader} led in term {term}, which is over"));
                self.due = now + RETRY_MS;
            }
            Err(reason) => {
                self.failure = Some(reason);
                self.due = now + RETRY_MS;
            }
        }
        vec![Effect::LookAfter(self.due.saturating_sub(now))]
    }
}
