//! An answer on its way to the client: frames pass as they come, cut only at the boundaries of events, so that an error
//! can be told as an event of its own. The client's pace is the target's: nothing is read ahead. Dropped, it cancels the
//! call and gives the slot back; so does [`super::unread`] when the client takes nothing for too long.

use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actors::Finish;
use actors::ports::{Body, BoxError};
use adapters::openai::ErrorBody;
use bytes::Bytes;
use domain::decide::routing::Target;
use http_body::{Body as _, Frame};
use tokio::time::{Instant, Sleep, sleep};

use super::attempt::LOOK_EVERY;
use super::events::Events;
use super::guard;
use super::loads::UnderWay;
use super::peek::is_gone;
use super::ticket::Ticket;
use super::unread::lock;
use crate::deps::Pass;
use crate::inner::Inner;
use crate::metrics::Outcome;

/// What is said of a target that ended its stream with an error of its own: its words stay between it and the client.
const TOLD: &str = "it ended its answer with an error";
/// What a client is told that comes back to an answer it left alone.
const LEFT_ALONE: &str = "nothing of it was read for too long";

/// Where the bytes come from, and what is given back when they end.
pub(super) struct Source {
    pub body: Body,
    pub pass: Option<Pass>,
    pub under_way: UnderWay,
    pub target: Target,
}

/// A call whose answer passes.
pub(super) struct Passing {
    source: Source,
    ticket: Ticket,
    /// What passed; `None` for what is no stream of events, but too large to be gathered, and once the call is recorded.
    events: Option<Events>,
    /// When the target's last bytes came.
    pub heard: Instant,
    /// Whether the client has taken them and waits for more.
    pub waiting: bool,
}

impl Passing {
    /// What is left of it once it is taken away from a client that left it alone: nothing is to be told to one that has
    /// all of it.
    pub(super) fn remains(&mut self) -> State {
        match &mut self.events {
            Some(events) if events.is_done() => State::Over,
            Some(events) => State::Unread(Some(events.fail(lost(LEFT_ALONE)))),
            None => State::Unread(None),
        }
    }

    /// Counts what the answer used, once.
    fn record(&mut self, outcome: Outcome, events: Option<Events>) {
        if let (Some(claim), Some(events)) = (self.ticket.claim(), &events) {
            claim.passed(events.count());
        }
        self.ticket.used(events.and_then(|events| events.ending().usage));
        self.ticket.end(outcome);
    }
}

/// A client may go away with a complete answer before its target closes it.
impl Drop for Passing {
    fn drop(&mut self) {
        let events = self.events.take_if(|events| events.is_done());
        if events.is_some() {
            self.record(Outcome::Ok, events);
        } else if let (Some(claim), Some(events)) = (self.ticket.claim(), &self.events) {
            claim.passed(events.count());
        }
    }
}

/// A call, until it is over.
#[expect(clippy::large_enum_variant, reason = "one a stream, and the small variant is how it ends")]
pub(super) enum State {
    UnderWay(Passing),
    /// Its client left it alone; the event that tells it so, where it can be told by one.
    Unread(Option<Bytes>),
    Over,
}

/// A stream's call. The lock is the stream's own: only the look at streams that are left alone takes it besides.
pub(super) type Line = Mutex<State>;

/// How a call ends.
enum End {
    /// It is complete; the bytes that were still to be sent.
    Complete(Option<Bytes>),
    /// The target told an error itself; the bytes that were still to be sent.
    Told(Option<Bytes>),
    /// The target is lost; why.
    Lost(String),
    /// What can only be told by breaking the body off.
    Broke(BoxError),
}

/// A body that passes a target's body on.
pub(super) struct Relayed {
    inner: Arc<Inner>,
    line: Arc<Line>,
    first: Option<Bytes>,
    idle: Duration,
    look: Pin<Box<Sleep>>,
}

impl Relayed {
    pub(super) fn new(
        inner: &Arc<Inner>,
        source: Source,
        first: Option<Bytes>,
        events: Option<Events>,
        ticket: Ticket,
    ) -> Self {
        let idle = inner.config.idle_timeout();
        let call = Passing { source, ticket, events, heard: Instant::now(), waiting: false };
        let line = Arc::new(Mutex::new(State::UnderWay(call)));
        inner.unread.watch(&line, idle);
        Self { inner: inner.clone(), line, first, idle, look: Box::pin(sleep(LOOK_EVERY)) }
    }
}

/// The next bytes for the client, or how the call ends.
fn next(
    call: &mut Passing,
    first: &mut Option<Bytes>,
    cx: &mut Context<'_>,
    mut patience: impl FnMut(&Passing, &mut Context<'_>) -> Poll<&'static str>,
) -> Poll<Result<Bytes, End>> {
    // What came first was looked at before.
    if let Some(first) = first.take().filter(|first| !first.is_empty()) {
        return Poll::Ready(Ok(first));
    }
    loop {
        let came = match Pin::new(&mut call.source.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                call.heard = Instant::now();
                call.waiting = false;
                if let Some(pass) = &call.source.pass {
                    pass.progressed();
                }
                frame.into_data().unwrap_or_default()
            }
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(broke(call.events.as_ref(), error))),
            Poll::Ready(None) => return Poll::Ready(Err(ended(call.events.as_mut()))),
            Poll::Pending => {
                call.waiting = true;
                let why = ready!(patience(call, cx));
                return Poll::Ready(Err(broke(call.events.as_ref(), why.into())));
            }
        };
        let whole = match &mut call.events {
            Some(events) => events.push(came),
            None => (!came.is_empty()).then_some(came),
        };
        if let Some(bytes) = whole {
            return Poll::Ready(Ok(bytes));
        }
    }
}

/// The target's body ended properly: complete if it said so.
fn ended(events: Option<&mut Events>) -> End {
    let Some(events) = events else { return End::Complete(None) };
    let last = events.finish();
    let ending = events.ending();
    match (ending.done, ending.error) {
        (true, _) => End::Complete(last),
        (false, Some(_)) => End::Told(last),
        (false, None) => End::Lost("it ended early".to_owned()),
    }
}

/// The target is not heard of any longer, which matters only if something was still to come.
fn broke(events: Option<&Events>, error: BoxError) -> End {
    match events {
        Some(events) if events.is_done() => End::Complete(None),
        Some(_) => End::Lost(error.to_string()),
        None => End::Broke(error),
    }
}

/// Records how a call ended, gives back what it held, and tells the client the rest.
fn close(inner: &Inner, mut call: Passing, end: End) -> Option<Result<Bytes, BoxError>> {
    let mut events = call.events.take();
    let told = match (&end, &mut events) {
        (End::Lost(why), Some(events)) => Some(events.fail(lost(why))),
        _ => None,
    };
    call.record(if matches!(end, End::Complete(_)) { Outcome::Ok } else { Outcome::Broken }, events);
    let blame = |why: &str| {
        let (stat, now) = (call.source.under_way.stat(), inner.loads.now());
        stat.failed(now);
        stat.learn(None, guard::Outcome::Failed, now, inner.ids.draw());
        if let Some(pass) = &call.source.pass {
            pass.report(Finish::Failed { reason: why.to_owned() });
        }
    };
    match end {
        End::Complete(last) => last.map(Ok),
        End::Told(last) => {
            blame(TOLD);
            last.map(Ok)
        }
        End::Lost(why) => {
            blame(&why);
            told.filter(|told| !told.is_empty()).map(Ok)
        }
        End::Broke(error) => {
            blame("the connection broke");
            Some(Err(error))
        }
    }
}

/// Told in the only way that is left in the middle of a stream.
fn lost(why: &str) -> ErrorBody {
    let message = format!("the model's answer broke off ({why}): send the request again");
    let [kind, code] = ["server_error", "upstream_lost"].map(|text| Some(text.to_owned()));
    ErrorBody { message, kind, param: None, code }
}

/// Why the target is not waited for any longer, looked at once in a while.
fn poll_patience(
    inner: &Inner,
    call: &Passing,
    look: &mut Pin<Box<Sleep>>,
    idle: Duration,
    cx: &mut Context<'_>,
) -> Poll<&'static str> {
    loop {
        ready!(look.as_mut().poll(cx));
        if call.heard.elapsed() >= idle {
            return Poll::Ready("nothing came in time");
        }
        if is_gone(inner, &call.source.target) {
            return Poll::Ready("its node is gone");
        }
        look.as_mut().reset(Instant::now() + LOOK_EVERY.min(idle));
    }
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Relayed { inner, line, first, idle, look } = &mut *self;
        let mut state = lock(line);
        let polled = match &mut *state {
            State::UnderWay(call) => {
                let patience =
                    |call: &Passing, cx: &mut Context<'_>| poll_patience(inner, call, look, *idle, cx);
                ready!(next(call, first, cx, patience))
            }
            State::Unread(told) => {
                let told = told.take().ok_or_else(|| LEFT_ALONE.into());
                *state = State::Over;
                return Poll::Ready(Some(told.map(Frame::data)));
            }
            State::Over => return Poll::Ready(None),
        };
        match polled {
            Ok(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
            Err(end) => {
                let State::UnderWay(call) = std::mem::replace(&mut *state, State::Over) else {
                    return Poll::Ready(None);
                };
                drop(state);
                let last = close(inner, call, end);
                Poll::Ready(last.map(|last| last.map(Frame::data)))
            }
        }
    }
}
