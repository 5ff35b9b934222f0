//! One client of a store: a connection of its own, one request at a time. LLMHub is spoken to over HTTP/1.1 with an API
//! key, etcd over its gRPC interface, whose few messages are written out here (etcd's `rpc.proto`, version 3).

use crate::load::REQUEST_DEADLINE;
use anyhow::{Context, bail, ensure};
use bytes::{Bytes, BytesMut};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, TE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use std::net::SocketAddr;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// What is asked of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// Write a value, durably.
    Put,
    /// Read a value, linearizably.
    Get,
}

/// Which store, and what it takes to be let in.
#[derive(Debug, Clone)]
pub(super) enum Store {
    LlmHub { key: String },
    Etcd,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// An open connection to one member of a store.
pub(super) struct Client {
    sender: Sender,
    driver: JoinHandle<()>,
    address: SocketAddr,
    bearer: Option<HeaderValue>,
}

impl Client {
    /// Connects.
    pub(super) async fn open(store: &Store, address: SocketAddr) -> anyhow::Result<Client> {
        let tcp =
            timeout(REQUEST_DEADLINE, TcpStream::connect(address)).await.context("no connection in time")?;
        let tcp = tcp.with_context(|| format!("connect to {address}"))?;
        tcp.set_nodelay(true)?;
        let io = TokioIo::new(tcp);
        let (sender, driver, bearer) = match store {
            Store::LlmHub { key } => {
                let (sender, connection) = http1::handshake(io).await?;
                let mut bearer = HeaderValue::from_str(&format!("Bearer {key}"))?;
                bearer.set_sensitive(true);
                let driver = tokio::spawn(async move { drop(connection.await) });
                (Sender::Http1(sender), driver, Some(bearer))
            }
            Store::Etcd => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
                (Sender::Http2(sender), tokio::spawn(async move { drop(connection.await) }), None)
            }
        };
        Ok(Client { sender, driver, address, bearer })
    }

    /// Asks, and reads the whole answer; anything but success is an error.
    pub(super) async fn ask(&mut self, ask: Ask, key: &str, value: &Bytes) -> anyhow::Result<()> {
        timeout(REQUEST_DEADLINE, self.exchange(ask, key, value)).await.context("no answer in time")?
    }

    async fn exchange(&mut self, ask: Ask, key: &str, value: &Bytes) -> anyhow::Result<()> {
        let request = self.request(ask, key, value)?;
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        };
        match self.sender {
            Sender::Http1(_) => check_http(response).await,
            Sender::Http2(_) => check_grpc(response).await,
        }
    }

    fn request(&self, ask: Ask, key: &str, value: &Bytes) -> anyhow::Result<Request<Full<Bytes>>> {
        let mut request = Request::builder();
        if let Some(bearer) = &self.bearer {
            let path = format!("/api/config/{key}");
            request = request.header(HOST, self.address.to_string()).header(AUTHORIZATION, bearer);
            let request = match ask {
                Ask::Put => request.method(Method::PUT).uri(path).body(Full::new(value.clone())),
                Ask::Get => request.uri(format!("{path}?consistent=true")).body(Full::default()),
            };
            return Ok(request?);
        }
        let (call, message) = match ask {
            Ask::Put => ("Put", message(&[(1, key.as_bytes()), (2, value)])),
            Ask::Get => ("Range", message(&[(1, key.as_bytes())])),
        };
        let uri = format!("http://{}/etcdserverpb.KV/{call}", self.address);
        request = request.method(Method::POST).uri(uri).header(TE, "trailers");
        Ok(request.header(CONTENT_TYPE, "application/grpc").body(Full::new(message))?)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

async fn check_http(response: Response<Incoming>) -> anyhow::Result<()> {
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    ensure!(status == StatusCode::OK, "answered {status}: {}", String::from_utf8_lossy(&body));
    Ok(())
}

async fn check_grpc(response: Response<Incoming>) -> anyhow::Result<()> {
    ensure!(response.status() == StatusCode::OK, "answered {}", response.status());
    let in_head = response.headers().get("grpc-status").cloned();
    let body = response.into_body().collect().await?;
    let trailers = body.trailers();
    let status = in_head.or_else(|| trailers.and_then(|t| t.get("grpc-status")).cloned());
    match status {
        Some(status) if status == "0" => Ok(()),
        status => {
            let why = trailers.and_then(|t| t.get("grpc-message"));
            bail!("etcd answered grpc-status {status:?}: {why:?}")
        }
    }
}

/// A protobuf message of byte fields, framed for gRPC: a byte that says it is not compressed, and its length.
fn message(fields: &[(u8, &[u8])]) -> Bytes {
    let mut body = BytesMut::new();
    for (number, bytes) in fields {
        body.extend_from_slice(&[number << 3 | 2]);
        let mut length = bytes.len();
        while length >= 0x80 {
            body.extend_from_slice(&[length as u8 | 0x80]);
            length >>= 7;
        }
        body.extend_from_slice(&[length as u8]);
        body.extend_from_slice(bytes);
    }
    let mut framed = BytesMut::from(&[0u8][..]);
    framed.extend_from_slice(&(body.len() as u32).to_be_bytes());
    framed.extend_from_slice(&body);
    framed.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_framed_as_grpc_and_its_lengths_are_varints() {
        let value = [7u8; 300];
        let framed = message(&[(1, b"k"), (2, &value)]);
        assert_eq!(framed[..5], [0, 0, 0, 1, 50]);
        assert_eq!(framed[5..8], [0x0a, 1, b'k']);
        assert_eq!(framed[8..11], [0x12, 0xac, 0x02]);
        assert_eq!(framed.len(), 11 + 300);
    }
}
