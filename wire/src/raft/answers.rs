//! The answering end of streams for calls: each call is handled by itself, and answers leave in the order they are ready.

use std::io;
use std::sync::Arc;

use consensus::Kind;
use domain::NodeId;
use tokio::io::AsyncRead;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::frame::{Frame, Inbox, Outbox, PING, Pulse, Verdict};
use super::{CALLS_PER_PEER_MAX, PING_INTERVAL, RaftService};
use crate::streams::{IsMember, PeerStream};

/// A stream on which nothing came for so many intervals of signs of life is dead.
const SILENT_INTERVALS: u32 = 4;

/// Serves calls on streams of [`crate::Protocol::Calls`] until `stop`; calls under way are finished.
pub async fn serve_calls(
    mut arrivals: mpsc::Receiver<PeerStream>,
    service: Arc<dyn RaftService>,
    is_member: IsMember,
    stop: CancellationToken,
) {
    let streams = TaskTracker::new();
    while let Some(Some(stream)) = stop.run_until_cancelled(arrivals.recv()).await {
        let answers = Arc::new(Answers {
            peer: stream.peer,
            service: Arc::clone(&service),
            is_member: Arc::clone(&is_member),
            outbox: Outbox::default(),
            places: Arc::new(Semaphore::new(CALLS_PER_PEER_MAX)),
        });
        streams.spawn(answers.serve(stream, stop.clone()));
    }
    streams.close();
    streams.wait().await;
}

struct Answers {
    peer: NodeId,
    service: Arc<dyn RaftService>,
    is_member: IsMember,
    outbox: Outbox,
    places: Arc<Semaphore>,
}

impl Answers {
    async fn serve(self: Arc<Self>, stream: PeerStream, stop: CancellationToken) {
        let (read, mut write) = tokio::io::split(stream.io);
        let pulse = Pulse::default();
        let calls = TaskTracker::new();
        let over = CancellationToken::new();
        // When the stream is gone nobody waits for the answers any more.
        let _over = over.clone().drop_guard();
        let ended: io::Result<()> = tokio::select! {
            biased;
            () = stop.cancelled() => {
                calls.close();
                calls.wait().await;
                self.outbox.flush(&mut write, &pulse).await
            }
            ended = self.listen(Inbox::new(read), &pulse, &calls, &over) => ended,
            ended = self.outbox.drain(&mut write, &pulse) => ended.map(drop),
            () = silence(&pulse) => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = ended {
            tracing::debug!(node = %self.peer, %error, "a peer's stream for calls broke");
        }
    }

    async fn listen(
        self: &Arc<Self>,
        mut inbox: Inbox<impl AsyncRead + Unpin>,
        pulse: &Pulse,
        calls: &TaskTracker,
        over: &CancellationToken,
    ) -> io::Result<()> {
        while let Some(frame) = inbox.next(pulse).await? {
            self.outbox.room().await;
            if frame.id == PING {
                self.outbox.push(Verdict::Done.code(), PING, &[]);
                continue;
            }
            let place = Arc::clone(&self.places).acquire_owned().await.map_err(io::Error::other)?;
            let me = Arc::clone(self);
            calls.spawn(over.clone().run_until_cancelled_owned(async move {
                let id = frame.id;
                match me.answer(frame).await {
                    Ok(body) => me.outbox.push(Verdict::Done.code(), id, &body),
                    Err((verdict, why)) => me.outbox.push(verdict.code(), id, why.as_bytes()),
                }
                drop(place);
            }));
        }
        Ok(())
    }

    async fn answer(&self, frame: Frame) -> Result<bytes::Bytes, (Verdict, String)> {
        if !(self.is_member)(self.peer) {
            tracing::warn!(node = %self.peer, "refused a call of a node that is not a member");
            return Err((Verdict::Stranger, not_a_member(self.peer)));
        }
        let kind = Kind::from_code(frame.code).ok_or_else(|| {
            (Verdict::Refused, format!("this version knows no call of kind {}", frame.code))
        })?;
        self.service.handle(self.peer, kind, frame.body).await.map_err(|why| (Verdict::Refused, why))
    }
}

pub(super) fn not_a_member(node: NodeId) -> String {
    format!("node {node} is not a member of this cluster")
}

/// Resolves when the asking end, which asks for a sign of life when it hears nothing, says nothing.
async fn silence(pulse: &Pulse) {
    loop {
        tokio::time::sleep(PING_INTERVAL * SILENT_INTERVALS).await;
        if !pulse.take() {
            return;
        }
    }
}
