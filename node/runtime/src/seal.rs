//! Sealing: AES-256-GCM, and the wrapping of a key for a node's public key (X25519, HKDF-SHA-256). Pure functions of
//! their arguments and the entropy given; nothing is kept here.

use actors::ports::{Entropy, VaultError};
use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes256Gcm, KeyInit, Nonce};
use domain::NodeId;
use domain::secret::{Sealed, Wrap};
use hkdf::Hkdf;
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

/// A symmetric key.
pub type Key = Zeroizing<[u8; 32]>;

/// A fresh key.
pub fn draw_key(entropy: &dyn Entropy) -> Key {
    let mut key = Zeroizing::new([0; 32]);
    entropy.fill(&mut *key);
    key
}

/// The node that a wrap for a backup's key names: none.
pub const NO_NODE: NodeId = NodeId(0);

/// Seals bytes; `context` must be given again to open them, so that a sealed value cannot be put in another's place.
pub fn seal(key: &Key, context: &str, clear: &[u8], entropy: &dyn Entropy) -> Result<Sealed, VaultError> {
    let mut nonce = [0; 12];
    entropy.fill(&mut nonce);
    let payload = Payload { msg: clear, aad: context.as_bytes() };
    let bytes = cipher(key).encrypt(&Nonce::from(nonce), payload).map_err(|_| VaultError::Damaged)?;
    Ok(Sealed { nonce: nonce.to_vec(), bytes, key: None })
}

/// Opens what [`seal`] sealed under the same key and context.
pub fn open(key: &Key, context: &str, sealed: &Sealed) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let nonce: [u8; 12] = sealed.nonce.as_slice().try_into().map_err(|_| VaultError::Damaged)?;
    let payload = Payload { msg: &sealed.bytes, aad: context.as_bytes() };
    cipher(key).decrypt(&Nonce::from(nonce), payload).map(Zeroizing::new).map_err(|_| VaultError::Damaged)
}

/// Wraps a key for a node's public key.
pub fn wrap(key: &Key, node: NodeId, public: &[u8], entropy: &dyn Entropy) -> Result<Wrap, VaultError> {
    let public: [u8; 32] = public.try_into().map_err(|_| VaultError::Damaged)?;
    let secret = StaticSecret::from(*draw_key(entropy));
    let ephemeral = PublicKey::from(&secret);
    let shared = secret.diffie_hellman(&PublicKey::from(public));
    let kek = agree(shared.as_bytes(), ephemeral.as_bytes(), &public);
    let sealed = seal(&kek, &node.to_string(), &**key, entropy)?;
    Ok(Wrap { node, ephemeral: ephemeral.as_bytes().to_vec(), sealed, key: None })
}

/// Unwraps a key with the node's private key.
pub fn unwrap(wrap: &Wrap, secret: &StaticSecret) -> Result<Key, VaultError> {
    let ephemeral: [u8; 32] = wrap.ephemeral.as_slice().try_into().map_err(|_| VaultError::Damaged)?;
    let shared = secret.diffie_hellman(&PublicKey::from(ephemeral));
    let kek = agree(shared.as_bytes(), &ephemeral, PublicKey::from(secret).as_bytes());
    let clear = open(&kek, &wrap.node.to_string(), &wrap.sealed)?;
    clear.as_slice().try_into().map(Zeroizing::new).map_err(|_| VaultError::Damaged)
}

fn agree(shared: &[u8; 32], ephemeral: &[u8; 32], public: &[u8; 32]) -> Key {
    let mut info = b"llmhub wrap".to_vec();
    info.extend_from_slice(ephemeral);
    info.extend_from_slice(public);
    let mut key = Zeroizing::new([0; 32]);
    // 32 bytes are far below HKDF's limit, so expansion cannot fail.
    let _ = Hkdf::<Sha256>::new(None, shared).expand(&info, &mut *key);
    key
}

fn cipher(key: &Key) -> Aes256Gcm {
    Aes256Gcm::new((&**key).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Counting(std::sync::atomic::AtomicU8);
    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            for byte in bytes {
                *byte = self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            }
        }
    }

    #[test]
    fn what_is_sealed_opens_only_with_its_key_and_context() {
        let entropy = Counting(0.into());
        let key = draw_key(&entropy);
        let sealed = seal(&key, "openai", b"sk-secret", &entropy).unwrap();
        assert_eq!(*open(&key, "openai", &sealed).unwrap(), b"sk-secret");
        assert!(open(&key, "other", &sealed).is_err());
        assert!(open(&draw_key(&entropy), "openai", &sealed).is_err());
        assert!(!sealed.bytes.windows(6).any(|w| w == b"secret"));
    }

    #[test]
    fn a_wrapped_key_opens_only_for_its_node() {
        let entropy = Counting(0.into());
        let key = draw_key(&entropy);
        let mine = StaticSecret::from([3; 32]);
        let wrapped = wrap(&key, NodeId(1), PublicKey::from(&mine).as_bytes(), &entropy).unwrap();
        assert_eq!(*unwrap(&wrapped, &mine).unwrap(), *key);
        assert!(unwrap(&wrapped, &StaticSecret::from([4; 32])).is_err());
    }
}
