//! Streams whose clients take nothing of them. The client's pace is the target's, so one that stops reading would hold its
//! target's slot for ever, and nobody polls its stream any more: a task of the gateway's looks at all of them now and then
//! and takes the call away from those that were left alone for too long. It sleeps only while there are streams.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::attempt::LOOK_EVERY;
use super::relayed::{Line, State};

/// All streams of a gateway. It remembers those that live and those that ended within the last [`LOOK_EVERY`]; their
/// number is bounded by the connections that may be open.
#[derive(Default)]
pub(crate) struct Unread {
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    lines: Vec<Weak<Line>>,
    /// Whether the task is there.
    watched: bool,
}

impl Unread {
    /// Looks after a stream from now on.
    pub(super) fn watch(self: &Arc<Self>, line: &Arc<Line>, idle: Duration) {
        let mut book = lock(&self.book);
        book.lines.push(Arc::downgrade(line));
        if !std::mem::replace(&mut book.watched, true) {
            tokio::spawn(look_after(self.clone(), idle));
        }
    }
}

async fn look_after(unread: Arc<Unread>, idle: Duration) {
    loop {
        sleep(LOOK_EVERY).await;
        let mut lines = std::mem::take(&mut lock(&unread.book).lines);
        let now = Instant::now();
        lines.retain(|line| line.upgrade().is_some_and(|line| !cut(&line, now, idle)));
        let mut book = lock(&unread.book);
        book.lines.append(&mut lines);
        if book.lines.is_empty() {
            book.watched = false;
            return;
        }
    }
}

/// Takes the call away if its client has not asked for more since its last bytes came; says whether it is over.
fn cut(line: &Line, now: Instant, idle: Duration) -> bool {
    let mut state = lock(line);
    match &mut *state {
        State::UnderWay(call) if call.waiting || now < call.heard + idle => false,
        State::UnderWay(call) => {
            let remains = call.remains();
            let unread = std::mem::replace(&mut *state, remains);
            drop(state);
            drop(unread);
            true
        }
        State::Unread(_) | State::Over => true,
    }
}

/// Poisoning cannot leave these half changed, so it is passed over.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
