//! Commands on their way to the leader, several in one call: while calls are under way, what comes meanwhile gathers and
//! goes together. One lane per leader. Used by proposals; it never tries again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use domain::NodeId;
use tokio::sync::oneshot;

use crate::codec::encode;
use crate::error::Error;
use crate::lead::Done;
use crate::link::{Kind, Peer};
use crate::node::Consensus;

/// Commands in one call at most.
const COMMANDS_MAX: usize = 256;
/// Bytes in one call at most, but for a single command that is larger.
const BYTES_MAX: usize = 1024 * 1024;
/// Calls of one lane under way at most.
const CALLS_MAX: usize = 4;
/// Commands that wait at most.
const WAITING_MAX: usize = 8_192;

/// Lanes to those who led.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<BTreeMap<NodeId, Lane>>);

#[derive(Default)]
struct Lane {
    waiting: VecDeque<Item>,
    calls: usize,
}

struct Item {
    body: Bytes,
    done: oneshot::Sender<Result<Done, Error>>,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<NodeId, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a command in; says whether a call has to be begun for it.
    fn push(&self, leader: NodeId, item: Item) -> Result<bool, Error> {
        let mut lanes = self.lock();
        let lane = lanes.entry(leader).or_default();
        if lane.waiting.len() >= WAITING_MAX {
            return Err(Error::unavailable("too many changes wait for the leader"));
        }
        lane.waiting.push_back(item);
        let begin = lane.calls < CALLS_MAX;
        lane.calls += usize::from(begin);
        Ok(begin)
    }

    /// What goes into the next call; with nothing left the call is over, and so is a lane without calls.
    fn next(&self, leader: NodeId) -> Vec<Item> {
        let mut lanes = self.lock();
        let Some(lane) = lanes.get_mut(&leader) else { return Vec::new() };
        let (mut items, mut bytes) = (Vec::new(), 0);
        while let Some(item) = lane.waiting.front() {
            if items.len() >= COMMANDS_MAX || (!items.is_empty() && bytes + item.body.len() > BYTES_MAX) {
                break;
            }
            bytes += item.body.len();
            // Whoever gave up does not need it to be sent.
            items.extend(lane.waiting.pop_front().filter(|item| !item.done.is_closed()));
        }
        if items.is_empty() {
            lane.calls -= 1;
            if lane.calls == 0 {
                lanes.remove(&leader);
            }
        }
        items
    }
}

impl Consensus {
    /// Asks the leader to propose a command, together with others.
    pub(crate) async fn batched(&self, leader: Peer, body: Bytes, deadline: Duration) -> Result<Done, Error> {
        let (done, answer) = oneshot::channel();
        if self.inner.lanes.push(leader.id, Item { body, done })? {
            let me = self.clone();
            drop(self.inner.home.spawn(async move { me.drive(leader, deadline).await }));
        }
        // Only a runtime that stops drops the other half unanswered.
        answer.await.unwrap_or_else(|_| Err(Error::unknown("this node is shutting down")))
    }

    async fn drive(&self, leader: Peer, deadline: Duration) {
        loop {
            let items = self.inner.lanes.next(leader.id);
            if items.is_empty() {
                return;
            }
            let bodies: Vec<&Bytes> = items.iter().map(|item| &item.body).collect();
            let answers: Result<Vec<Result<Done, Error>>, Error> = match encode(&bodies) {
                Ok(body) => self.exchange(leader.clone(), Kind::Batch, body, deadline).await,
                Err(error) => Err(error),
            };
            match answers {
                Ok(answers) if answers.len() == items.len() => {
                    for (item, answer) in items.into_iter().zip(answers) {
                        let _ = item.done.send(answer);
                    }
                }
                other => {
                    let error =
                        other.err().unwrap_or_else(|| Error::unknown("the leader answered too little"));
                    for item in items {
                        let _ = item.done.send(Err(error.clone()));
                    }
                }
            }
        }
    }
}
