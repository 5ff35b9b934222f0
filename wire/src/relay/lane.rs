//! One HTTP/2 connection to a peer, dialled when first needed and again when broken. Used by the client alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use domain::NodeId;
use http_body_util::Full;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};

use super::{LANE_WINDOW, PING_INTERVAL, PING_TIMEOUT, SEND_BUFFER, STREAM_WINDOW, STREAMS_PER_LANE_MAX};
use crate::net::Protocol;
use crate::redial::Redial;
use crate::streams::Streams;

type Sender = SendRequest<Full<Bytes>>;

/// A lane.
#[derive(Default)]
pub(super) struct Lane {
    connection: Redial<Sender, String>,
    under_way: AtomicUsize,
}

impl Lane {
    /// Streams on it now.
    pub(super) fn load(&self) -> usize {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Takes a place on the lane, unless it is full.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let place = Place(self.clone());
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        (before < STREAMS_PER_LANE_MAX).then_some(place)
    }

    /// A working connection; whoever comes while one is being dialled shares its fate.
    pub(super) async fn sender(&self, streams: &Streams, node: NodeId, addr: &str) -> Result<Sender, String> {
        self.connection.get(|sender| !sender.is_closed(), connect(streams, node, addr)).await
    }
}

async fn connect(streams: &Streams, node: NodeId, addr: &str) -> Result<Sender, String> {
    let stream = streams.dial(addr, node, Protocol::Relay).await.map_err(|error| error.to_string())?;
    let (sender, connection) = Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .adaptive_window(false)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(LANE_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .keep_alive_while_idle(true)
        .handshake(TokioIo::new(stream.io))
        .await
        .map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%node, %error, "a relay lane broke");
        }
    });
    Ok(sender)
}

/// A stream's place on a lane; held until the answer was read or dropped.
pub(super) struct Place(Arc<Lane>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}
