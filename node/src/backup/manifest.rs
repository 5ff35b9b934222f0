//! What a backup is made of: where and when it was taken, and its pieces in order. It lies sealed in the directory and is
//! written last, so that a backup without one is none.

use domain::secret::{Sealed, Wrap};
use runtime::seal::NO_NODE;
use serde::{Deserialize, Serialize};

/// The format this program writes.
pub(crate) const FORMAT: u32 = 1;

/// A data key of the cluster, wrapped for the backup's key; in hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DataKey {
    pub(crate) ephemeral: String,
    pub(crate) nonce: String,
    pub(crate) sealed: String,
}

impl DataKey {
    /// As the node's crates know it; `None` when it is not in hexadecimal digits.
    pub(crate) fn wrap(&self) -> Option<Wrap> {
        let bytes = |text: &str| hex::decode(text).ok();
        let sealed = Sealed { nonce: bytes(&self.nonce)?, bytes: bytes(&self.sealed)?, key: None };
        Some(Wrap { node: NO_NODE, ephemeral: bytes(&self.ephemeral)?, sealed, key: None })
    }
}

/// What the cluster says of itself before it tells its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Head {
    /// The backup's id.
    pub(crate) id: String,
    /// The cluster's name.
    pub(crate) cluster: String,
    /// What tells it from others: a digest of its authority's certificate.
    pub(crate) authority: Option<String>,
    /// The last log entry in it.
    pub(crate) index: u64,
    /// The highest number in it.
    pub(crate) base: u64,
    /// The feature level of whoever made it.
    pub(crate) level: u16,
    /// The program's version.
    pub(crate) version: String,
    /// When, by the clock of the node that was asked.
    pub(crate) at: String,
    /// The data keys that open the secrets in it, the present one first.
    pub(crate) data_keys: Vec<DataKey>,
}

/// A piece of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// The file's name.
    pub(crate) name: String,
    /// The table's number.
    pub(crate) table: u8,
    /// How many rows it has.
    pub(crate) rows: u64,
    /// How many bytes they have.
    pub(crate) bytes: u64,
}

/// A backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    /// Of this file and the pieces.
    pub(crate) format: u32,
    /// Where and when.
    pub(crate) head: Head,
    /// Its pieces, in the order of their rows.
    pub(crate) parts: Vec<Part>,
}

impl Manifest {
    /// How many rows each table has, by the table's name.
    pub(crate) fn counts(&self) -> Vec<(String, u64)> {
        let mut counts: Vec<(String, u64)> = Vec::new();
        for part in &self.parts {
            let name = table_name(part.table);
            match counts.last_mut() {
                Some((last, rows)) if *last == name => *rows += part.rows,
                _ => counts.push((name, part.rows)),
            }
        }
        counts
    }

    /// How many rows there are.
    pub(crate) fn rows(&self) -> u64 {
        self.parts.iter().map(|part| part.rows).sum()
    }
}

/// A table's name, or its number where this version knows none.
pub(crate) fn table_name(table: u8) -> String {
    match domain::restore::fate(table) {
        Some(domain::restore::Fate::Kept(name)) => name.to_owned(),
        _ => format!("table {table}"),
    }
}
