//! One client of a node: a kept connection, any request, the whole answer's length. Used to fill and to look.

use anyhow::{Context, ensure};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{HeaderValue, Method, Request};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// Listings of a large cluster may take their time.
const DEADLINE: Duration = Duration::from_secs(60);

/// An open connection with a key.
pub(super) struct Client {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    host: HeaderValue,
    bearer: HeaderValue,
}

impl Client {
    /// Connects.
    pub(super) async fn open(address: SocketAddr, key: &str) -> anyhow::Result<Client> {
        let tcp = TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))?;
        tcp.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(tcp)).await?;
        let driver = tokio::spawn(async move { drop(connection.await) });
        let mut bearer = HeaderValue::from_str(&format!("Bearer {key}"))?;
        bearer.set_sensitive(true);
        Ok(Client { sender, driver, host: HeaderValue::from_str(&address.to_string())?, bearer })
    }

    /// Asks; anything but success is an error. The answer's body.
    pub(super) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> anyhow::Result<Bytes> {
        let bytes = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, &self.host)
            .header(AUTHORIZATION, &self.bearer)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(bytes)))?;
        let exchange = async {
            self.sender.ready().await?;
            let response = self.sender.send_request(request).await?;
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            let shown = String::from_utf8_lossy(&body[..body.len().min(300)]);
            ensure!(status.is_success(), "{path} answered {status}: {shown}");
            Ok(body)
        };
        timeout(DEADLINE, exchange).await.with_context(|| format!("{path}: no answer in time"))?
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
