//! An answer of the mock as steps: wait, send, break or end. Whoever runs it brings the clock and the connection.

use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};

use super::ask::{Ask, Wish};
use super::shape::Stamp;
use super::text::Reply;
use crate::openai::{DONE, error_body};

/// What to do next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// Wait that long, then send these bytes.
    Send {
        /// Counted from the step before.
        after: Duration,
        /// Part of the body.
        bytes: Bytes,
    },
    /// Break the connection without ending the body.
    Cut,
    /// The body is complete.
    End,
}

/// An answer: its head, and its body step by step.
#[derive(Debug, Clone)]
pub struct Script {
    /// The HTTP status.
    pub status: u16,
    /// `application/json` or `text/event-stream`.
    pub content_type: &'static str,
    /// The header `retry-after`, in seconds.
    pub retry_after: Option<u64>,
    /// How long to wait before the head is sent.
    pub delay: Duration,
    body: Body,
}

#[derive(Debug, Clone)]
enum Body {
    Whole { bytes: Bytes, cut: bool },
    Stream(Box<Stream>),
    Cut,
    End,
}

#[derive(Debug, Clone)]
struct Stream {
    stamp: Stamp,
    reply: Reply,
    usage: bool,
    pace: Duration,
    cut_after: Option<u32>,
    at: At,
}

/// Which event of a stream comes next.
#[derive(Debug, Clone, Copy, PartialEq)]
enum At {
    Role,
    Piece(u32),
    Finish,
    Usage,
    Done,
    Over,
}

impl Script {
    pub(super) fn refusal(status: u16, message: &str, retry_after: Option<u64>, wish: &Wish) -> Self {
        let (kind, code) = match status {
            401 | 403 => ("authentication_error", "invalid_api_key"),
            404 => ("invalid_request_error", "model_not_found"),
            429 => ("rate_limit_error", "rate_limit_exceeded"),
            400..=499 => ("invalid_request_error", "invalid_request"),
            _ => ("server_error", "server_error"),
        };
        let body = error_body(message, kind, None, Some(code));
        Self { status, retry_after, ..Self::whole(body, wish) }
    }

    pub(super) fn whole(bytes: Bytes, wish: &Wish) -> Self {
        Self {
            status: 200,
            content_type: "application/json",
            retry_after: None,
            delay: wish.delay(),
            body: Body::Whole { bytes, cut: wish.cut_after_chunks.is_some() },
        }
    }

    pub(super) fn reply(stamp: Stamp, reply: Reply, ask: &Ask, wish: Wish) -> Self {
        if ask.stream != Some(true) {
            let (message, finish) = whole_message(&stamp, &reply);
            return Self::whole(stamp.whole(message, finish, tokens(&reply)), &wish);
        }
        let stream = Stream {
            stamp,
            reply,
            usage: ask.wants_usage(),
            pace: wish.chunk_delay(),
            cut_after: wish.cut_after_chunks,
            at: At::Role,
        };
        Self {
            status: 200,
            content_type: crate::openai::EVENT_STREAM,
            retry_after: None,
            delay: wish.delay(),
            body: Body::Stream(Box::new(stream)),
        }
    }

    /// The next step; after [`Step::Cut`] or [`Step::End`] always the same.
    pub fn step(&mut self) -> Step {
        match &mut self.body {
            Body::Whole { bytes, cut } => {
                let (bytes, cut) = (std::mem::take(bytes), *cut);
                let bytes = if cut { bytes.slice(..bytes.len() / 2) } else { bytes };
                self.body = if cut { Body::Cut } else { Body::End };
                Step::Send { after: Duration::ZERO, bytes }
            }
            Body::Stream(stream) => match stream.step() {
                Some(step) => step,
                None => {
                    let cut = stream.at != At::Over;
                    self.body = if cut { Body::Cut } else { Body::End };
                    self.step()
                }
            },
            Body::Cut => Step::Cut,
            Body::End => Step::End,
        }
    }

    /// The whole body without its delays, and whether it is complete.
    pub fn collect(mut self) -> (Bytes, bool) {
        let mut body = Vec::new();
        loop {
            match self.step() {
                Step::Send { bytes, .. } => body.extend_from_slice(&bytes),
                Step::Cut => return (body.into(), false),
                Step::End => return (body.into(), true),
            }
        }
    }
}

fn tokens(reply: &Reply) -> u64 {
    match reply {
        Reply::Text { pieces, .. } => u64::from(pieces.count()),
        Reply::Tool { arguments, .. } => 1 + arguments.split_whitespace().count() as u64,
    }
}

fn tool(stamp: &Stamp, name: &str, arguments: &str) -> Value {
    let id = format!("call_{}", stamp.id.trim_start_matches("chatcmpl-"));
    json!({ "id": id, "type": "function", "function": { "name": name, "arguments": arguments } })
}

fn whole_message(stamp: &Stamp, reply: &Reply) -> (Value, &'static str) {
    let chat = stamp.operation == crate::Operation::Chat;
    match reply {
        Reply::Text { pieces, finish } if chat => {
            (json!({ "role": "assistant", "content": pieces.all(), "refusal": null }), finish)
        }
        Reply::Text { pieces, finish } => (json!(pieces.all()), finish),
        Reply::Tool { name, arguments } => {
            let calls = [tool(stamp, name, arguments)];
            (json!({ "role": "assistant", "content": null, "tool_calls": calls }), "tool_calls")
        }
    }
}

impl Stream {
    /// The next event, or `None` when the stream is over: complete when `at` is `Over`, else cut.
    fn step(&mut self) -> Option<Step> {
        let chat = self.stamp.operation == crate::Operation::Chat;
        if self.at == At::Role && !chat {
            self.at = At::Piece(0);
        }
        if let At::Piece(n) = self.at {
            if self.cut_after == Some(n) {
                return None;
            }
            if n >= self.pieces() {
                self.at = At::Finish;
            }
        }
        let mut after = Duration::ZERO;
        let (bytes, next) = match self.at {
            At::Role => (self.stamp.chunk(json!({ "role": "assistant", "content": "" }), None), At::Piece(0)),
            At::Piece(n) => {
                if n > 0 {
                    after = self.pace;
                }
                (self.stamp.chunk(self.delta(n, chat), None), At::Piece(n + 1))
            }
            At::Finish => {
                let nothing = if chat { json!({}) } else { json!("") };
                let next = if self.usage { At::Usage } else { At::Done };
                (self.stamp.chunk(nothing, Some(self.finish())), next)
            }
            At::Usage => (self.stamp.usage(tokens(&self.reply)), At::Done),
            At::Done => (Bytes::from_static(DONE), At::Over),
            At::Over => return None,
        };
        self.at = next;
        Some(Step::Send { after, bytes })
    }

    fn pieces(&self) -> u32 {
        match &self.reply {
            Reply::Text { pieces, .. } => pieces.count(),
            Reply::Tool { .. } => 2,
        }
    }

    fn finish(&self) -> &'static str {
        match &self.reply {
            Reply::Text { finish, .. } => finish,
            Reply::Tool { .. } => "tool_calls",
        }
    }

    fn delta(&self, n: u32, chat: bool) -> Value {
        match &self.reply {
            Reply::Text { pieces, .. } if chat => json!({ "content": pieces.get(n) }),
            Reply::Text { pieces, .. } => json!(pieces.get(n)),
            // As OpenAI streams a call: first who, then with what.
            Reply::Tool { name, .. } if n == 0 => {
                let mut call = tool(&self.stamp, name, "");
                call["index"] = json!(0);
                json!({ "tool_calls": [call] })
            }
            Reply::Tool { arguments, .. } => {
                json!({ "tool_calls": [{ "index": 0, "function": { "arguments": arguments } }] })
            }
        }
    }
}
