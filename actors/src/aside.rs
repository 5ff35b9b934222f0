//! Work beside an actor: what takes time runs as a task of its own, and the actor is told what came of it as a message,
//! also when the work panicked, so that nothing waits for ever for an answer that cannot come. Used by the actors; it
//! decides nothing.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use ractor::{ActorRef, Message};

use crate::ports::ViewCell;

/// Does the work; `lost` says what is told instead when it panics.
pub(crate) async fn outcome<T>(work: impl Future<Output = T>, lost: impl FnOnce(String) -> T) -> T {
    // Whatever the work held is dropped with it: nobody looks at what a panic left half done.
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(told) => told,
        Err(panic) => {
            let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
            let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
            tracing::error!(reason = text, "work beside an actor panicked");
            lost(format!("this node's program failed at it: {text}"))
        }
    }
}

/// Does the work and tells the actor what came of it; `lost` says what it is told when the work panics. An actor that is
/// over meanwhile needs no telling.
pub(crate) async fn tell<M: Message>(
    to: ActorRef<M>,
    work: impl Future<Output = M>,
    lost: impl FnOnce(String) -> M,
) {
    let _ = to.send_message(outcome(work, lost).await);
}

/// How changes of the view are gathered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gather {
    /// How long to wait for more before a change is told.
    pub(crate) before: Duration,
    /// How long to wait after one was told before the next is.
    pub(crate) after: Duration,
}

/// Tells an actor that the view changed, several changes as one, and once at the beginning; until the actor is over.
pub(crate) async fn watch<M: Message>(view: ViewCell, to: ActorRef<M>, gather: Gather, look: fn() -> M) {
    let mut changes = view.watch();
    while changes.changed().await.is_ok() {
        if !gather.before.is_zero() {
            tokio::time::sleep(gather.before).await;
            changes.mark_unchanged();
        }
        if to.send_message(look()).is_err() {
            return;
        }
        if !gather.after.is_zero() {
            tokio::time::sleep(gather.after).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_that_panics_is_told_like_any_other() {
        assert_eq!(outcome(async { Ok(7) }, Err).await, Ok(7));
        let lost = outcome(async { panic!("no such row") }, Err::<u32, String>).await;
        assert!(lost.unwrap_err().ends_with("failed at it: no such row"));
    }
}
