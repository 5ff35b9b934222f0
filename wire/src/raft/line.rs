//! The asking end of a stream for calls. A line works until its stream breaks or falls silent; whoever waits on it then learns
//! that the call may have arrived.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use consensus::{Kind, LinkError};
use domain::NodeId;
use tokio::io::AsyncRead;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::AbortOnDropHandle;

use super::frame::{Frame, Inbox, Outbox, PING, Pulse, Verdict};
use super::{CALL_BYTES_MAX, CALLS_PER_PEER_MAX, PING_INTERVAL};
use crate::streams::{PeerStream, lock};

/// An answer as it came: what it says, and the bytes.
type Told = (u32, Bytes);

/// A line to a peer. It is hung up when the last one who holds it lets go.
pub(super) struct Line {
    calls: Arc<Calls>,
    _task: AbortOnDropHandle<()>,
}

struct Calls {
    outbox: Outbox,
    waiting: Mutex<Waiting>,
}

struct Waiting {
    next: u64,
    answers: BTreeMap<u64, oneshot::Sender<Told>>,
    broken: bool,
}

impl Line {
    /// Takes a stream, whose life is kept up from `home`.
    pub(super) fn new(stream: PeerStream, home: &Handle) -> Self {
        let waiting = Waiting { next: PING + 1, answers: BTreeMap::new(), broken: false };
        let calls = Arc::new(Calls { outbox: Outbox::default(), waiting: Mutex::new(waiting) });
        let task = home.spawn(Arc::clone(&calls).keep(stream));
        Self { calls, _task: AbortOnDropHandle::new(task) }
    }

    pub(super) fn works(&self) -> bool {
        !lock(&self.calls.waiting).broken
    }

    /// Asks, and waits for the answer. Dropping this gives the call up.
    pub(super) async fn call(&self, kind: Kind, body: &[u8]) -> Result<Bytes, Failed> {
        if body.len() > CALL_BYTES_MAX {
            // Sent, it would break the line for all others.
            let reason = format!("a call has {} bytes, {CALL_BYTES_MAX} at most", body.len());
            return Err(LinkError::Refused(reason).into());
        }
        let (told, answer) = oneshot::channel();
        let id = self.calls.enter(told)?;
        let _place = Place { calls: &self.calls, id };
        self.calls.outbox.push(kind.code(), id, body);
        let broke = || LinkError::Unknown("the connection broke".to_owned());
        let (code, body) = answer.await.map_err(|_| broke())?;
        let why = || String::from_utf8_lossy(&body).into_owned();
        match Verdict::from_code(code) {
            Some(Verdict::Done) => Ok(body),
            Some(Verdict::Refused) => Err(LinkError::Refused(why()).into()),
            Some(Verdict::Stranger) => Err(Failed { error: LinkError::Refused(why()), stranger: true }),
            None => Err(LinkError::Unknown(format!("an answer of the unknown kind {code}")).into()),
        }
    }
}

/// A call that brought no answer.
pub(super) struct Failed {
    pub(super) error: LinkError,
    /// Whether it was refused because this node is no member.
    pub(super) stranger: bool,
}

impl From<LinkError> for Failed {
    fn from(error: LinkError) -> Self {
        Self { error, stranger: false }
    }
}

/// A call's place among those that wait.
struct Place<'a> {
    calls: &'a Calls,
    id: u64,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        lock(&self.calls.waiting).answers.remove(&self.id);
    }
}

impl Calls {
    fn enter(&self, told: oneshot::Sender<Told>) -> Result<u64, LinkError> {
        let mut waiting = lock(&self.waiting);
        if waiting.broken {
            return Err(LinkError::Unreachable("the connection broke".to_owned()));
        }
        if waiting.answers.len() >= CALLS_PER_PEER_MAX {
            return Err(LinkError::Unreachable(format!("{CALLS_PER_PEER_MAX} calls are under way")));
        }
        let id = waiting.next;
        waiting.next += 1;
        waiting.answers.insert(id, told);
        Ok(id)
    }

    async fn keep(self: Arc<Self>, stream: PeerStream) {
        let peer: NodeId = stream.peer;
        let (read, mut write) = tokio::io::split(stream.io);
        let pulse = Pulse::default();
        let ended: io::Result<()> = tokio::select! {
            biased;
            ended = self.listen(Inbox::new(read), &pulse) => ended,
            ended = self.outbox.drain(&mut write, &pulse) => ended.map(drop),
            () = self.watch(&pulse) => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = ended {
            tracing::debug!(node = %peer, %error, "a line to a peer broke");
        }
        let mut waiting = lock(&self.waiting);
        waiting.broken = true;
        waiting.answers.clear();
    }

    async fn listen(&self, mut inbox: Inbox<impl AsyncRead + Unpin>, pulse: &Pulse) -> io::Result<()> {
        while let Some(Frame { code, id, body }) = inbox.next(pulse).await? {
            if let Some(told) = lock(&self.waiting).answers.remove(&id) {
                // Whoever gave up in this moment does not need it.
                let _ = told.send((code, body));
            }
        }
        Ok(())
    }

    /// Resolves when nothing comes any more, not even an answer to a sign of life asked for.
    async fn watch(&self, pulse: &Pulse) {
        let mut asked = false;
        loop {
            tokio::time::sleep(PING_INTERVAL).await;
            match (pulse.take(), asked) {
                (true, _) => asked = false,
                (false, true) => return,
                (false, false) => {
                    asked = true;
                    self.outbox.push(0, PING, &[]);
                }
            }
        }
    }
}
