//! What a node is told at start. `node` reads it from a file and arguments, `sim` makes it up.

/// Settings of one node.
#[derive(Debug, Clone)]
pub struct Config {
    /// The node's name, unique in the cluster.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// `host:port` where other nodes reach its cluster port.
    pub cluster_addr: String,
    /// `host:port` where clients reach its HTTP port.
    pub http_addr: String,
    /// Cluster ports of live nodes to join by; empty starts a new cluster when the data directory is empty.
    pub join: Vec<String>,
    /// The join token, needed with `join` on an empty data directory.
    pub token: Option<String>,
    /// Whether a new cluster offers the built-in mock provider.
    pub mock_provider: bool,
    /// CPUs and memory (MiB) this node offers.
    pub cpus: u32,
    /// Main memory it offers, in MiB.
    pub memory_mib: u64,
    /// Program version, for the nodes table; it names the feature level, see [`domain::level`].
    pub version: String,
    /// After how many log entries a snapshot is made, half as many being kept; `None` for consensus' own default.
    pub snapshot_every: Option<u64>,
    /// How long a graceful stop waits for streams, in milliseconds.
    pub drain_ms: u64,
    /// The gateway's section.
    pub gateway: gateway::Config,
    /// The actors' section.
    pub actors: actors::Settings,
}
