//! Backups as they lie outside the cluster: a directory of sealed pieces that are named after what is in them, and a sealed
//! manifest for each backup, written last. A second backup into the same directory writes only what changed. Used by the
//! commands `llmhub backup` and `llmhub restore`; it asks no node and never writes a row or a key in clear.

pub(crate) mod key;
pub(crate) mod manifest;
pub(crate) mod piece;
pub(crate) mod place;

/// Why a backup's directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The system refuses.
    #[error("{path} cannot be used: {source}")]
    System {
        /// Which file or directory.
        path: std::path::PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// What was read is not what was written.
    #[error("{path} is damaged: {what}; take another copy of this backup, or an earlier backup")]
    Damaged {
        /// Which file.
        path: std::path::PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The wrong key, or none.
    #[error("{0}")]
    Key(String),
    /// It is not what was expected.
    #[error("{0}")]
    Place(String),
}
