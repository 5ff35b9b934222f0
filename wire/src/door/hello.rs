//! How two doors introduce themselves on a fresh stream, before `ractor_cluster` takes it: which actor to talk to, and the
//! number each must show with every message. Who they are, the stream has proved.

use std::io;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::HELLO_TIMEOUT;
use crate::net::BoxIo;

const MAGIC: [u8; 4] = *b"LHD1";
const LEN: usize = 4 + 8 + 8;

/// What one end tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Hello {
    /// The process-local number of its doorway actor.
    pub(super) doorway: u64,
    /// What the other end must put into its envelopes.
    pub(super) pass: u64,
}

impl Hello {
    fn bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..4].copy_from_slice(&MAGIC);
        bytes[4..12].copy_from_slice(&self.doorway.to_be_bytes());
        bytes[12..].copy_from_slice(&self.pass.to_be_bytes());
        bytes
    }

    fn read(bytes: [u8; LEN]) -> Option<Self> {
        let number = |at: usize| bytes[at..].first_chunk().copied().map(u64::from_be_bytes);
        (bytes[..4] == MAGIC).then_some(Self { doorway: number(4)?, pass: number(12)? })
    }
}

/// Tells ours and hears theirs.
pub(super) async fn exchange(io: &mut BoxIo, ours: Hello) -> io::Result<Hello> {
    let talk = async {
        io.write_all(&ours.bytes()).await?;
        io.flush().await?;
        let mut theirs = [0; LEN];
        io.read_exact(&mut theirs).await?;
        Hello::read(theirs)
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "another version of the doorway"))
    };
    let timed = tokio::time::timeout(HELLO_TIMEOUT, talk).await;
    timed.map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no introduction"))?
}
