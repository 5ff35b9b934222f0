//! An answer on its way to the client: frames pass as they come, cut only at the boundaries of events, so that an error
//! can be told as an event of its own. The client's pace is the target's: nothing is read ahead. Dropped, it cancels the
//! call and gives the slot back.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actors::Finish;
use actors::ports::{Body, BoxError};
use adapters::openai::{EVENT_LEN_MAX, Tail, complete_len, error_event};
use bytes::{Bytes, BytesMut};
use domain::decide::routing::Target;
use http_body::Frame;
use tokio::time::{Instant, Sleep, sleep};

use super::attempt::LOOK_EVERY;
use super::loads::UnderWay;
use super::peek::is_gone;
use super::ticket::Ticket;
use crate::deps::Pass;
use crate::inner::Inner;
use crate::metrics::Outcome;

/// Where the bytes come from, and what is given back when they end.
pub(super) struct Source {
    pub body: Body,
    pub pass: Option<Pass>,
    pub under_way: UnderWay,
    pub target: Target,
}

/// A body that passes a target's body on.
pub(super) struct Relayed {
    inner: Arc<Inner>,
    /// Gone when the answer is over: that cancels or completes the call.
    source: Option<Source>,
    ticket: Ticket,
    first: Option<Bytes>,
    /// Events, rather than anything else that is too large to be gathered.
    events: bool,
    /// The beginning of an event whose end has not come yet.
    part: BytesMut,
    tail: Tail,
    idle: Duration,
    heard: Instant,
    look: Pin<Box<Sleep>>,
}

impl Relayed {
    pub(super) fn new(
        inner: &Arc<Inner>,
        source: Source,
        first: Bytes,
        events: bool,
        ticket: Ticket,
    ) -> Self {
        Self {
            inner: inner.clone(),
            source: Some(source),
            ticket,
            first: Some(first),
            events,
            part: BytesMut::new(),
            tail: Tail::default(),
            idle: inner.config.idle_timeout(),
            heard: Instant::now(),
            look: Box::pin(sleep(LOOK_EVERY)),
        }
    }

    /// What of these bytes can go to the client now: whole events.
    fn pass_on(&mut self, bytes: Bytes) -> Option<Bytes> {
        if !self.events {
            return Some(bytes);
        }
        let whole = if self.part.is_empty() {
            let len = complete_len(&bytes);
            self.part.extend_from_slice(&bytes[len..]);
            if len == bytes.len() { bytes } else { bytes.slice(..len) }
        } else {
            self.part.extend_from_slice(&bytes);
            let len = complete_len(&self.part);
            self.part.split_to(len).freeze()
        };
        let whole = if whole.is_empty() && self.part.len() > EVENT_LEN_MAX {
            // Not events after all, or absurd ones: they pass as they are rather than be kept.
            self.part.split().freeze()
        } else {
            whole
        };
        self.tail.push(&whole);
        (!whole.is_empty()).then_some(whole)
    }

    /// The target's body ended properly: complete if it said so.
    fn ended(&mut self) -> Option<Bytes> {
        if !self.events {
            return self.over(Outcome::Ok, None);
        }
        let rest = self.part.split().freeze();
        if rest.ends_with(b"data: [DONE]") || rest.ends_with(b"data: [DONE]\n") {
            // Complete but for its last line's end.
            let last = Bytes::from([&rest[..], b"\n\n"].concat());
            self.tail.push(&last);
            self.over(Outcome::Ok, None);
            return Some(last);
        }
        let ending = self.tail.ending();
        self.ticket.used(ending.usage);
        match (ending.done, ending.error) {
            (true, _) => self.over(Outcome::Ok, None),
            // The target told the error itself.
            (false, Some(error)) => {
                self.over(Outcome::Broken, Some(&error.message));
                None
            }
            (false, None) => self.lost("it ended early"),
        }
    }

    /// The target is lost: tells the client, in the only way that is left.
    fn lost(&mut self, why: &str) -> Option<Bytes> {
        if self.events && self.tail.is_done() {
            return self.over(Outcome::Ok, None);
        }
        self.over(Outcome::Broken, Some(why));
        let message = format!("the model's answer broke off ({why}): send the request again");
        self.events.then(|| error_event(&message, "server_error", "upstream_lost"))
    }

    fn over(&mut self, outcome: Outcome, blame: Option<&str>) -> Option<Bytes> {
        self.ticket.end(outcome);
        if let (Some(source), Some(why)) = (&self.source, blame) {
            source.under_way.stat().failed(self.inner.loads.now());
            if let Some(pass) = &source.pass {
                pass.report(Finish::Failed { reason: why.to_owned() });
            }
        }
        self.source = None;
        None
    }

    /// Why the target is not waited for any longer, looked at once in a while.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<&'static str> {
        loop {
            ready!(self.look.as_mut().poll(cx));
            if self.heard.elapsed() >= self.idle {
                return Poll::Ready("nothing came in time");
            }
            if self.source.as_ref().is_some_and(|source| is_gone(&self.inner, &source.target)) {
                return Poll::Ready("its node is gone");
            }
            self.look.as_mut().reset(Instant::now() + LOOK_EVERY.min(self.idle));
        }
    }
}

impl http_body::Body for Relayed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let data = |bytes| Poll::Ready(Some(Ok(Frame::data(bytes))));
        loop {
            if let Some(bytes) = this.first.take().and_then(|first| this.pass_on(first)) {
                return data(bytes);
            }
            let Some(source) = &mut this.source else { return Poll::Ready(None) };
            let last = match Pin::new(&mut source.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.heard = Instant::now();
                    match frame.into_data().ok().and_then(|bytes| this.pass_on(bytes)) {
                        Some(bytes) => return data(bytes),
                        None => continue,
                    }
                }
                Poll::Ready(None) => this.ended(),
                Poll::Ready(Some(Err(error))) if this.events => this.lost(&error.to_string()),
                Poll::Ready(Some(Err(error))) => {
                    this.lost("the connection broke");
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Pending => {
                    let why = ready!(this.poll_patience(cx));
                    if !this.events {
                        this.lost(why);
                        return Poll::Ready(Some(Err(why.into())));
                    }
                    this.lost(why)
                }
            };
            return last.map_or(Poll::Ready(None), data);
        }
    }
}
