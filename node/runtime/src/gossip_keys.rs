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

fn entries(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    bytes.chunks(1 + KEY_LEN).filter_map(|entry| entry.split_first().map(|(number, key)| (*number, key)))
}

/// The number of the key that seals: the one the tables name, if it is on the ring, else the highest.
pub(crate) fn current(bytes: &[u8], named: Option<&str>) -> Option<u8> {
    let named = named.and_then(|name| name.parse().ok());
    let on_ring = named.filter(|named| entries(bytes).any(|(number, _)| number == *named));
    on_ring.or_else(|| entries(bytes).map(|(number, _)| number).max())
}

/// The ring.
pub(crate) fn ring(bytes: &[u8], named: Option<&str>) -> Result<KeyRing, Error> {
    let mut keys = BTreeMap::new();
    for (number, key) in entries(bytes) {
        keys.insert(number, <[u8; KEY_LEN]>::try_from(key).map_err(|_| broken())?);
    }
    KeyRing::new(current(bytes, named).ok_or_else(broken)?, keys).map_err(|_| broken())
}

/// The key of this number alone.
pub(crate) fn only(bytes: &[u8], number: u8) -> Zeroizing<Vec<u8>> {
    let entries = bytes.chunks(1 + KEY_LEN).filter(|entry| entry.first() == Some(&number));
    Zeroizing::new(entries.flatten().copied().collect())
}

/// The key of this number and a new one beside it, with its number.
pub(crate) fn with_another(bytes: &[u8], number: u8, entropy: &dyn Entropy) -> (u8, Zeroizing<Vec<u8>>) {
    let next = number.checked_add(1).unwrap_or(1);
    let mut entry = draw(entropy);
    entry[0] = next;
    (next, Zeroizing::new([&only(bytes, number)[..], &entry[..]].concat()))
}

/// Seals the ring for this node's own file.
pub(crate) fn to_file(bytes: &[u8], key: &NodeKey, entropy: &dyn Entropy) -> Result<Vec<u8>, Error> {
    let sealed = seal::seal(&key.file_key(), CONTEXT, bytes, entropy).map_err(|_| broken())?;
    Ok([sealed.nonce, sealed.bytes].concat())
}

/// Opens what [`to_file`] sealed.
pub(crate) fn from_file(file: &[u8], key: &NodeKey) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (nonce, bytes) = file.split_at_checked(12).ok_or_else(broken)?;
    let sealed = Sealed { nonce: nonce.to_vec(), bytes: bytes.to_vec(), key: None };
    seal::open(&key.file_key(), CONTEXT, &sealed).map_err(|_| broken())
}

fn broken() -> Error {
    Error::Files {
        file: "gossip.sealed",
        reason: "it does not open with this node's key; restore both, or wipe the directory to join anew"
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed(u8);
    impl Entropy for Fixed {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn a_new_key_comes_beside_the_old_one_and_then_replaces_it() {
        let first = draw(&Fixed(7));
        assert_eq!(current(&first, None), Some(1));
        let (number, both) = with_another(&first, 1, &Fixed(8));
        assert_eq!((number, current(&both, Some("1")), current(&both, None)), (2, Some(1), Some(2)));
        let new = only(&both, 2);
        assert_eq!((new.len(), current(&new, Some("1"))), (1 + KEY_LEN, Some(2)));
        assert!(ring(&both, Some("1")).is_ok() && ring(&[], None).is_err());
    }

    #[test]
    fn the_number_after_the_last_is_the_first() {
        let mut last = draw(&Fixed(7));
        last[0] = u8::MAX;
        let (number, both) = with_another(&last, u8::MAX, &Fixed(8));
        assert_eq!((number, current(&both, Some("1")), current(&both, Some("255"))), (1, Some(1), Some(255)));
    }
}
