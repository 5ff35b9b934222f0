//! The key of a directory of backups: from a passphrase (Argon2id) or a key file, with a salt of the directory's own. One
//! key for each purpose is derived from it. What is written in clear is how to derive it and a check that tells a wrong
//! passphrase from damage.

use std::path::{Path, PathBuf};

use actors::ports::Entropy;
use argon2::{Algorithm, Argon2, Params, Version};
use domain::secret::Sealed;
use hkdf::Hkdf;
use runtime::seal::{self, Key};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::Zeroizing;

use super::Error;

/// Memory of Argon2id, passes and lanes for new directories: the second recommendation of RFC 9106, on one lane.
const MEMORY_KIB: u32 = 64 * 1024;
const PASSES: u32 = 3;
const LANES: u32 = 1;
/// What a directory may ask for at most: more would be an attack on whoever opens it.
const MEMORY_KIB_MAX: u32 = 1024 * 1024;
const PASSES_MAX: u32 = 64;
const LANES_MAX: u32 = 16;
/// Bytes of a salt.
const SALT_LEN: usize = 16;
/// The shortest passphrase taken for a new directory, in bytes.
const PASSPHRASE_LEN_MIN: usize = 12;
/// The largest key file read, in bytes.
const KEY_FILE_BYTES_MAX: u64 = 4096;
const CHECK: &str = "llmhub backup check";

/// What a person gave.
pub(crate) enum Given {
    /// A passphrase.
    Passphrase(Zeroizing<String>),
    /// The content of a key file.
    File(Key),
}

/// How the key is made, in clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
enum Making {
    /// From a passphrase by Argon2id.
    Passphrase { salt: String, memory_kib: u32, passes: u32, lanes: u32 },
    /// From a key file by HKDF.
    KeyFile { salt: String },
}

/// What a directory says of its key, in clear.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    making: Making,
    /// Sealed nothing: it opens with the right key.
    check: String,
}

/// The keys of a directory.
pub(crate) struct Keys {
    /// Seals pieces; each under a key of its own made from this.
    pub(crate) pieces: Key,
    /// Names pieces.
    pub(crate) names: Key,
    /// Seals manifests.
    pub(crate) manifests: Key,
    data_keys: StaticSecret,
    check: Key,
}

impl Keys {
    fn derive(master: &Key) -> Self {
        let part = |purpose: &str| derive(master, purpose);
        Self {
            pieces: part("llmhub backup pieces"),
            names: part("llmhub backup names"),
            manifests: part("llmhub backup manifests"),
            data_keys: StaticSecret::from(*part("llmhub backup data keys")),
            check: part("llmhub backup check"),
        }
    }

    /// The public key that a cluster wraps its data keys for.
    pub(crate) fn recipient(&self) -> PublicKey {
        PublicKey::from(&self.data_keys)
    }

    /// The private half of it.
    pub(crate) fn secret(&self) -> &StaticSecret {
        &self.data_keys
    }
}

/// A key for one purpose.
pub(crate) fn derive(key: &Key, purpose: &str) -> Key {
    let mut out = Zeroizing::new([0; 32]);
    // 32 bytes are far below HKDF's limit, so expansion cannot fail.
    let _ = Hkdf::<Sha256>::new(None, &**key).expand(purpose.as_bytes(), &mut *out);
    out
}

/// Makes the key of a new directory.
pub(crate) fn create(given: &Given, entropy: &dyn Entropy) -> Result<(Lock, Keys), Error> {
    let mut salt = [0; SALT_LEN];
    entropy.fill(&mut salt);
    let salt = hex::encode(salt);
    let making = match given {
        Given::Passphrase(text) if text.len() < PASSPHRASE_LEN_MIN => {
            return Err(Error::Key(format!(
                "the passphrase is short: use {PASSPHRASE_LEN_MIN} characters at least, or a key file from `llmhub backup new-key`"
            )));
        }
        Given::Passphrase(_) => {
            Making::Passphrase { salt, memory_kib: MEMORY_KIB, passes: PASSES, lanes: LANES }
        }
        Given::File(_) => Making::KeyFile { salt },
    };
    let keys = making.keys(given)?;
    let check = seal::seal(&keys.check, CHECK, b"", entropy).map_err(|e| Error::Key(e.to_string()))?;
    Ok((Lock { making, check: hex::encode([check.nonce, check.bytes].concat()) }, keys))
}

impl Lock {
    /// The keys again.
    pub(crate) fn open(&self, given: &Given) -> Result<Keys, Error> {
        let keys = self.making.keys(given)?;
        let check = hex::decode(&self.check).ok().and_then(|bytes| sealed(&bytes));
        let fits = check.is_some_and(|sealed| seal::open(&keys.check, CHECK, &sealed).is_ok());
        if fits { Ok(keys) } else { Err(Error::Key(wrong(given))) }
    }
}

fn wrong(given: &Given) -> String {
    match given {
        Given::Passphrase(_) => "this is not the passphrase of these backups",
        Given::File(_) => "this is not the key file of these backups",
    }
    .to_owned()
}

impl Making {
    fn keys(&self, given: &Given) -> Result<Keys, Error> {
        let master = match (self, given) {
            (Making::Passphrase { salt, memory_kib, passes, lanes }, Given::Passphrase(text)) => {
                if *memory_kib > MEMORY_KIB_MAX || *passes > PASSES_MAX || *lanes > LANES_MAX {
                    return Err(Error::Key(format!(
                        "these backups ask for {memory_kib} KiB and {passes} passes to open, more than any that llmhub made"
                    )));
                }
                stretch(text, &bytes(salt)?, Params::new(*memory_kib, *passes, *lanes, Some(32)))?
            }
            (Making::KeyFile { salt }, Given::File(key)) => {
                let mut master = Zeroizing::new([0; 32]);
                let _ =
                    Hkdf::<Sha256>::new(Some(&bytes(salt)?), &**key).expand(b"llmhub backup", &mut *master);
                master
            }
            (Making::Passphrase { .. }, Given::File(_)) => {
                return Err(Error::Key(
                    "these backups open with a passphrase: give it with --passphrase".to_owned(),
                ));
            }
            (Making::KeyFile { .. }, Given::Passphrase(_)) => {
                return Err(Error::Key(
                    "these backups open with a key file: name it with --key-file".to_owned(),
                ));
            }
        };
        Ok(Keys::derive(&master))
    }
}

fn bytes(salt: &str) -> Result<Vec<u8>, Error> {
    let salt = hex::decode(salt).ok().filter(|salt| salt.len() == SALT_LEN);
    salt.ok_or_else(|| {
        Error::Key("the salt of these backups is not one: their first file is damaged".to_owned())
    })
}

fn stretch(text: &str, salt: &[u8], params: Result<Params, argon2::Error>) -> Result<Key, Error> {
    let failed = |e: argon2::Error| Error::Key(format!("the passphrase cannot be made into a key: {e}"));
    let mut master = Zeroizing::new([0; 32]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.map_err(failed)?);
    argon2.hash_password_into(text.as_bytes(), salt, &mut *master).map_err(failed)?;
    Ok(master)
}

/// A nonce and what follows it.
pub(crate) fn sealed(bytes: &[u8]) -> Option<Sealed> {
    let (nonce, bytes) = bytes.split_at_checked(12)?;
    Some(Sealed { nonce: nonce.to_vec(), bytes: bytes.to_vec(), key: None })
}

/// Reads a key file.
pub(crate) fn read(path: &Path) -> Result<Given, Error> {
    use std::io::Read as _;
    let mut text = Zeroizing::new(String::new());
    let file = std::fs::File::open(path);
    let read = file.and_then(|file| file.take(KEY_FILE_BYTES_MAX).read_to_string(&mut text));
    read.map_err(|source| Error::System { path: path.to_owned(), source })?;
    let mut key = Zeroizing::new([0; 32]);
    hex::decode_to_slice(text.trim(), &mut *key).map_err(|_| {
        Error::Key(format!("{} is no key file: make one with `llmhub backup new-key`", path.display()))
    })?;
    Ok(Given::File(key))
}

/// Makes a key file, readable by its owner only; one that is there is left alone.
pub(crate) fn write_new(path: &Path, entropy: &dyn Entropy) -> Result<(), Error> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    let key = seal::draw_key(entropy);
    let text = Zeroizing::new(format!("{}\n", hex::encode(*key)));
    let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let written = file.and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(|source| Error::System { path: PathBuf::from(path), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::os::entropy::OsEntropy;

    fn passphrase(text: &str) -> Given {
        Given::Passphrase(Zeroizing::new(text.to_owned()))
    }

    #[test]
    fn the_right_key_opens_and_no_other_does() {
        let entropy = OsEntropy::default();
        let (lock, keys) = create(&passphrase("correct horse battery"), &entropy).unwrap();
        let again = lock.open(&passphrase("correct horse battery")).unwrap();
        assert_eq!((&keys.pieces, keys.recipient()), (&again.pieces, again.recipient()));
        let wrong = lock.open(&passphrase("correct horse batterz")).err().unwrap();
        assert!(wrong.to_string().contains("not the passphrase"), "{wrong}");
        let file = lock.open(&Given::File(Zeroizing::new([1; 32]))).err().unwrap();
        assert!(file.to_string().contains("--passphrase"), "{file}");
        assert!(create(&passphrase("short"), &entropy).err().unwrap().to_string().contains("new-key"));
    }

    #[test]
    fn two_directories_under_one_key_file_have_different_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("backup.key");
        let entropy = OsEntropy::default();
        write_new(&path, &entropy).unwrap();
        assert!(write_new(&path, &entropy).is_err(), "a key is never written over");
        let (lock, first) = create(&read(&path).unwrap(), &entropy).unwrap();
        let (_, second) = create(&read(&path).unwrap(), &entropy).unwrap();
        assert_ne!(first.pieces, second.pieces);
        assert_eq!(lock.open(&read(&path).unwrap()).unwrap().pieces, first.pieces);
        std::fs::write(&path, "not a key").unwrap();
        assert!(read(&path).err().unwrap().to_string().contains("no key file"));
    }

    #[test]
    fn a_directory_that_asks_for_too_much_is_not_obeyed() {
        let making =
            Making::Passphrase { salt: "00".repeat(SALT_LEN), memory_kib: u32::MAX, passes: 1, lanes: 1 };
        let lock = Lock { making, check: String::new() };
        assert!(
            lock.open(&passphrase("whatever it may be")).err().unwrap().to_string().contains("more than")
        );
    }
}
