//! The shape of the commands about the cluster's keys.

use clap::{Args, Subcommand};

use super::Target;

/// `llmhub secrets`, `llmhub gossip`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyRotation {
    /// Replace it by a new one, without a stop
    Rotate(Rotate),
}

/// How a key is replaced.
#[derive(Debug, Args)]
pub(crate) struct Rotate {
    /// Wait until the old one is gone
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS", requires = "wait")]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `llmhub ca`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuthorityCommand {
    /// Replace it by a new one, without a stop; every node gets a new certificate
    Rotate {
        /// A node that is away and not waited for, by name or id: it has to join anew; may be given several times
        #[arg(long, value_name = "NODE")]
        forget: Vec<String>,
        #[command(flatten)]
        how: Rotate,
    },
}
