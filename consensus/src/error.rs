//! Why consensus did not do something, in the classes every caller has to tell apart. A command that was *refused by the
//! tables* is no error here: that is a [`domain::Outcome`].

use domain::NodeId;
use serde::{Deserialize, Serialize};

use crate::disk;

/// Why it was not done, or not known to be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Error {
    /// Certainly not done; worth trying again.
    #[error("{why}: try again in {retry_after_ms} ms")]
    Unavailable {
        /// A good time to wait, in milliseconds.
        retry_after_ms: u64,
        /// What is missing.
        why: String,
    },
    /// It may have happened: ask again with the same request id.
    #[error("{why}: it may have happened, repeat it with the same request id")]
    Unknown {
        /// What went wrong on the way.
        why: String,
    },
    /// Only the leader does this; it is `leader`, if that is known.
    #[error("not the leader: ask {}", .leader.map_or("again once there is one".to_owned(), |l| l.to_string()))]
    NotLeader {
        /// The leader, as far as the answering node knows.
        leader: Option<NodeId>,
        /// Where it listens, as far as the answering node knows.
        #[serde(default)]
        addr: Option<String>,
    },
    /// What was asked makes no sense now, and will not by itself.
    #[error("{why}")]
    Refused {
        /// What to do instead.
        why: String,
    },
    /// The command is larger than commands may be.
    #[error("the change takes {bytes} bytes and may take {max}: make it smaller or split it")]
    TooLarge {
        /// How large it is, in bytes.
        bytes: u64,
        /// How large it may be, in bytes.
        max: u64,
    },
    /// This node's disk failed, or its log goes where this program cannot follow; it takes no part any more until it is
    /// restarted.
    #[error("{why}")]
    Storage {
        /// What to do.
        why: String,
    },
    /// A defect of this program.
    #[error("{why}: this is a defect, report it with this node's log")]
    Bug {
        /// What was seen.
        why: String,
    },
}

/// How long to wait before trying again when a leader is missing, in milliseconds.
pub(crate) const RETRY_AFTER_MS: u64 = 500;

impl Error {
    pub(crate) fn unavailable(why: impl Into<String>) -> Self {
        Error::Unavailable { retry_after_ms: RETRY_AFTER_MS, why: why.into() }
    }
    pub(crate) fn unknown(why: impl Into<String>) -> Self {
        Error::Unknown { why: why.into() }
    }
    pub(crate) fn refused(why: impl Into<String>) -> Self {
        Error::Refused { why: why.into() }
    }
    pub(crate) fn bug(why: impl Into<String>) -> Self {
        Error::Bug { why: why.into() }
    }
}

impl From<disk::Error> for Error {
    fn from(error: disk::Error) -> Self {
        Error::Storage { why: error.to_string() }
    }
}
