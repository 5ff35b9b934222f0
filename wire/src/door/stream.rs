//! A stream as `ractor_cluster` takes it. The label is all that comes back from it with a session's events, so it carries
//! the number of the connection.

use ractor_cluster::{BoxRead, BoxWrite, ClusterBidiStream};

use crate::net::BoxIo;

/// A stream with its connection's number.
pub(super) struct Numbered {
    pub(super) io: BoxIo,
    pub(super) connection: u64,
}

impl ClusterBidiStream for Numbered {
    fn split(self: Box<Self>) -> (BoxRead, BoxWrite) {
        let (reader, writer) = tokio::io::split(self.io);
        (Box::new(reader), Box::new(writer))
    }
    fn peer_label(&self) -> Option<String> {
        Some(self.connection.to_string())
    }
}
