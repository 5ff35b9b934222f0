//! What an entry of the log carries: a command as its proposer encoded it, opaque until it is applied. So a node never
//! loses, changes or skips a command that only newer versions understand: it keeps it, says which version it takes, and
//! goes no further. Used by the proposals and the state machine; it never looks at what a command does.

use std::fmt;

use bytes::Bytes;
use domain::{Envelope, Millis};
use serde::{Deserialize, Serialize};

use crate::codec::{decode, encode};
use crate::error::Error;

/// The largest command in bytes, encoded: one goes into one message and its rows into one chunk of a snapshot, far below
/// their limits.
pub const COMMAND_BYTES_MAX: usize = 1024 * 1024;

/// A command in the log.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    /// The feature level it takes to apply it.
    version: u16,
    /// The leader's stamp, in milliseconds since the Unix epoch.
    at: Millis,
    /// The encoded [`Envelope`].
    body: Bytes,
}

/// An entry that this program cannot apply, though others in the cluster may.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unreadable {
    /// It was proposed by a newer version.
    #[error(
        "log entry {index} has feature level {version}, this program knows {known}: start the cluster's newer version of llmhub on this node"
    )]
    TooNew {
        /// Its place in the log.
        index: u64,
        /// What it takes.
        version: u16,
        /// What is known here.
        known: u16,
    },
    /// It is of a known version and yet not understood.
    #[error(
        "log entry {index} is not understood ({why}): start the version of llmhub that the other nodes run on this node"
    )]
    Garbled {
        /// Its place in the log.
        index: u64,
        /// What the decoder says.
        why: String,
    },
}

/// What every version of the envelope has.
#[derive(Deserialize)]
struct Head {
    version: u16,
}

/// A command as it travels to the leader.
pub(crate) fn pack(envelope: &Envelope) -> Result<Bytes, Error> {
    let body = encode(envelope)?;
    check_size(&body)?;
    Ok(body)
}

fn check_size(body: &Bytes) -> Result<(), Error> {
    if body.len() > COMMAND_BYTES_MAX {
        return Err(Error::TooLarge { bytes: body.len() as u64, max: COMMAND_BYTES_MAX as u64 });
    }
    Ok(())
}

impl Record {
    /// Takes a command in for the log, stamped. Refuses what a program that knows this feature level could not apply.
    pub(crate) fn take(body: Bytes, at: Millis, known: u16) -> Result<(Self, Envelope), Error> {
        check_size(&body)?;
        let version = decode::<Head>(&body)?.version;
        if version > known {
            return Err(Error::refused(format!(
                "the command has feature level {version}, the leader knows {known}: upgrade every node first"
            )));
        }
        let envelope = decode(&body)?;
        Ok((Self { version, at, body }, envelope))
    }

    /// How many bytes its command has.
    pub(crate) fn len(&self) -> usize {
        self.body.len()
    }

    /// The command with its stamp; `index` is where it stands in the log, `known` the feature level known here.
    pub(crate) fn open(&self, index: u64, known: u16) -> Result<Envelope, Unreadable> {
        if self.version > known {
            return Err(Unreadable::TooNew { index, version: self.version, known });
        }
        let envelope: Envelope = rmp_serde::from_slice(&self.body)
            .map_err(|e| Unreadable::Garbled { index, why: e.to_string() })?;
        Ok(Envelope { at: self.at, ..envelope })
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "command of {} bytes, feature level {}", self.body.len(), self.version)
    }
}

// What is inside belongs into no log of this program.
impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use domain::command::VERSION;
    use domain::{Command, NodeId, RequestId, node};

    use super::*;

    fn envelope() -> Envelope {
        Envelope::new(RequestId(1), Command::Node(node::Command::Leave { id: NodeId(1) }))
    }

    #[test]
    fn a_command_comes_out_as_it_went_in_with_the_leaders_stamp() {
        let (record, taken) = Record::take(pack(&envelope()).unwrap(), 77, VERSION).unwrap();
        assert_eq!(taken, envelope());
        assert_eq!(record.open(5, VERSION), Ok(Envelope { at: 77, ..envelope() }));
    }

    #[test]
    fn a_newer_command_is_neither_taken_in_nor_opened() {
        let newer = pack(&Envelope { version: VERSION + 1, ..envelope() }).unwrap();
        let error = Record::take(newer.clone(), 0, VERSION).unwrap_err().to_string();
        assert!(error.contains("upgrade every node"), "{error}");
        let record = Record { version: VERSION + 1, at: 0, body: newer };
        let error = record.open(9, VERSION).unwrap_err();
        assert_eq!(error, Unreadable::TooNew { index: 9, version: VERSION + 1, known: VERSION });
        assert!(error.to_string().contains("newer version of llmhub"), "{error}");
    }

    #[test]
    fn a_command_nobody_here_knows_is_kept_and_not_guessed_at() {
        #[derive(Serialize)]
        struct Future {
            version: u16,
            command: &'static str,
        }
        let body = encode(&Future { version: VERSION + 1, command: "teleport" }).unwrap();
        assert!(matches!(Record::take(body.clone(), 0, VERSION), Err(Error::Refused { .. })));
        let kept = encode(&Record { version: VERSION + 1, at: 0, body: body.clone() }).unwrap();
        assert_eq!(decode::<Record>(&kept).unwrap().body, body);
        let same_version = Record { version: VERSION, at: 0, body };
        assert!(matches!(same_version.open(3, VERSION), Err(Unreadable::Garbled { index: 3, .. })));
    }

    #[test]
    fn a_command_that_is_too_large_is_refused() {
        let error = Record::take(vec![0; COMMAND_BYTES_MAX + 1].into(), 0, VERSION).unwrap_err();
        assert!(matches!(error, Error::TooLarge { .. }), "{error}");
    }
}
