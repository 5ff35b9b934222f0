//! Why a command failed, and the exit code that says so to scripts.

use std::process::ExitCode;

/// Why a command failed. The exit codes are documented in `llmhub --help`.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command itself went wrong.
    #[error("{0}")]
    Failed(String),
    /// What was asked for makes no sense: arguments or settings.
    #[error("{0}")]
    Usage(String),
    /// No answer: wrong address, or the node is down.
    #[error("{0}")]
    Unreachable(String),
    /// The node refused the request; asking again changes nothing.
    #[error("{message} (HTTP {status})")]
    Refused {
        /// The answer's status.
        status: u16,
        /// What the node said.
        message: String,
    },
    /// The cluster cannot do it just now, or not in time.
    #[error("{0}")]
    Unavailable(String),
}

impl Failure {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Failure::Failed(_) => 1,
            Failure::Usage(_) => 2,
            Failure::Unreachable(_) => 3,
            Failure::Refused { .. } => 4,
            Failure::Unavailable(_) => 5,
        }
    }
}

impl From<Failure> for ExitCode {
    fn from(failure: Failure) -> Self {
        ExitCode::from(failure.code())
    }
}

impl From<crate::config::Error> for Failure {
    fn from(error: crate::config::Error) -> Self {
        Failure::Usage(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Failed(error.to_string())
    }
}
