//! Agreement on the cluster's metadata: openraft over two ports, [`Disk`] and [`Link`]. It keeps the log and the replicated
//! tables, elects leaders, forwards proposals to them, answers linearizable reads and changes the membership. The runtime
//! starts one [`Consensus`] per node, `wire` carries its calls, `consensus-rocks` and [`mem`] are its disks. It never knows
//! actors, HTTP, tonic or RocksDB, reads no clock but tokio's and the one it is given, and draws no randomness of its own.

mod batch;
mod board;
mod codec;
mod config;
pub mod disk;
mod error;
mod inbound;
mod lead;
pub mod link;
pub mod mem;
mod membership;
mod network;
mod node;
mod raft;
mod record;
mod shared;
mod status;
mod store;
#[cfg(feature = "suite")]
pub mod suite;
mod time;

pub use board::{Publish, Published};
pub use config::{Config, ConfigError};
pub use disk::Disk;
pub use error::Error;
pub use link::{Kind, Link, LinkError, Peer};
pub use node::Consensus;
pub use record::COMMAND_BYTES_MAX;
pub use status::{Role, Status};
pub use store::{Recovered, recover};
pub use time::Clock;
