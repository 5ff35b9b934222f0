//! The gossip key ring as bytes: what is sealed in metadata, sent to newcomers and kept, sealed, in a node's files.

use std::collections::BTreeMap;

use actors::ports::Entropy;
use domain::secret::Sealed;
use wire::gossip::{KEY_LEN, KeyRing};
use zeroize::Zeroizing;

use crate::error::Error;
use crate::identity::NodeKey;
use crate::seal;

const CONTEXT: &str = "gossip file";

/// A first ring of one key, encoded: number, then key.
pub(crate) fn draw(entropy: &dyn Entropy) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(vec![0; 1 + KEY_LEN]);
    entropy.fill(&mut bytes[1..]);
    bytes[0] = 1;
    bytes
}

/// The ring; the highest number seals.
pub(crate) fn ring(bytes: &[u8]) -> Result<KeyRing, Error> {
    let mut keys = BTreeMap::new();
    for entry in bytes.chunks(1 + KEY_LEN) {
        let (number, key) = entry.split_first().ok_or_else(broken)?;
        keys.insert(*number, <[u8; KEY_LEN]>::try_from(key).map_err(|_| broken())?);
    }
    let current = *keys.keys().next_back().ok_or_else(broken)?;
    KeyRing::new(current, keys).map_err(|_| broken())
}

/// Seals the ring for this node's own file.
pub(crate) fn to_file(bytes: &[u8], key: &NodeKey, entropy: &dyn Entropy) -> Result<Vec<u8>, Error> {
    let sealed = seal::seal(&key.file_key(), CONTEXT, bytes, entropy).map_err(|_| broken())?;
    Ok([sealed.nonce, sealed.bytes].concat())
}

/// Opens what [`to_file`] sealed.
pub(crate) fn from_file(file: &[u8], key: &NodeKey) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (nonce, bytes) = file.split_at_checked(12).ok_or_else(broken)?;
    let sealed = Sealed { nonce: nonce.to_vec(), bytes: bytes.to_vec() };
    seal::open(&key.file_key(), CONTEXT, &sealed).map_err(|_| broken())
}

fn broken() -> Error {
    Error::Files {
        file: "gossip.sealed",
        reason: "it does not open with this node's key; restore both, or wipe the directory to join anew"
            .into(),
    }
}
