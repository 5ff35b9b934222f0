//! Between nodes and outwards: Raft's calls and snapshots, relayed inference streams, actor messages, gossip, and the HTTP client. The
//! runtime wires it together. It moves bytes over streams it is given: no TLS, no decisions.

pub mod dispatch;
pub mod door;
pub mod egress;
pub mod gossip;
pub mod http_client;
pub mod net;
pub mod raft;
mod redial;
pub mod relay;
pub mod streams;
mod websocket;

pub use net::{BoxIo, Identity, Inbound, Io, Network, Protocol};
pub use streams::{IsMember, PeerStream, Streams};
