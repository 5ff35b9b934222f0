//! One HTTP request on a connection of its own, and what may become of it.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use serde_json::Value;

use super::{Clients, PATIENCE};

/// The largest answer read.
const ANSWER_BYTES_MAX: usize = 8 << 20;

/// What to ask.
#[derive(Debug, Clone)]
pub struct Ask {
    /// The method.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// The body, if any.
    pub body: Option<Value>,
    /// Makes a repetition harmless.
    pub idempotency: Option<String>,
}

impl Ask {
    /// A `GET`.
    pub fn get(path: &str) -> Self {
        Self { method: Method::GET, path: path.to_owned(), body: None, idempotency: None }
    }

    /// A `POST`.
    pub fn post(path: &str, body: Value) -> Self {
        Self { method: Method::POST, path: path.to_owned(), body: Some(body), idempotency: None }
    }

    /// A `PUT`.
    pub fn put(path: &str, body: Value) -> Self {
        Self { method: Method::PUT, ..Self::post(path, body) }
    }

    /// A `DELETE`.
    pub fn delete(path: &str) -> Self {
        Self { method: Method::DELETE, ..Self::get(path) }
    }

    /// The same with an idempotency key.
    pub fn once(self, key: &str) -> Self {
        Self { idempotency: Some(key.to_owned()), ..self }
    }
}

/// What became of it.
#[derive(Debug, Clone, PartialEq)]
pub enum Reply {
    /// An answer; the body is null when it is no JSON.
    Answer(u16, Value),
    /// Nobody took the connection: the request did not happen.
    Refused,
    /// The connection broke: it may have happened.
    Broken,
    /// No answer in time: it may have happened.
    Hung,
}

impl Reply {
    /// The answer's body, if it is one of success.
    pub fn ok(&self) -> Option<&Value> {
        match self {
            Reply::Answer(status, body) if (200..300).contains(status) => Some(body),
            _ => None,
        }
    }
}

/// A stream of an answer, as it opened.
pub(super) enum Opened {
    Body(StatusCode, Incoming),
    Refused,
    Broken,
    Hung,
}

impl Clients {
    /// Asks one node and waits for the whole answer.
    pub async fn ask(&self, node: usize, ask: &Ask) -> Reply {
        match tokio::time::timeout(PATIENCE, self.whole(node, ask)).await {
            Ok(reply) => reply,
            Err(_) => Reply::Hung,
        }
    }

    async fn whole(&self, node: usize, ask: &Ask) -> Reply {
        match self.send(node, ask).await {
            Opened::Body(status, body) => match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
                Ok(body) => {
                    let body = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
                    Reply::Answer(status.as_u16(), body)
                }
                Err(_) => Reply::Broken,
            },
            Opened::Refused => Reply::Refused,
            Opened::Broken => Reply::Broken,
            Opened::Hung => Reply::Hung,
        }
    }

    /// Asks one node and waits for the answer's head.
    pub(super) async fn open(&self, node: usize, ask: &Ask) -> Opened {
        tokio::time::timeout(PATIENCE, self.send(node, ask)).await.unwrap_or(Opened::Hung)
    }

    async fn send(&self, node: usize, ask: &Ask) -> Opened {
        let Ok(io) = self.outside.dial(node).await else { return Opened::Refused };
        let Ok(request) = self.request(ask) else { return Opened::Broken };
        let Ok((mut sender, connection)) = hyper::client::conn::http1::handshake(TokioIo::new(io)).await
        else {
            return Opened::Broken;
        };
        tokio::spawn(async move {
            // Whatever ends it is seen by whoever reads the answer.
            let _ = connection.await;
        });
        match sender.send_request(request).await {
            Ok(response) => {
                let (head, body) = response.into_parts();
                Opened::Body(head.status, body)
            }
            Err(_) => Opened::Broken,
        }
    }

    fn request(&self, ask: &Ask) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut head = Request::builder()
            .method(ask.method.clone())
            .uri(&ask.path)
            .header(HOST, "llmhub")
            .header(CONNECTION, "close");
        if !self.key.is_empty() {
            head = head.header(AUTHORIZATION, format!("Bearer {}", self.key));
        }
        if let Some(key) = &ask.idempotency {
            head = head.header("idempotency-key", key);
        }
        let body = ask.body.as_ref().map(Value::to_string).unwrap_or_default();
        if ask.body.is_some() {
            head = head.header(CONTENT_TYPE, "application/json");
        }
        head.body(Full::new(Bytes::from(body)))
    }
}
