//! What actors need from the outside, as traits: `runtime` fills them from the operating system or from the simulated
//! world. Nothing here knows which; implementations never decide anything.

pub mod call;
pub mod clock;
pub mod cluster;
pub mod gpus;
pub mod process;
pub mod vault;

pub use call::{Body, BoxError, CallError, Http, Relay, Request, Response};
pub use clock::{Clock, Entropy};
pub use cluster::{Electorate, Member, Members, PeerError, PeerLink, ProposeError, Proposer, ViewCell};
pub use gpus::{GpuError, GpuReading, Gpus};
pub use process::{Exit, FileError, FileProbe, Process, Processes, Spawn, SpawnError};
pub use vault::{Custodian, Vault, VaultError};
