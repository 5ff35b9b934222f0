//! The one actor of a node that peers can reach. It checks who asks, hands the message to its service in a task of its own,
//! and never waits.

use std::sync::Arc;

use bytes::Bytes;
use domain::NodeId;
use ractor::{Actor, ActorProcessingErr, ActorRef, RpcReplyPort};
use ractor_cluster::RactorClusterMessage;

use super::envelope::{self, Answer, Envelope, HEARTBEAT_TOPIC};
use super::{BODY_BYTES_MAX, Handler, Inner, Late};
use crate::streams::lock;

/// What peers send.
#[derive(RactorClusterMessage)]
pub(super) enum DoorMessage {
    /// An envelope; the answer goes through the port.
    #[rpc]
    Ask(Vec<u8>, RpcReplyPort<Vec<u8>>),
}

/// The actor.
pub(super) struct Doorway(pub(super) Late);

impl Actor for Doorway {
    type Msg = DoorMessage;
    type State = ();
    type Arguments = ();

    async fn pre_start(&self, _: ActorRef<DoorMessage>, (): ()) -> Result<(), ActorProcessingErr> {
        Ok(())
    }

    async fn handle(
        &self,
        _: ActorRef<DoorMessage>,
        message: DoorMessage,
        (): &mut (),
    ) -> Result<(), ActorProcessingErr> {
        let DoorMessage::Ask(bytes, reply) = message;
        if let Some(door) = self.0.get() {
            door.receive(&bytes, reply);
        }
        Ok(())
    }
}

impl Inner {
    fn receive(self: &Arc<Self>, bytes: &[u8], reply: RpcReplyPort<Vec<u8>>) {
        let Envelope { pass, topic, body } = match envelope::decode(bytes) {
            Ok(envelope) => envelope,
            Err(reason) => return send(reply, &Answer::Refused(reason)),
        };
        let Some(from) = self.sessions.holder(pass).filter(|from| self.streams.is_member(*from)) else {
            return send(reply, &Answer::Refused("the sender is not a member with an open session".into()));
        };
        if topic == HEARTBEAT_TOPIC {
            return send(reply, &Answer::Done(Bytes::new()));
        }
        match self.service(&topic) {
            Ok(handler) => self.spawn(handler, from, body, reply),
            Err(reason) => send(reply, &Answer::Refused(reason)),
        }
    }

    /// The handler of a topic.
    pub(super) fn service(&self, topic: &str) -> Result<Handler, String> {
        let handler = lock(&self.services).get(topic).cloned();
        handler.ok_or_else(|| format!("this node has no service `{topic}`"))
    }

    fn spawn(&self, handler: Handler, from: NodeId, body: Bytes, reply: RpcReplyPort<Vec<u8>>) {
        let Ok(place) = self.handlers.clone().try_acquire_owned() else {
            return send(reply, &Answer::Busy);
        };
        tokio::spawn(async move {
            let deadline = reply.get_timeout();
            let work = handler(from, body);
            let answer = match deadline {
                // Nobody waits for it any more after that.
                Some(deadline) => tokio::time::timeout(deadline, work).await.ok(),
                None => Some(work.await),
            };
            drop(place);
            match answer {
                Some(Ok(body)) if body.len() > BODY_BYTES_MAX => {
                    let reason = format!("the answer has {} bytes, {BODY_BYTES_MAX} at most", body.len());
                    send(reply, &Answer::Refused(reason));
                }
                Some(Ok(body)) => send(reply, &Answer::Done(body)),
                Some(Err(reason)) => send(reply, &Answer::Refused(reason)),
                None => {}
            }
        });
    }
}

fn send(reply: RpcReplyPort<Vec<u8>>, answer: &Answer) {
    match envelope::encode(answer) {
        // The asker may have gone meanwhile.
        Ok(bytes) => drop(reply.send(bytes)),
        Err(reason) => tracing::warn!(reason, "an answer could not be encoded"),
    }
}
