//! Inference streams between nodes: HTTP/2 over connections of their own, a few lanes per peer. The data runtimes use the
//! client, the runtime of the cluster port serves. A slow reader holds back its own stream and no other: windows are
//! sized so that all streams of a lane may stall at once. It never retries and never looks into a body.

mod client;
mod lane;
mod server;

use std::time::Duration;

pub use client::RelayClient;
pub use server::{RelayService, serve};

/// Connections to one peer, from one runtime.
pub const LANES: usize = 2;
/// Streams on one lane.
pub const STREAMS_PER_LANE_MAX: usize = 512;
/// The largest request body relayed, in bytes.
pub const REQUEST_BYTES_MAX: usize = 64 << 20;

/// Bytes one stream may have under way: enough for any token stream, small enough to stall 512 of them.
const STREAM_WINDOW: u32 = 64 << 10;
/// Bytes one lane may have under way.
const LANE_WINDOW: u32 = STREAM_WINDOW * STREAMS_PER_LANE_MAX as u32;
/// Bytes of one stream waiting to be written.
const SEND_BUFFER: usize = 64 << 10;
/// A lane whose peer answers no ping for this long is given up; longer than the 3 s pause a node must survive.
const PING_TIMEOUT: Duration = Duration::from_secs(4);
const PING_INTERVAL: Duration = Duration::from_secs(1);
