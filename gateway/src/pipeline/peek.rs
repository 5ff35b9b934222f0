//! Reading a target's body within deadlines: its first frame, or all of it. While waiting, a call on another node looks
//! now and then whether that node is given up, so that no silence is waited out for nothing.

use actors::ports::Body;
use bytes::{Bytes, BytesMut};
use domain::decide::routing::{Target, given_up};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::attempt::LOOK_EVERY;
use crate::inner::Inner;

/// The longest plain answer that is gathered before it is sent, in bytes: until then it can be asked for anew.
const GATHER_MAX: usize = 32 << 20;

/// Why a body cannot be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broke {
    /// The connection broke.
    #[error("{0}")]
    Cut(String),
    /// Nothing came in time.
    #[error("nothing came in time")]
    Late,
}

/// A body, as far as it was gathered.
pub(super) enum Gathered {
    /// All of it.
    Whole(Bytes),
    /// The beginning of one that is too large to be gathered.
    TooLarge(Bytes),
}

/// The first bytes of a body; none when it has none.
pub(super) async fn first(
    inner: &Inner,
    body: &mut Body,
    target: &Target,
    deadline: Instant,
) -> Result<Bytes, Broke> {
    next(inner, body, target, deadline).await.map(Option::unwrap_or_default)
}

/// The rest of a body, after `start`: whole before the deadline, and never silent for too long.
pub(super) async fn gather(
    inner: &Inner,
    body: &mut Body,
    start: Bytes,
    target: &Target,
    deadline: Instant,
) -> Result<Gathered, Broke> {
    let idle = inner.config.idle_timeout();
    let mut all = BytesMut::new();
    let mut only = start;
    loop {
        if http_body::Body::is_end_stream(body) {
            break;
        }
        let Some(bytes) = next(inner, body, target, deadline.min(Instant::now() + idle)).await? else {
            break;
        };
        // Most answers come in one frame, which is passed on without a copy.
        if only.is_empty() && all.is_empty() {
            only = bytes;
            continue;
        }
        if !only.is_empty() {
            all.extend_from_slice(&std::mem::take(&mut only));
        }
        all.extend_from_slice(&bytes);
        if all.len() > GATHER_MAX {
            return Ok(Gathered::TooLarge(all.freeze()));
        }
    }
    Ok(Gathered::Whole(if only.is_empty() { all.freeze() } else { only }))
}

/// The next bytes that are not empty; `None` at the body's end.
async fn next(
    inner: &Inner,
    body: &mut Body,
    target: &Target,
    deadline: Instant,
) -> Result<Option<Bytes>, Broke> {
    loop {
        let frame = timeout_at(deadline, async {
            tokio::select! {
                biased;
                frame = body.frame() => Ok(frame),
                () = gone(inner, target) => Err(Broke::Cut("the node is gone".to_owned())),
            }
        });
        match frame.await.map_err(|_| Broke::Late)?? {
            None => return Ok(None),
            Some(Err(error)) => return Err(Broke::Cut(error.to_string())),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(bytes) if !bytes.is_empty() => return Ok(Some(bytes)),
                _ => {}
            },
        }
    }
}

/// Resolves when a call at a replica on another node is given up; never for other targets.
pub(super) async fn gone(inner: &Inner, target: &Target) {
    if !is_elsewhere(inner, target) {
        // No timer for what cannot happen: this is on every call's way.
        return std::future::pending().await;
    }
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if is_gone(inner, target) {
            return;
        }
    }
}

/// Whether a call at a replica on another node is given up.
pub(super) fn is_gone(inner: &Inner, target: &Target) -> bool {
    let Target::Replica { id, ordinal, epoch, node } = target else { return false };
    is_elsewhere(inner, target) && given_up(&inner.deps.view.peek(), *id, *ordinal, *epoch, *node)
}

fn is_elsewhere(inner: &Inner, target: &Target) -> bool {
    matches!(target, Target::Replica { node, .. } if *node != inner.deps.me)
}
