//! The operating system as the ports of `runtime::Env`: sockets and TLS, engine processes, GPUs, small files, clock and
//! chance. Only `node` uses it; it decides nothing about the cluster.

pub(crate) mod capacity;
pub(crate) mod clock;
pub(crate) mod entropy;
pub(crate) mod files;
pub(crate) mod gpus;
pub(crate) mod homing;
pub(crate) mod http_tls;
pub(crate) mod listen;
pub(crate) mod network;
pub(crate) mod outward;
pub(crate) mod processes;
pub(crate) mod resolve;
pub(crate) mod tls;
pub(crate) mod wrapping;
