//! One-off JSON requests: readiness and the admin interface. Used while a run is set up, never while it measures.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long one such request may take.
pub const DEADLINE: Duration = Duration::from_secs(10);
const BODY_BYTES_MAX: usize = 4 << 20;
const ERROR_CHARS_SHOWN: usize = 300;

/// An answer: its status and, where it is JSON, its body.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: StatusCode,
    pub body: Value,
}

/// Sends one request on a connection of its own.
pub async fn request(
    address: SocketAddr,
    method: Method,
    path: &str,
    key: Option<&str>,
    body: Option<&Value>,
) -> anyhow::Result<Answer> {
    let what = format!("{method} http://{address}{path}");
    let work = exchange(address, method, path, key, body);
    timeout(DEADLINE, work).await.with_context(|| format!("{what}: no answer in time"))?.context(what)
}

/// The same, where anything but a 2xx is an error that shows the answer.
pub async fn request_ok(
    address: SocketAddr,
    method: Method,
    path: &str,
    key: Option<&str>,
    body: Option<&Value>,
) -> anyhow::Result<Value> {
    let what = format!("{method} http://{address}{path}");
    let answer = request(address, method, path, key, body).await?;
    let shown: String = answer.body.to_string().chars().take(ERROR_CHARS_SHOWN).collect();
    ensure!(answer.status.is_success(), "{what} answered {}: {shown}", answer.status);
    Ok(answer.body)
}

async fn exchange(
    address: SocketAddr,
    method: Method,
    path: &str,
    key: Option<&str>,
    body: Option<&Value>,
) -> anyhow::Result<Answer> {
    let tcp = TcpStream::connect(address).await?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp)).await?;
    let driver = tokio::spawn(async move { drop(connection.await) });
    let mut head = Request::builder().method(method).uri(path).header(header::HOST, address.to_string());
    if let Some(key) = key {
        head = head.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    if body.is_some() {
        head = head.header(header::CONTENT_TYPE, "application/json");
    }
    let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
    let response = sender.send_request(head.body(Full::new(Bytes::from(bytes)))?).await?;
    let status = response.status();
    let collected = Limited::new(response.into_body(), BODY_BYTES_MAX).collect().await;
    let text = collected.map_err(|error| anyhow::anyhow!(error))?.to_bytes();
    driver.abort();
    let body = serde_json::from_slice(&text).unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&text)));
    Ok(Answer { status, body })
}
