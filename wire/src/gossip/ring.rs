//! Sealing of gossip packets: AES-256-GCM under the cluster's keys. The current key seals; every key on the ring opens, so
//! that keys can be replaced while all nodes keep talking. Keys never show in logs or debug output.

use std::collections::BTreeMap;
use std::fmt;

use actors::ports::Entropy;
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use sha2::{Digest, Sha256};

/// Length of a key in bytes.
pub const KEY_LEN: usize = 32;
/// Keys a ring may hold.
const KEYS_MAX: usize = 8;
const NONCE_LEN: usize = 12;
const HEAD_LEN: usize = 1 + NONCE_LEN;

/// Why keys make no ring.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyRingError {
    /// The current key is missing.
    #[error("the gossip key ring has no key {0}: it must hold the current key")]
    NoCurrent(u8),
    /// Too many keys.
    #[error("the gossip key ring holds {0} keys: retire some, {KEYS_MAX} at most")]
    TooMany(usize),
}

/// The cluster's gossip keys.
#[derive(Clone)]
pub struct KeyRing {
    current: u8,
    keys: BTreeMap<u8, Aes256Gcm>,
    marks: Vec<String>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyRing(current {}, {} keys)", self.current, self.keys.len())
    }
}

impl KeyRing {
    /// A ring of keys by number; `current` seals.
    pub fn new(current: u8, keys: BTreeMap<u8, [u8; KEY_LEN]>) -> Result<Self, KeyRingError> {
        if keys.len() > KEYS_MAX {
            return Err(KeyRingError::TooMany(keys.len()));
        }
        if !keys.contains_key(&current) {
            return Err(KeyRingError::NoCurrent(current));
        }
        let mut by_use: Vec<_> = keys.iter().collect();
        by_use.sort_by_key(|(number, _)| (**number != current, **number));
        let marks = by_use.into_iter().map(|(_, key)| mark(key)).collect();
        let keys = keys.into_iter().map(|(number, key)| (number, Aes256Gcm::new(&key.into()))).collect();
        Ok(Self { current, keys, marks })
    }

    /// What tells its keys from others, and tells nothing of them: the one that seals first.
    pub fn marks(&self) -> &[String] {
        &self.marks
    }

    /// Key number, nonce, ciphertext with tag.
    pub(super) fn seal(&self, entropy: &dyn Entropy, clear: &[u8]) -> Option<Vec<u8>> {
        let mut packet = vec![self.current; HEAD_LEN];
        entropy.fill(&mut packet[1..]);
        let (head, nonce) = packet.split_at(1);
        let payload = Payload { msg: clear, aad: head };
        let sealed = self.keys.get(&self.current)?.encrypt(Nonce::from_slice(nonce), payload).ok()?;
        packet.extend_from_slice(&sealed);
        Some(packet)
    }

    /// What was sealed, if it was sealed under a key of the ring.
    pub(super) fn open(&self, packet: &[u8]) -> Option<Vec<u8>> {
        let (head, sealed) = packet.split_at_checked(HEAD_LEN)?;
        let (number, nonce) = head.split_at(1);
        let payload = Payload { msg: sealed, aad: number };
        self.keys.get(&number[0])?.decrypt(Nonce::from_slice(nonce), payload).ok()
    }
}

fn mark(key: &[u8; KEY_LEN]) -> String {
    let digest = Sha256::new().chain_update(b"llmhub gossip key").chain_update(key).finalize();
    digest[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);
    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            let next = || self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            bytes.iter_mut().for_each(|byte| *byte = next());
        }
    }

    fn ring(current: u8, keys: &[(u8, u8)]) -> KeyRing {
        let keys = keys.iter().map(|(number, fill)| (*number, [*fill; KEY_LEN])).collect();
        KeyRing::new(current, keys).expect("ring")
    }

    #[test]
    fn old_and_new_keys_open_while_both_are_on_the_ring() {
        let entropy = Counting(0.into());
        let (old, both, new) = (ring(1, &[(1, 7)]), ring(2, &[(1, 7), (2, 8)]), ring(2, &[(2, 8)]));
        let from_old = old.seal(&entropy, b"hi").expect("seal");
        let from_both = both.seal(&entropy, b"hi").expect("seal");
        assert_eq!(both.open(&from_old).as_deref(), Some(&b"hi"[..]));
        assert_eq!(new.open(&from_both).as_deref(), Some(&b"hi"[..]));
        assert_eq!(new.open(&from_old), None);
        assert_eq!(old.open(&from_both), None);
    }

    #[test]
    fn a_changed_or_foreign_packet_does_not_open() {
        let ours = ring(1, &[(1, 7), (2, 7)]);
        let packet = ours.seal(&Counting(0.into()), b"hi").expect("seal");
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 3;
            assert_eq!(ours.open(&changed), None, "byte {at}");
            assert_eq!(ours.open(&packet[..at]), None, "cut at {at}");
        }
        assert_eq!(ring(1, &[(1, 9)]).open(&packet), None);
    }

    #[test]
    fn a_ring_needs_its_current_key_and_shows_none() {
        assert_eq!(KeyRing::new(3, BTreeMap::new()).err(), Some(KeyRingError::NoCurrent(3)));
        assert_eq!(format!("{:?}", ring(1, &[(1, 0x55)])), "KeyRing(current 1, 1 keys)");
    }
}
