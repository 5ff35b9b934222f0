//! What a snapshot is: the rows of a read view as a stream of numbered, checksummed chunks. Nothing is kept beside the
//! tables; the vote and the log are never part of it.
//!
//! A chunk is `number: u32, kind: u8, payload, crc32: u32`, numbers big-endian. The payload of a chunk of rows is a sequence of
//! `key length: u32, value length: u32, key, value`, values as they are stored (each with its own checksum); the last
//! chunk carries how many rows there were, so that a stream that ended early never passes for whole.

use std::io;
use std::ops::Bound;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::keys::{row_of, rows};
use super::stage::Staged;
use crate::codec::checksum;
use crate::disk::{Error, Family, Range, Rows, View};

/// What a chunk aims at, in bytes: large enough to cost little, small enough not to hold anything up.
const CHUNK_BYTES: usize = 256 * 1024;
/// At most so many rows a chunk.
const CHUNK_ROWS: usize = 4096;

const ROWS: u8 = 0;
const END: u8 = 1;
const HEAD_LEN: usize = 5;
const SUM_LEN: usize = 4;

/// A snapshot's content, as openraft hands it around.
pub(crate) enum SnapshotData {
    /// Still to be read: from our tables or from another node.
    Live(BoxStream<'static, Result<Bytes, io::Error>>),
    /// Received whole and waiting beside the tables.
    Staged(Box<Staged>),
}

impl SnapshotData {
    /// Streams the rows of a generation out of a view.
    pub(crate) fn of(view: Box<dyn View>, generation: u64) -> Self {
        let writer = Writer { view, rest: Some(rows(generation)), number: 0, count: 0 };
        Self::Live(stream::try_unfold(Some(writer), Writer::next).boxed())
    }

    /// The chunks to send.
    pub(crate) fn into_chunks(self) -> BoxStream<'static, Result<Bytes, io::Error>> {
        match self {
            SnapshotData::Live(chunks) => chunks,
            SnapshotData::Staged(_) => {
                stream::iter([Err(io::Error::other("a staged snapshot is for installing, not for sending"))])
                    .boxed()
            }
        }
    }
}

struct Writer {
    view: Box<dyn View>,
    rest: Option<Range>,
    number: u32,
    count: u64,
}

impl Writer {
    async fn next(this: Option<Self>) -> Result<Option<(Bytes, Option<Self>)>, io::Error> {
        let Some(mut this) = this else { return Ok(None) };
        let found = match &this.rest {
            Some(range) => {
                this.view.range(Family::Tables, range.clone().limit(CHUNK_ROWS, CHUNK_BYTES)).await?
            }
            None => Rows::new(),
        };
        let Some((last, _)) = found.last() else {
            return Ok(Some((seal(this.number, END, &this.count.to_be_bytes()), None)));
        };
        this.rest = this.rest.map(|range| Range { from: Bound::Excluded(last.clone()), ..range });
        this.count += found.len() as u64;
        let mut payload = BytesMut::with_capacity(CHUNK_BYTES + CHUNK_BYTES / 4);
        for (key, value) in found {
            let row = row_of(&key)?;
            payload.put_u32(length(&row)?);
            payload.put_u32(length(&value)?);
            payload.put_slice(&row);
            payload.put_slice(&value);
        }
        let chunk = seal(this.number, ROWS, &payload);
        this.number += 1;
        Ok(Some((chunk, Some(this))))
    }
}

fn length(bytes: &Bytes) -> Result<u32, io::Error> {
    u32::try_from(bytes.len()).map_err(|_| io::Error::other("a row is larger than 4 GiB"))
}

fn seal(number: u32, kind: u8, payload: &[u8]) -> Bytes {
    let mut chunk = BytesMut::with_capacity(HEAD_LEN + payload.len() + SUM_LEN);
    chunk.put_u32(number);
    chunk.put_u8(kind);
    chunk.put_slice(payload);
    chunk.put_u32(checksum(&[&chunk]));
    chunk.freeze()
}

/// Takes chunks apart again. Fed in order; refuses what is missing, doubled, cut or bent.
#[derive(Default)]
pub(crate) struct Reader {
    number: u32,
    count: u64,
    ended: bool,
}

impl Reader {
    /// The rows of the next chunk, keys as the tables know them and values as they are stored.
    pub(crate) fn chunk(&mut self, mut chunk: Bytes) -> Result<Rows, Error> {
        if self.ended || chunk.len() < HEAD_LEN + SUM_LEN {
            return Err(bad("a chunk that is too short or too many"));
        }
        let mut sum = chunk.split_off(chunk.len() - SUM_LEN);
        if checksum(&[&chunk]) != sum.get_u32() {
            return Err(bad("the checksum of a chunk"));
        }
        if chunk.get_u32() != self.number {
            return Err(bad("a chunk out of order"));
        }
        self.number += 1;
        match chunk.get_u8() {
            ROWS => self.rows(chunk),
            END if chunk.len() == 8 && chunk.get_u64() == self.count => {
                self.ended = true;
                Ok(Rows::new())
            }
            END => Err(bad("the number of rows")),
            _ => Err(bad("a chunk of unknown kind")),
        }
    }

    fn rows(&mut self, mut payload: Bytes) -> Result<Rows, Error> {
        let mut rows = Rows::new();
        while !payload.is_empty() {
            if payload.len() < 8 {
                return Err(bad("a row that is cut"));
            }
            let (key, value) = (payload.get_u32() as usize, payload.get_u32() as usize);
            if payload.len() < key || payload.len() - key < value {
                return Err(bad("a row that is cut"));
            }
            let key = payload.split_to(key);
            rows.push((key, payload.split_to(value)));
        }
        self.count += rows.len() as u64;
        Ok(rows)
    }

    /// Whether the last chunk has come.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }
}

fn bad(what: &str) -> Error {
    Error::Corrupt(format!("a snapshot on its way, {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_rows() -> Bytes {
        let mut payload = BytesMut::new();
        for (key, value) in [(&b"a"[..], &b"one"[..]), (b"bb", b"")] {
            payload.put_u32(key.len() as u32);
            payload.put_u32(value.len() as u32);
            payload.put_slice(key);
            payload.put_slice(value);
        }
        payload.freeze()
    }

    #[test]
    fn what_was_written_is_read() {
        let mut reader = Reader::default();
        let rows = reader.chunk(seal(0, ROWS, &two_rows())).unwrap();
        assert_eq!(rows, vec![("a".into(), "one".into()), ("bb".into(), Bytes::new())]);
        assert!(!reader.ended());
        assert_eq!(reader.chunk(seal(1, END, &2u64.to_be_bytes())), Ok(Rows::new()));
        assert!(reader.ended());
        assert!(reader.chunk(seal(2, END, &2u64.to_be_bytes())).is_err());
    }

    #[test]
    fn a_chunk_is_refused_at_every_cut_and_with_every_bit_flipped() {
        let chunk = seal(0, ROWS, &two_rows());
        for end in 0..chunk.len() {
            assert!(Reader::default().chunk(chunk.slice(..end)).is_err(), "cut at {end}");
        }
        for bit in 0..chunk.len() * 8 {
            let mut bent = chunk.to_vec();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(Reader::default().chunk(bent.into()).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn missing_and_doubled_chunks_are_refused() {
        assert!(Reader::default().chunk(seal(1, ROWS, &two_rows())).is_err());
        assert!(Reader::default().chunk(seal(0, END, &1u64.to_be_bytes())).is_err());
        // A row that claims more than there is, under a good checksum.
        let mut payload = BytesMut::new();
        payload.put_u32(u32::MAX);
        payload.put_u32(u32::MAX);
        payload.put_slice(b"x");
        assert!(Reader::default().chunk(seal(0, ROWS, &payload)).is_err());
    }
}
