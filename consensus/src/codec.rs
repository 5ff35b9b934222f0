//! How values become bytes: MessagePack with field names, so that a newer version may add fields; stored values end in a
//! checksum over key and value, so that a flipped bit or a value under a wrong key never passes for data.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::disk;
use crate::error::Error;

const SUM_LEN: usize = 4;

/// A message to another node.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Bytes, Error> {
    rmp_serde::to_vec_named(value)
        .map(Bytes::from)
        .map_err(|e| Error::bug(format!("a message cannot be encoded, {e}")))
}

/// A message from another node.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Error> {
    rmp_serde::from_slice(bytes)
        .map_err(|e| Error::refused(format!("unreadable message ({e}): run the same version on all nodes")))
}

/// Bytes as they are stored under `key`.
pub(crate) fn seal(key: &[u8], value: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(value.len() + SUM_LEN);
    out.extend_from_slice(value);
    out.extend_from_slice(&checksum(&[key, value]).to_be_bytes());
    out.into()
}

/// The value again, if it is what was stored under `key`.
pub(crate) fn unseal<'a>(key: &[u8], stored: &'a [u8]) -> Result<&'a [u8], disk::Error> {
    let bad = || disk::Error::Corrupt(format!("checksum of a value of {} bytes", stored.len()));
    let at = stored.len().checked_sub(SUM_LEN).ok_or_else(bad)?;
    let (value, sum) = stored.split_at(at);
    if checksum(&[key, value]).to_be_bytes() != sum {
        return Err(bad());
    }
    Ok(value)
}

/// A structure as it is stored under `key`.
pub(crate) fn store<T: Serialize>(key: &[u8], value: &T) -> Result<Bytes, disk::Error> {
    let bytes =
        rmp_serde::to_vec_named(value).map_err(|e| disk::Error::Io(format!("cannot encode a value, {e}")))?;
    Ok(seal(key, &bytes))
}

/// A structure that was stored under `key`.
pub(crate) fn load<T: DeserializeOwned>(key: &[u8], stored: &[u8]) -> Result<T, disk::Error> {
    rmp_serde::from_slice(unseal(key, stored)?).map_err(|e| {
        disk::Error::Corrupt(format!("a value of another shape, {e}; or written by a newer version"))
    })
}

/// CRC-32 (the IEEE polynomial, reflected) over the parts, each followed by its length so that a byte cannot move from one
/// part to the next unseen.
pub(crate) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    for part in parts {
        crc.update(part);
        crc.update(&(part.len() as u64).to_be_bytes());
    }
    crc.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_well_known_one() {
        let length = 9u64.to_be_bytes();
        assert_eq!(checksum(&[b"123456789"]), crc32fast::hash(&[&b"123456789"[..], &length].concat()));
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn a_value_is_refused_when_a_bit_flipped_or_under_another_key() {
        let stored = seal(b"key", b"value");
        assert_eq!(unseal(b"key", &stored), Ok(&b"value"[..]));
        assert!(unseal(b"kez", &stored).is_err());
        assert!(unseal(b"", b"abc").is_err());
        for bit in 0..stored.len() * 8 {
            let mut bent = stored.to_vec();
            bent[bit / 8] ^= 1 << (bit % 8);
            assert!(unseal(b"key", &bent).is_err(), "bit {bit}");
        }
    }
}
