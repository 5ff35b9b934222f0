//! Opening sessions: the node with the lower id dials, again and again until there is a session, and again when it ended.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Weak};

use domain::NodeId;
use ractor::ActorRef;
use ractor_cluster::NodeServerMessage;
use ractor_cluster::node::NodeSessionMessage;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::doorway::DoorMessage;
use super::hello::{self, Hello};
use super::session::{Parts, Session};
use super::sessions::Opening;
use super::stream::Numbered;
use super::{Inner, READY_TIMEOUT, REDIAL_MAX, REDIAL_MIN};
use crate::net::Protocol;
use crate::streams::{PeerStream, lock};

impl Inner {
    pub(super) fn set_peers(self: &Arc<Self>, peers: BTreeMap<NodeId, String>) {
        self.sessions.retain(|peer| peers.contains_key(&peer));
        let mut dialers = lock(&self.dialers);
        dialers.retain(|peer, (addr, stop)| {
            let same = peers.get(peer) == Some(addr);
            if !same {
                stop.cancel();
            }
            same
        });
        for (peer, addr) in peers.into_iter().filter(|(peer, _)| *peer > self.me) {
            dialers.entry(peer).or_insert_with(|| {
                let stop = CancellationToken::new();
                let keep = keep_session(Arc::downgrade(self), peer, addr.clone());
                tokio::spawn(stop.clone().run_until_cancelled_owned(keep));
                (addr, stop)
            });
        }
    }

    pub(super) fn accept(self: Arc<Self>, stream: PeerStream) {
        tokio::spawn(async move {
            let peer = stream.peer;
            if let Err(error) = self.open(stream, true).await {
                tracing::debug!(node = %peer, %error, "a peer's session could not be opened");
            }
        });
    }

    /// Introduces itself on a fresh stream, replaces the peer's old session and waits until the new one works.
    async fn open(&self, mut stream: PeerStream, is_server: bool) -> io::Result<()> {
        let pass = self.entropy.draw();
        let ours = Hello { doorway: self.doorway.get_id().pid(), pass };
        let theirs = hello::exchange(&mut stream.io, ours).await?;
        let PeerStream { peer, io, cut } = stream;
        if let Some(old) = self.sessions.with(peer) {
            self.sessions.end(old.connection);
            old.gone(READY_TIMEOUT).await;
        }
        let (ready, works) = oneshot::channel();
        let connection = self.sessions.open(Opening { peer, theirs, pass, cut, ready });
        let mut unready = Unready(Some((self, connection)));
        let stream = Box::new(Numbered { io, connection });
        let opened = NodeServerMessage::ConnectionOpenedExternal { stream, is_server };
        self.host.cast(opened).map_err(|_| io::Error::other("the door is closed"))?;
        match tokio::time::timeout(READY_TIMEOUT, works).await {
            Ok(Ok(())) => {
                unready.0 = None;
                Ok(())
            }
            _ => Err(io::Error::new(io::ErrorKind::TimedOut, "the session did not come to work")),
        }
    }

    /// A session says that it works: finds the peer's doorway among the actors it brought.
    pub(super) fn ready(self: &Arc<Self>, connection: u64, actor: ActorRef<NodeSessionMessage>) {
        let Some(Opening { peer, theirs, cut, ready, .. }) = self.sessions.take_opening(connection) else {
            return;
        };
        let remote = actor.get_children().into_iter().filter(|child| !child.get_id().is_local());
        let Some(doorway) = remote.into_iter().find(|child| child.get_id().pid() == theirs.doorway) else {
            tracing::warn!(node = %peer, "a peer's session came without its doorway");
            self.sessions.end(connection);
            cut.pull();
            return;
        };
        let doorway: ActorRef<DoorMessage> = doorway.into();
        let session = Session::new(Parts { peer, connection, actor, doorway, pass: theirs.pass, cut });
        if let Some(replaced) = self.sessions.add(session.clone()) {
            replaced.close();
        }
        tracing::info!(node = %peer, "a session with a peer works");
        let _ = ready.send(());
        let door = Arc::downgrade(self);
        tokio::spawn(async move {
            if session.ended.run_until_cancelled(session.watch()).await.is_some() {
                tracing::warn!(node = %session.peer, "a peer stopped answering");
                if let Some(door) = door.upgrade() {
                    door.sessions.end(session.connection);
                }
            }
        });
    }
}

/// Ends a connection that never came to work, also when opening it was given up.
struct Unready<'a>(Option<(&'a Inner, u64)>);

impl Drop for Unready<'_> {
    fn drop(&mut self) {
        if let Some((door, connection)) = self.0.take() {
            door.sessions.end(connection);
        }
    }
}

async fn keep_session(door: Weak<Inner>, peer: NodeId, addr: String) {
    let mut pause = REDIAL_MIN;
    loop {
        let Some(strong) = door.upgrade() else { return };
        if let Some(session) = strong.sessions.with(peer) {
            drop(strong);
            session.ended.cancelled().await;
            tokio::time::sleep(REDIAL_MIN).await;
            pause = REDIAL_MIN;
            continue;
        }
        let opened = match strong.streams.dial(&addr, peer, Protocol::Door).await {
            Ok(stream) => strong.open(stream, false).await,
            Err(error) => Err(error),
        };
        if let Err(error) = opened {
            tracing::debug!(node = %peer, %error, "a session with a peer could not be opened");
            // Not all at the same moment when a node comes back.
            let jitter = strong.entropy.draw() % (pause.as_millis() as u64 / 2).max(1);
            drop(strong);
            tokio::time::sleep(pause + std::time::Duration::from_millis(jitter)).await;
            pause = (pause * 2).min(REDIAL_MAX);
        }
    }
}
