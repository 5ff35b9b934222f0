//! One kept-alive connection of the load generator. Used by its loops and by the suite's one-at-a-time streams.
//!
//! It has nodelay set and sends one request at a time. It never retries: a failure is the caller's to count.

use super::{Call, EventScanner};
use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use http::StatusCode;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a plain request, or the wait for the next piece of a stream, may take.
pub const REQUEST_DEADLINE: Duration = Duration::from_secs(30);
/// How much of an error's body is shown.
const ERROR_BYTES_SHOWN: usize = 300;

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
}

/// What a stream read to its end showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstEvent {
    /// From sending the request to the first event with data.
    pub after: Duration,
    /// Events with data, `[DONE]` not counted.
    pub events: u32,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let connected = timeout(REQUEST_DEADLINE, TcpStream::connect(address)).await;
        let tcp =
            connected.context("no connection in time")?.with_context(|| format!("connect to {address}"))?;
        tcp.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(tcp)).await.context("http handshake")?;
        // Its error also reaches whoever waits for an answer.
        let driver = tokio::spawn(async move { drop(connection.await) });
        Ok(Connection { sender, driver })
    }

    /// Sends the request and reads the whole answer; anything but 200 is an error that shows the answer's start.
    pub async fn plain(&mut self, call: &Call) -> anyhow::Result<()> {
        let work = async {
            let body = self.send(call).await?;
            body.collect().await.context("read the answer")?;
            anyhow::Ok(())
        };
        timeout(REQUEST_DEADLINE, work).await.context("no answer in time")?
    }

    /// Sends the request and reads the stream to its end, telling `on_event` the moment of each event with data.
    pub async fn stream(&mut self, call: &Call, mut on_event: impl FnMut(Instant)) -> anyhow::Result<()> {
        let mut body = timeout(REQUEST_DEADLINE, self.send(call)).await.context("no answer in time")??;
        let mut scanner = EventScanner::default();
        while let Some(frame) = timeout(REQUEST_DEADLINE, body.frame()).await.context("the stream hangs")? {
            let frame = frame.context("the stream broke")?;
            let Some(piece) = frame.data_ref() else { continue };
            let now = Instant::now();
            for _ in 0..scanner.push(piece) {
                on_event(now);
            }
        }
        ensure!(scanner.done(), "the stream ended without [DONE]");
        Ok(())
    }

    /// Reads one stream and reports its first event.
    pub async fn first_event(&mut self, call: &Call) -> anyhow::Result<FirstEvent> {
        let (mut first, mut events) = (None, 0);
        let start = Instant::now();
        let on_event = |at| {
            first.get_or_insert(at);
            events += 1;
        };
        self.stream(call, on_event).await?;
        let first = first.context("the stream held no event")?;
        Ok(FirstEvent { after: first.saturating_duration_since(start), events })
    }

    async fn send(&mut self, call: &Call) -> anyhow::Result<Incoming> {
        self.sender.ready().await.context("the connection was closed")?;
        let response = self.sender.send_request(call.request()).await.context("send the request")?;
        let status = response.status();
        if status == StatusCode::OK {
            return Ok(response.into_body());
        }
        let body = response.into_body().collect().await.map(|b| b.to_bytes()).unwrap_or_default();
        let shown = String::from_utf8_lossy(&body[..body.len().min(ERROR_BYTES_SHOWN)]).into_owned();
        bail!("answered {status}: {shown}")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}
