//! Stands in for `ractor_cluster`'s node server: takes the same messages, but opens no socket and holds no elections among
//! connections. It spawns a session for each stream and tells the door how it fares.

use std::collections::BTreeMap;

use domain::NodeId;
use ractor::{Actor, ActorId, ActorProcessingErr, ActorRef, SupervisionEvent};
use ractor_cluster::node::{NodeConnectionMode, NodeSession, NodeSessionMessage, SessionCheckReply};
use ractor_cluster::{ClusterBidiStream, NetworkStream, NodeServerMessage};

use super::{FRAME_BYTES_MAX, Late};

/// Both ends must give the same; streams are authenticated before, so it protects nothing.
const COOKIE: &str = "llmhub";

/// The actor.
pub(super) struct Host {
    pub(super) me: NodeId,
    pub(super) door: Late,
}

/// Its sessions, with the number of their connection.
#[derive(Default)]
pub(super) struct Hosted {
    spawned: u64,
    sessions: BTreeMap<ActorId, (ActorRef<NodeSessionMessage>, u64)>,
}

impl Actor for Host {
    type Msg = NodeServerMessage;
    type State = Hosted;
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<NodeServerMessage>, (): ()) -> Result<Hosted, ActorProcessingErr> {
        Ok(Hosted::default())
    }

    async fn handle(
        &self,
        myself: ActorRef<NodeServerMessage>,
        message: NodeServerMessage,
        hosted: &mut Hosted,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            NodeServerMessage::ConnectionOpenedExternal { stream, is_server } => {
                self.open(myself, stream, is_server, hosted).await;
            }
            // There is one stream per peer at a time; the door sees to it.
            NodeServerMessage::CheckSession { reply, .. } => {
                let _ = reply.send(SessionCheckReply::NoOtherConnection);
            }
            NodeServerMessage::ConnectionReady(id) => {
                if let (Some((session, connection)), Some(door)) = (hosted.sessions.get(&id), self.door.get())
                {
                    door.ready(*connection, session.clone());
                }
            }
            NodeServerMessage::GetSessions(reply) => {
                let _ = reply.send(Default::default());
            }
            _ => {}
        }
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        _: ActorRef<NodeServerMessage>,
        event: SupervisionEvent,
        hosted: &mut Hosted,
    ) -> Result<(), ActorProcessingErr> {
        let ended = match event {
            SupervisionEvent::ActorTerminated(actor, ..) => actor.get_id(),
            SupervisionEvent::ActorFailed(actor, _) => actor.get_id(),
            _ => return Ok(()),
        };
        if let (Some((_, connection)), Some(door)) = (hosted.sessions.remove(&ended), self.door.get()) {
            door.sessions.end(connection);
        }
        Ok(())
    }
}

impl Host {
    async fn open(
        &self,
        myself: ActorRef<NodeServerMessage>,
        stream: Box<dyn ClusterBidiStream>,
        is_server: bool,
        hosted: &mut Hosted,
    ) {
        let label = stream.peer_label();
        let Some(connection) = label.as_deref().and_then(|label| label.parse().ok()) else { return };
        // The type of a session's name cannot be named, but this message holds one.
        let unnamed =
            NodeServerMessage::UpdateSession { actor_id: myself.get_id(), name: Default::default() };
        let NodeServerMessage::UpdateSession { mut name, .. } = unnamed else { return };
        name.name = self.me.to_string();
        name.connection_string.clone_from(&name.name);
        hosted.spawned += 1;
        let (mode, cookie) = (NodeConnectionMode::Isolated, COOKIE.to_owned());
        let session = NodeSession::new(hosted.spawned, is_server, cookie, myself.clone(), name, mode)
            .with_max_inbound_frame_size(FRAME_BYTES_MAX as u64);
        let (reader, writer) = stream.split();
        let stream = NetworkStream::External { peer_label: label, local_label: None, reader, writer };
        match Actor::spawn_linked(None, session, stream, myself.get_cell()).await {
            Ok((session, _)) => {
                hosted.sessions.insert(session.get_id(), (session, connection));
            }
            Err(error) => {
                tracing::warn!(%error, "a session with a peer could not be started");
                if let Some(door) = self.door.get() {
                    door.sessions.end(connection);
                }
            }
        }
    }
}
