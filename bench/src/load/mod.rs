//! The load generator: the same chat request, again and again, over kept-alive HTTP/1.1 connections.
//!
//! Used by the suite and by `bench load`. Every loop ends by its own duration, and every request by a deadline. Failures
//! are counted and the first one is kept for the reader; they never count as measurements.

mod closed;
mod connection;
mod open;
mod sse;
mod streams;

pub use closed::closed_loop;
pub use connection::{Connection, FirstEvent, REQUEST_DEADLINE};
pub use open::{CONNECTIONS_MAX, open_loop};
pub use sse::EventScanner;
pub use streams::{StreamPlan, streams};

use crate::stats::Samples;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body_util::Full;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::time::Duration;

/// One chat request, ready to be sent any number of times to one address.
#[derive(Debug, Clone)]
pub struct Call {
    pub address: SocketAddr,
    headers: HeaderMap,
    body: Bytes,
}

impl Call {
    /// A plain chat request for `model`, with `key` as bearer token where there is one.
    pub fn plain(address: SocketAddr, model: &str, key: Option<&str>) -> anyhow::Result<Call> {
        Call::new(address, key, &chat(model))
    }

    /// A streamed one: `chunks` content events every `delay`, as the mock upstream understands it.
    pub fn streamed(
        address: SocketAddr,
        model: &str,
        key: Option<&str>,
        chunks: u32,
        delay: Duration,
    ) -> anyhow::Result<Call> {
        let mut body = chat(model);
        body["stream"] = json!(true);
        body["mock"] = json!({ "chunks": chunks, "chunk_delay_ms": delay.as_millis() as u64 });
        Call::new(address, key, &body)
    }

    fn new(address: SocketAddr, key: Option<&str>, body: &Value) -> anyhow::Result<Call> {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(&address.to_string())?);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("llmhub-bench"));
        if let Some(key) = key {
            let mut value = HeaderValue::from_str(&format!("Bearer {key}"))?;
            value.set_sensitive(true);
            headers.insert(header::AUTHORIZATION, value);
        }
        Ok(Call { address, headers, body: Bytes::from(serde_json::to_vec(body)?) })
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = http::Uri::from_static("/v1/chat/completions");
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// About what a short chat with a system prompt weighs: 250 bytes.
fn chat(model: &str) -> Value {
    json!({
        "model": model,
        "messages": [
            { "role": "system", "content": "You are a helpful assistant. Answer briefly and to the point." },
            { "role": "user", "content": "Write one sentence that uses every letter of the alphabet." },
        ],
        "temperature": 0.2,
        "max_tokens": 64,
    })
}

/// What one run of the generator saw.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// Answers: from sending the request to the last byte. Streams: the gaps between content events.
    pub latency: Samples,
    /// Streams only: from sending the request to the first event.
    pub first: Samples,
    /// Fixed rate only: how late the generator itself was in sending (its timer, or the machine is too busy).
    pub lateness: Samples,
    /// Complete answers, or content events of complete streams.
    pub done: u64,
    /// Requests without a complete answer.
    pub errors: u64,
    /// The first such failure, for the reader.
    pub first_error: Option<String>,
    /// Wall time of the run.
    pub elapsed: Duration,
}

impl Tally {
    /// Counts a failure.
    pub fn fail(&mut self, error: &anyhow::Error) {
        self.errors += 1;
        self.first_error.get_or_insert_with(|| format!("{error:#}"));
    }

    /// Adds what another task saw; the longer wall time counts.
    pub fn merge(&mut self, other: Tally) {
        self.latency.merge(other.latency);
        self.first.merge(other.first);
        self.lateness.merge(other.lateness);
        self.done += other.done;
        self.errors += other.errors;
        self.first_error = self.first_error.take().or(other.first_error);
        self.elapsed = self.elapsed.max(other.elapsed);
    }

    /// Answers or events per second.
    pub fn per_second(&self) -> f64 {
        if self.elapsed.is_zero() { 0.0 } else { self.done as f64 / self.elapsed.as_secs_f64() }
    }
}
