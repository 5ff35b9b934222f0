//! Why a node does not start or cannot go on. Every message says what to do.

use actors::ports::ProposeError;
use domain::NodeId;

/// Why a node does not start or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its own files are not what it wrote.
    #[error("the data directory's file {file} cannot be used: {reason}")]
    Files {
        /// Which file.
        file: &'static str,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// A bootstrap or a join was cut short.
    #[error(
        "an earlier start on this data directory did not finish: pass the same --join and --token again if it was to join, else remove the directory and start again"
    )]
    HalfStarted,
    /// Its metadata was lost: a voter that forgot what it acknowledged must not come back under its id.
    #[error(
        "this directory belongs to node {0}, but its database is empty: restore the whole directory from a copy made after the node was last stopped, or wipe it and join as a new node"
    )]
    DatabaseLost(NodeId),
    /// The cluster has heard of a later start than this one.
    #[error(
        "the cluster has seen a later start of node {0} than this directory knows of: it is an older copy, and a voter that forgot what it acknowledged must not come back; wipe the directory and join as a new node"
    )]
    OldCopy(NodeId),
    /// The cluster has no such node, and never removed it.
    #[error(
        "the cluster does not know node {0}: its metadata is older than this node's joining; restore newer metadata, or wipe this directory and join as a new node"
    )]
    Forgotten(NodeId),
    /// It belongs to a cluster, and the token to another.
    #[error(
        "this data directory belongs to another cluster than the token: start without --join and --token, or choose another directory"
    )]
    OtherCluster,
    /// A node that is to join was given no token.
    #[error(
        "joining needs a token: make one with `llmhub token create` on a running node and pass it with --token"
    )]
    NoToken,
    /// The token's text is not one.
    #[error("the join token cannot be read: {0}")]
    BadToken(&'static str),
    /// Nobody let it in.
    #[error("no node of the cluster let this one join: {0}")]
    JoinFailed(String),
    /// The cluster refused for good.
    #[error("the cluster refused: {0}")]
    Refused(String),
    /// Its metadata disk or consensus.
    #[error(transparent)]
    Consensus(#[from] consensus::Error),
    /// Its actors.
    #[error("the actors cannot start: {0}")]
    Actors(String),
    /// A command of its own was not taken.
    #[error("a command needed at start was not taken: {0}")]
    Propose(#[from] ProposeError),
    /// Keys or certificates.
    #[error("certificates cannot be made: {0}")]
    Certificate(String),
    /// It was removed.
    #[error("node {0} was removed from the cluster: wipe its data directory to let it join as a new node")]
    Removed(NodeId),
}
