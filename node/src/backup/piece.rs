//! Rows cut into pieces. Where a piece ends is told by keys alone, so that a row that changes, comes or goes changes its own
//! piece and no other. Pure.

use domain::restore::RawRow;
use hkdf::Hkdf;
use runtime::seal::Key;
use sha2::{Digest, Sha256};

/// One key of this many ends a piece, on average.
const ROWS_MEAN: u64 = 128;
/// A piece ends here in any case, in bytes: it is held in memory whole.
pub(crate) const BYTES_MAX: usize = 1024 * 1024;

/// Rows that belong together, encoded: for each `key length: u32, value length: u32, key, value`, big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// The table of its rows.
    pub(crate) table: u8,
    /// How many rows.
    pub(crate) rows: u64,
    /// The rows.
    pub(crate) content: Vec<u8>,
}

/// Cuts a stream of rows, which come in the order of their keys.
#[derive(Default)]
pub(crate) struct Cutter {
    open: Option<Piece>,
}

impl Cutter {
    /// Takes the next row; gives the pieces that are whole.
    pub(crate) fn push(&mut self, row: &RawRow) -> Vec<Piece> {
        let table = row.key.first().copied().unwrap_or_default();
        let mut whole = Vec::new();
        let full = |piece: &Piece| {
            piece.table != table || piece.content.len() + row.bytes() + 8 > BYTES_MAX && piece.rows > 0
        };
        if self.open.as_ref().is_some_and(full) {
            whole.extend(self.open.take());
        }
        let piece = self.open.get_or_insert_with(|| Piece { table, rows: 0, content: Vec::new() });
        for part in [&row.key, &row.value] {
            piece.content.extend_from_slice(&(part.len() as u32).to_be_bytes());
        }
        piece.content.extend_from_slice(&row.key);
        piece.content.extend_from_slice(&row.value);
        piece.rows += 1;
        if ends(&row.key) {
            whole.extend(self.open.take());
        }
        whole
    }

    /// The last piece.
    pub(crate) fn finish(&mut self) -> Option<Piece> {
        self.open.take()
    }
}

/// Whether a piece ends behind the row of this key.
fn ends(key: &[u8]) -> bool {
    let mut number = [0; 8];
    number.copy_from_slice(&Sha256::digest(key)[..8]);
    u64::from_be_bytes(number) % ROWS_MEAN == 0
}

/// The name of a piece: the same for the same content, and tells nothing of it to whoever lacks the key (HMAC-SHA-256).
pub(crate) fn name(key: &Key, content: &[u8]) -> String {
    let (mac, _) = Hkdf::<Sha256>::extract(Some(&**key), content);
    hex::encode(mac)
}

/// The rows of a piece again; `None` when it is not one.
pub(crate) fn rows(mut content: &[u8]) -> Option<Vec<RawRow>> {
    let mut rows = Vec::new();
    while !content.is_empty() {
        let key = take(&mut content, 4)?;
        let value = take(&mut content, 4)?;
        let (key, value) =
            (u32::from_be_bytes(key.try_into().ok()?), u32::from_be_bytes(value.try_into().ok()?));
        let key = take(&mut content, key as usize)?.to_vec();
        let value = take(&mut content, value as usize)?.to_vec();
        rows.push(RawRow { key, value });
    }
    Some(rows)
}

fn take<'a>(content: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = content.split_at_checked(len)?;
    *content = rest;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn row(table: u8, number: u64, value: &str) -> RawRow {
        let key = [&[table][..], &number.to_be_bytes()].concat();
        RawRow { key, value: value.as_bytes().to_vec() }
    }

    fn cut(rows: &[RawRow]) -> Vec<Piece> {
        let mut cutter = Cutter::default();
        let mut pieces: Vec<Piece> = rows.iter().flat_map(|row| cutter.push(row)).collect();
        pieces.extend(cutter.finish());
        pieces
    }

    #[test]
    fn pieces_hold_all_rows_in_order_and_one_table_each() {
        let all: Vec<RawRow> =
            (2..4).flat_map(|table| (0..1000).map(move |n| row(table, n, &format!("value {n}")))).collect();
        let pieces = cut(&all);
        assert!(pieces.len() > 4, "{}", pieces.len());
        let read: Vec<RawRow> = pieces.iter().flat_map(|piece| rows(&piece.content).unwrap()).collect();
        assert_eq!(read, all);
        assert_eq!(pieces.iter().map(|piece| piece.rows).sum::<u64>(), 2000);
        assert!(
            pieces.iter().all(|piece| rows(&piece.content).unwrap().iter().all(|r| r.key[0] == piece.table))
        );
    }

    #[test]
    fn a_row_that_changes_comes_or_goes_changes_its_own_piece_alone() {
        let all: Vec<RawRow> = (0..5000).map(|n| row(3, n * 2, "v")).collect();
        let key = runtime::seal::Key::new([7; 32]);
        let names = |rows: &[RawRow]| -> BTreeSet<String> {
            cut(rows).iter().map(|piece| name(&key, &piece.content)).collect()
        };
        let before = names(&all);
        let mut changed = all.clone();
        changed[2500].value = b"other".to_vec();
        let mut gone = all.clone();
        gone.remove(2500);
        let mut come = all.clone();
        come.insert(2501, row(3, 5001, "new"));
        for after in [changed, gone, come] {
            let new = names(&after).difference(&before).count();
            assert!(new <= 2, "{new} of {} are new", before.len());
        }
    }

    #[test]
    fn a_piece_is_never_larger_than_one_row_needs() {
        let large: Vec<RawRow> = (0..8).map(|n| row(3, n, &"x".repeat(BYTES_MAX / 2))).collect();
        assert!(cut(&large).iter().all(|piece| piece.content.len() <= BYTES_MAX + 64));
        let huge = [row(3, 1, &"x".repeat(2 * BYTES_MAX))];
        assert_eq!(cut(&huge).len(), 1);
    }

    #[test]
    fn what_is_no_piece_is_told() {
        let piece = cut(&[row(3, 1, "value")]).remove(0);
        for end in 1..piece.content.len() {
            assert_eq!(rows(&piece.content[..end]), None, "cut at {end}");
        }
    }
}
