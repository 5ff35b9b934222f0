//! A session with a peer: what may be under way on it, and whether it lives.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use domain::NodeId;
use ractor::rpc::CallResult;
use ractor::{ActorRef, MessagingErr};
use ractor_cluster::node::NodeSessionMessage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::doorway::DoorMessage;
use super::envelope::{self, Envelope, HEARTBEAT_TOPIC};
use super::{BYTES_PER_PEER_MAX, CALLS_PER_PEER_MAX, HEARTBEAT, MISSES_MAX};
use crate::streams::{Cut, lock};

/// A session that works.
pub(super) struct Session {
    pub(super) peer: NodeId,
    pub(super) connection: u64,
    /// Cancelled when it is over.
    pub(super) ended: CancellationToken,
    actor: ActorRef<NodeSessionMessage>,
    doorway: ActorRef<DoorMessage>,
    pass: u64,
    cut: Cut,
    calls: Arc<Semaphore>,
    bytes: Arc<Semaphore>,
    /// Room taken by asks that were given up: their bytes may still wait in the session's unbounded queue.
    abandoned: Mutex<Vec<Room>>,
}

type Room = [OwnedSemaphorePermit; 2];

/// What a session is made of.
pub(super) struct Parts {
    pub(super) peer: NodeId,
    pub(super) connection: u64,
    pub(super) actor: ActorRef<NodeSessionMessage>,
    pub(super) doorway: ActorRef<DoorMessage>,
    pub(super) pass: u64,
    pub(super) cut: Cut,
}

impl Session {
    pub(super) fn new(parts: Parts) -> Arc<Self> {
        let Parts { peer, connection, actor, doorway, pass, cut } = parts;
        Arc::new(Self {
            peer,
            connection,
            ended: CancellationToken::new(),
            actor,
            doorway,
            pass,
            cut,
            calls: Arc::new(Semaphore::new(CALLS_PER_PEER_MAX)),
            bytes: Arc::new(Semaphore::new(BYTES_PER_PEER_MAX)),
            abandoned: Mutex::default(),
        })
    }

    /// Room for a message of that size, if there is.
    pub(super) fn admit(self: &Arc<Self>, len: usize) -> Option<Passage> {
        let call = self.calls.clone().try_acquire_owned().ok()?;
        let bytes = self.bytes.clone().try_acquire_many_owned(u32::try_from(len).ok()?).ok()?;
        Some(Passage { session: self.clone(), room: Some([call, bytes]) })
    }

    /// Sends an envelope and waits for the answer's bytes.
    pub(super) async fn call(
        &self,
        topic: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<CallResult<Vec<u8>>, MessagingErr<DoorMessage>> {
        let envelope = Envelope { pass: self.pass, topic: topic.to_owned(), body };
        let Ok(bytes) = envelope::encode(&envelope) else { return Ok(CallResult::SenderError) };
        self.doorway.call(|reply| DoorMessage::Ask(bytes, reply), Some(deadline)).await
    }

    /// Ends it: the stream first, because the session's writer survives a stop while it is blocked.
    pub(super) fn close(&self) {
        self.ended.cancel();
        self.cut.pull();
        self.actor.stop(None);
    }

    /// Resolves when its actor is gone.
    pub(super) async fn gone(&self, timeout: Duration) {
        // Only a wait: if it takes longer, the new session works all the same.
        let _ = self.actor.wait(Some(timeout)).await;
    }

    /// Asks the peer again and again; resolves when it stopped answering.
    pub(super) async fn watch(&self) {
        let mut misses = 0;
        while misses < MISSES_MAX {
            tokio::time::sleep(HEARTBEAT).await;
            let before = std::mem::take(&mut *lock(&self.abandoned));
            let answer = self.call(HEARTBEAT_TOPIC, Bytes::new(), HEARTBEAT).await;
            if matches!(answer, Ok(CallResult::Success(_))) {
                // Frames keep their order, so what was queued before this heartbeat has left.
                drop(before);
                misses = 0;
            } else {
                lock(&self.abandoned).extend(before);
                misses += 1;
            }
        }
    }
}

/// A message's room on its session.
pub(super) struct Passage {
    session: Arc<Session>,
    room: Option<Room>,
}

impl Passage {
    /// The message has left this node's queue.
    pub(super) fn passed(mut self) {
        self.room = None;
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        if let Some(room) = self.room.take() {
            lock(&self.session.abandoned).push(room);
        }
    }
}
