//! The arguments of `llmhub backup`, `llmhub restore` and `llmhub recover`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::SECRET;
use crate::cli::target::Target;

/// What seals backups and opens them.
#[derive(Debug, Clone, Args)]
pub(crate) struct BackupKey {
    /// The passphrase of the backups
    #[arg(long, env = "LLMHUB_BACKUP_PASSPHRASE", hide_env_values = true, conflicts_with = "key_file", long_help = format!("The passphrase of the backups: {SECRET}"))]
    pub(crate) passphrase: Option<String>,
    /// The key file of the backups, made by `llmhub backup new-key`
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
}

/// `llmhub backup`.
#[derive(Debug, Subcommand)]
pub(crate) enum BackupCommand {
    /// Make a backup; into a directory that has some already, only what changed is written
    Create {
        /// The directory of the backups
        dir: PathBuf,
        #[command(flatten)]
        key: BackupKey,
        #[command(flatten)]
        target: Target,
    },
    /// List the backups of a directory
    List {
        /// The directory of the backups
        dir: PathBuf,
        #[command(flatten)]
        key: BackupKey,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Read and open every file of every backup of a directory
    Verify {
        /// The directory of the backups
        dir: PathBuf,
        #[command(flatten)]
        key: BackupKey,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a key file
    NewKey {
        /// Where
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `llmhub restore`.
#[derive(Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The directory of the backups
    pub(crate) dir: PathBuf,
    /// Which of them (default: the latest)
    #[arg(long, value_name = "ID")]
    pub(crate) backup: Option<String>,
    #[command(flatten)]
    pub(crate) backup_key: BackupKey,
    /// Throw away what users have in the cluster first; the key that is used stays
    #[arg(long)]
    pub(crate) replace: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `llmhub recover`.
#[derive(Debug, Args)]
pub(crate) struct RecoverArgs {
    /// The stopped node's data directory
    #[arg(long, alias = "data-dir", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// Say that you know what may be lost
    #[arg(long = "i-accept-that-newer-writes-may-be-lost")]
    pub(crate) accepted: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
