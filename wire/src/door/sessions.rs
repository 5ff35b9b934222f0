//! The sessions of a door: those being opened, by connection, and those that work, by peer. One of each peer at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use domain::NodeId;
use tokio::sync::oneshot;

use super::hello::Hello;
use super::session::Session;
use crate::streams::{Cut, lock};

/// A connection that was introduced but does not work yet.
pub(super) struct Opening {
    pub(super) peer: NodeId,
    pub(super) theirs: Hello,
    /// What the peer must show.
    pub(super) pass: u64,
    pub(super) cut: Cut,
    /// Told when it works.
    pub(super) ready: oneshot::Sender<()>,
}

/// The tables.
#[derive(Default)]
pub(super) struct Sessions(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    connections: u64,
    opening: BTreeMap<u64, Opening>,
    working: BTreeMap<NodeId, Arc<Session>>,
    /// Who may show which number, and on which connection it was given.
    passes: BTreeMap<u64, (NodeId, u64)>,
}

impl Sessions {
    /// Notes a connection that is being opened, and numbers it.
    pub(super) fn open(&self, opening: Opening) -> u64 {
        let mut tables = lock(&self.0);
        tables.connections += 1;
        let connection = tables.connections;
        tables.passes.insert(opening.pass, (opening.peer, connection));
        tables.opening.insert(connection, opening);
        connection
    }

    /// Takes a connection out of those being opened.
    pub(super) fn take_opening(&self, connection: u64) -> Option<Opening> {
        lock(&self.0).opening.remove(&connection)
    }

    /// Notes that a session works; returns the one it replaces.
    pub(super) fn add(&self, session: Arc<Session>) -> Option<Arc<Session>> {
        lock(&self.0).working.insert(session.peer, session)
    }

    /// The session with a peer.
    pub(super) fn with(&self, peer: NodeId) -> Option<Arc<Session>> {
        lock(&self.0).working.get(&peer).cloned()
    }

    /// Who was given this number.
    pub(super) fn holder(&self, pass: u64) -> Option<NodeId> {
        lock(&self.0).passes.get(&pass).map(|(peer, _)| *peer)
    }

    /// Peers with a session that works.
    pub(super) fn peers(&self) -> BTreeSet<NodeId> {
        lock(&self.0).working.keys().copied().collect()
    }

    /// Ends a connection, however far it got.
    pub(super) fn end(&self, connection: u64) {
        let (opening, session) = {
            let mut tables = lock(&self.0);
            tables.passes.retain(|_, (_, of)| *of != connection);
            let peer =
                tables.working.values().find(|session| session.connection == connection).map(|s| s.peer);
            (tables.opening.remove(&connection), peer.and_then(|peer| tables.working.remove(&peer)))
        };
        if let Some(opening) = opening {
            opening.cut.pull();
        }
        if let Some(session) = session {
            tracing::info!(node = %session.peer, "the session with a peer ended");
            session.close();
        }
    }

    /// Ends whatever there is with peers for which `keep` is false.
    pub(super) fn retain(&self, keep: impl Fn(NodeId) -> bool) {
        let unwanted: BTreeSet<u64> = {
            let tables = lock(&self.0);
            let opening = tables.opening.iter().map(|(connection, opening)| (opening.peer, *connection));
            let working = tables.working.values().map(|session| (session.peer, session.connection));
            opening
                .chain(working)
                .filter(|(peer, _)| !keep(*peer))
                .map(|(_, connection)| connection)
                .collect()
        };
        unwanted.into_iter().for_each(|connection| self.end(connection));
    }

    /// Ends all.
    pub(super) fn close_all(&self) {
        self.retain(|_| false);
    }
}
