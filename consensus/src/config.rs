//! What consensus is told at start. Times are in milliseconds; the defaults bring a new leader about 0.85 s after the old one
//! died, and bear a leader that pauses for 0.7 s. A longer pause costs an election, which takes some 20 ms, and moves nothing:
//! leases are another matter.

use domain::NodeId;
use domain::command::VERSION;

/// Settings of one node's consensus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Whose it is.
    pub id: NodeId,
    /// Where the others reach it, `host:port`.
    pub addr: String,
    /// How often the leader is heard of.
    pub heartbeat_ms: u64,
    /// The shortest time without a leader after which an election starts, once the leader's lease (`election_max_ms`) ran out.
    /// Votes must be there in that time too: where messages take longer there and back, nobody is ever elected.
    pub election_min_ms: u64,
    /// The longest.
    pub election_max_ms: u64,
    /// How long one append may take on its way, the follower's disk included.
    pub append_ms: u64,
    /// How long one chunk of a snapshot may take.
    pub chunk_ms: u64,
    /// After so many log entries the tables count as a snapshot and the log before them may go.
    pub snapshot_every: u64,
    /// So many log entries are kept before a snapshot, for followers that are a little behind.
    pub keep_log: u64,
    /// How long one attempt at the leader may take, for proposals and reads.
    pub attempt_ms: u64,
    /// How long a proposal or a read may take altogether, looking for a leader included.
    pub patience_ms: u64,
    /// How long a change of membership may take.
    pub change_ms: u64,
    /// The feature level up to which commands are understood; less than this program's only to stand in for an older one.
    pub level: u16,
    /// Where elections draw their chance from: drawn by the caller; equal seeds and schedules give equal elections.
    pub seed: u64,
}

impl Config {
    /// The defaults for a node.
    pub fn new(id: NodeId, addr: impl Into<String>, seed: u64) -> Self {
        Self {
            id,
            addr: addr.into(),
            heartbeat_ms: 100,
            election_min_ms: 300,
            election_max_ms: 500,
            append_ms: 2_000,
            chunk_ms: 10_000,
            snapshot_every: 2_000,
            keep_log: 1_000,
            attempt_ms: 2_000,
            patience_ms: 10_000,
            change_ms: 30_000,
            level: VERSION,
            seed,
        }
    }

    /// Says which setting cannot work.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let bad = |field, hint| Err(ConfigError { field, hint });
        if self.heartbeat_ms == 0 {
            return bad("heartbeat_ms", "use at least 1");
        }
        if self.election_min_ms <= self.heartbeat_ms * 2 {
            return bad("election_min_ms", "use more than two heartbeats");
        }
        if self.election_max_ms <= self.election_min_ms {
            return bad("election_max_ms", "use more than election_min_ms");
        }
        if self.snapshot_every == 0 {
            return bad("snapshot_every", "use at least 1");
        }
        if self.attempt_ms == 0 || self.patience_ms < self.attempt_ms {
            return bad("patience_ms", "use at least attempt_ms");
        }
        Ok(())
    }
}

/// A setting that cannot work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("consensus setting `{field}` cannot work: {hint}")]
pub struct ConfigError {
    /// Which one.
    pub field: &'static str,
    /// What to do.
    pub hint: &'static str,
}
