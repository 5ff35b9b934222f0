//! The shape of the commands about the cluster's keys.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::Target;

/// `llmhub secrets`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretsCommand {
    /// Replace the data key by a new one, without a stop
    Rotate(RotateArgs),
    /// Change what a stopped node's own key is wrapped by on disk
    Rewrap(RewrapArgs),
}

/// `llmhub secrets rewrap`.
#[derive(Debug, Args)]
pub(crate) struct RewrapArgs {
    /// The node's data directory
    #[arg(long, value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// What it is wrapped by from now on: file:/PATH, env:NAME or command:/PATH [ARGUMENTS] (default: nothing)
    #[arg(long, value_name = "BY")]
    pub(crate) key_wrap: Option<String>,
    /// What it was wrapped by before (default: nothing)
    #[arg(long, value_name = "BY")]
    pub(crate) key_wrap_old: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// `llmhub gossip`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyRotation {
    /// Replace it by a new one, without a stop
    Rotate(RotateArgs),
}

/// How a key is replaced.
#[derive(Debug, Args)]
pub(crate) struct RotateArgs {
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
        how: RotateArgs,
    },
}
