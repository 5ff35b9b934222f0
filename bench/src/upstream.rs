//! A mock provider in OpenAI's dialect: fixed answers, and event streams whose length and pace the request or the
//! command line sets. Started by `bench upstream` as a process of its own, and in-process by tests.
//!
//! It costs as little as it can, since it shares the machine with what is measured. It never checks keys or models.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::Semaphore;
use tokio::time::{Instant, Sleep};

/// Connections served at once by one thread; more wait to be accepted.
pub const CONNECTIONS_MAX: usize = 4096;
/// The largest request body that is read, in bytes.
pub const BODY_BYTES_MAX: usize = 16 << 20;
/// The most content events of one stream, whatever a request asks for.
pub const CHUNKS_MAX: u32 = 1_000_000;
/// The longest delay a request may ask for, in milliseconds.
pub const DELAY_MS_MAX: u64 = 60_000;
const BACKLOG: u32 = 4096;

const ANSWER: &str = concat!(
    r#"{"id":"chatcmpl-bench","object":"chat.completion","created":1700000000,"model":"bench-model","choices":["#,
    r#"{"index":0,"message":{"role":"assistant","content":"The quick brown fox jumps over the lazy dog."},"#,
    r#""logprobs":null,"finish_reason":"stop"}],"#,
    r#""usage":{"prompt_tokens":12,"completion_tokens":10,"total_tokens":22}}"#
);
const MODELS: &str = r#"{"object":"list","data":[{"id":"bench-model","object":"model","created":1700000000,"owned_by":"bench"}]}"#;

macro_rules! chunk {
    ($choices:literal, $rest:literal) => {
        concat!(
            r#"data: {"id":"chatcmpl-bench","object":"chat.completion.chunk","created":1700000000,"#,
            r#""model":"bench-model","choices":["#,
            $choices,
            "]",
            $rest,
            "}\n\n"
        )
    };
}
const FIRST: &str =
    chunk!(r#"{"index":0,"delta":{"role":"assistant","content":" token"},"finish_reason":null}"#, "");
const NEXT: &str = chunk!(r#"{"index":0,"delta":{"content":" token"},"finish_reason":null}"#, "");
const STOP: &str = chunk!(r#"{"index":0,"delta":{},"finish_reason":"stop"}"#, "");
const USAGE: &str = chunk!("", r#","usage":{"prompt_tokens":12,"completion_tokens":10,"total_tokens":22}"#);
const DONE: &str = "data: [DONE]\n\n";

/// How a stream runs: that many content events, spaced by `chunk_delay`, the first one after `delay`. A plain answer
/// waits for `delay` too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Script {
    pub chunks: u32,
    pub chunk_delay: Duration,
    pub delay: Duration,
}

impl Default for Script {
    fn default() -> Self {
        Script { chunks: 64, chunk_delay: Duration::from_millis(20), delay: Duration::ZERO }
    }
}

/// The fields of a request that matter here; the rest is ignored.
#[derive(Deserialize)]
struct Ask {
    #[serde(default)]
    stream: bool,
    stream_options: Option<StreamOptions>,
    mock: Option<Override>,
}

#[derive(Deserialize)]
struct StreamOptions {
    #[serde(default)]
    include_usage: bool,
}

/// The request's `mock` field: each part replaces that of the command line.
#[derive(Deserialize)]
struct Override {
    chunks: Option<u32>,
    chunk_delay_ms: Option<u64>,
    delay_ms: Option<u64>,
}

impl Script {
    fn with(self, wish: Option<Override>) -> Script {
        let Some(wish) = wish else { return self };
        let ms = |ms: u64| Duration::from_millis(ms.min(DELAY_MS_MAX));
        Script {
            chunks: wish.chunks.unwrap_or(self.chunks).min(CHUNKS_MAX),
            chunk_delay: wish.chunk_delay_ms.map_or(self.chunk_delay, ms),
            delay: wish.delay_ms.map_or(self.delay, ms),
        }
    }
}

/// Binds a listener; with `shared`, several threads may bind the same port and the kernel spreads connections over them.
pub fn listen(address: SocketAddr, shared: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(true)?;
    socket.set_reuseport(shared)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves connections for ever, each as a task of the current runtime.
pub async fn serve(listener: TcpListener, script: Script) -> io::Result<Infallible> {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let permit = Arc::clone(&room).acquire_owned().await.map_err(io::Error::other)?;
        let tcp = match listener.accept().await {
            Ok((tcp, _)) => tcp,
            // The client is gone already, or descriptors ran out: neither is a reason to stop serving the others.
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(10)).await;
                continue;
            }
        };
        tcp.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, script));
            let mut http = hyper::server::conn::http1::Builder::new();
            // An error here is a client that went away in the middle: the load generator counts it on its side.
            let _ = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(tcp), service).await;
            drop(permit);
        });
    }
}

async fn answer(request: Request<Incoming>, script: Script) -> Result<Response<Answer>, Infallible> {
    Ok(match (request.method(), request.uri().path()) {
        (&Method::POST, "/v1/chat/completions") => chat(request.into_body(), script).await,
        (&Method::GET, "/v1/models") => json(StatusCode::OK, MODELS),
        (&Method::GET, "/health") => json(StatusCode::OK, r#"{"status":"ok"}"#),
        _ => json(
            StatusCode::NOT_FOUND,
            r#"{"error":{"message":"no such path","type":"invalid_request_error"}}"#,
        ),
    })
}

async fn chat(body: Incoming, script: Script) -> Response<Answer> {
    let ask = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => serde_json::from_slice::<Ask>(&body.to_bytes()).ok(),
        Err(_) => None,
    };
    let Some(ask) = ask else {
        let why =
            r#"{"error":{"message":"the body is no JSON chat request","type":"invalid_request_error"}}"#;
        return json(StatusCode::BAD_REQUEST, why);
    };
    let script = script.with(ask.mock);
    if ask.stream {
        let usage = ask.stream_options.is_some_and(|o| o.include_usage);
        return typed(StatusCode::OK, "text/event-stream", Answer::Events(Events::new(script, usage)));
    }
    if !script.delay.is_zero() {
        tokio::time::sleep(script.delay).await;
    }
    json(StatusCode::OK, ANSWER)
}

fn json(status: StatusCode, text: &'static str) -> Response<Answer> {
    typed(status, "application/json", Answer::Whole(Full::new(Bytes::from_static(text.as_bytes()))))
}

fn typed(status: StatusCode, kind: &'static str, body: Answer) -> Response<Answer> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// The body of an answer.
enum Answer {
    Whole(Full<Bytes>),
    Events(Events),
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Answer::Whole(full) => Pin::new(full).poll_frame(cx),
            Answer::Events(events) => events.poll_next(cx).map(|event| event.map(|e| Ok(Frame::data(e)))),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(full) => full.size_hint(),
            Answer::Events(_) => SizeHint::default(),
        }
    }
}

/// A stream under way. Events are due at fixed moments counted from the start, so that delays do not add up.
struct Events {
    script: Script,
    sent: u32,
    tail: Option<Bytes>,
    due: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Events {
    fn new(script: Script, usage: bool) -> Events {
        let due = Instant::now() + script.delay;
        let tail = [STOP, if usage { USAGE } else { "" }, DONE].concat();
        let timer = Box::pin(tokio::time::sleep_until(due));
        Events { script, sent: 0, tail: Some(Bytes::from(tail)), due, timer }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.sent == self.script.chunks {
            return Poll::Ready(self.tail.take());
        }
        if self.due > Instant::now() {
            std::task::ready!(self.timer.as_mut().poll(cx));
        }
        let event = if self.sent == 0 { FIRST } else { NEXT };
        self.sent += 1;
        if !self.script.chunk_delay.is_zero() {
            self.due += self.script.chunk_delay;
            self.timer.as_mut().reset(self.due);
        }
        Poll::Ready(Some(Bytes::from_static(event.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_overrides_the_script_part_by_part_and_within_limits() {
        let wish = |text: &str| serde_json::from_str::<Ask>(text).expect("a request").mock;
        let script = Script::default();
        assert_eq!(script.with(wish(r#"{"model":"m"}"#)), script);
        let asked = script.with(wish(r#"{"mock":{"chunks":3,"delay_ms":5}}"#));
        assert_eq!(asked, Script { chunks: 3, delay: Duration::from_millis(5), ..script });
        let much = script.with(wish(r#"{"mock":{"chunks":4000000000,"chunk_delay_ms":99999999}}"#));
        assert_eq!((much.chunks, much.chunk_delay), (CHUNKS_MAX, Duration::from_millis(DELAY_MS_MAX)));
    }

    #[test]
    fn every_fixed_answer_is_json() {
        for text in [ANSWER, MODELS].into_iter().chain([FIRST, NEXT, STOP, USAGE].map(|e| e[6..].trim())) {
            let value: serde_json::Value = serde_json::from_str(text).expect(text);
            assert!(value.is_object());
        }
    }
}
