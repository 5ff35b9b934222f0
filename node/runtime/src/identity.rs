//! Who a node is: its id, its key, its certificate, kept as small files. The same seed gives the key of its certificate
//! (Ed25519) and the key secrets are wrapped for (X25519). Used at start; nothing here ever leaves the node but public
//! halves.

use actors::ports::Entropy;
use domain::NodeId;
use hkdf::Hkdf;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::authority::fingerprint;
use crate::env::Files;
use crate::error::Error;

const NODE_FILE: &str = "node.json";
const KEY_FILE: &str = "node.key";
const CERT_FILE: &str = "node.crt";
const CA_FILE: &str = "ca.crt";
const GOSSIP_FILE: &str = "gossip.sealed";
/// Certificates that replaced those of the two files above, which are kept for people to look at.
const RENEWED_FILE: &str = "certificates.json";
/// Former authorities remembered.
const PAST_MAX: usize = 64;

/// The seed of a node's keys.
#[derive(Clone)]
pub(crate) struct NodeKey(Zeroizing<[u8; 32]>);

impl NodeKey {
    /// A new one.
    pub(crate) fn draw(entropy: &dyn Entropy) -> Self {
        let mut seed = Zeroizing::new([0; 32]);
        entropy.fill(&mut *seed);
        Self(seed)
    }

    /// A key derived from the seed for one purpose.
    fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        // 32 bytes are far below HKDF's limit, so expansion cannot fail.
        let _ = Hkdf::<Sha256>::new(None, &*self.0).expand(purpose.as_bytes(), &mut *out);
        out
    }

    /// The private key of its certificate: Ed25519, PKCS#8 DER.
    pub(crate) fn certificate_key(&self) -> Zeroizing<Vec<u8>> {
        crate::authority::pkcs8(&self.derive("llmhub certificate key"))
    }

    /// The private key secrets are wrapped for.
    pub(crate) fn seal_secret(&self) -> x25519_dalek::StaticSecret {
        x25519_dalek::StaticSecret::from(*self.derive("llmhub seal key"))
    }

    /// Its public half, 32 bytes.
    pub(crate) fn seal_public(&self) -> Vec<u8> {
        x25519_dalek::PublicKey::from(&self.seal_secret()).as_bytes().to_vec()
    }

    /// The key that seals this node's own files.
    pub(crate) fn file_key(&self) -> Zeroizing<[u8; 32]> {
        self.derive("llmhub file key")
    }
}

/// What `node.json` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct NodeFile {
    id: NodeId,
    name: String,
    /// Written last: whether bootstrap or join got to its end.
    complete: bool,
}

/// A node's identity as read back.
pub(crate) struct Stored {
    /// Its id.
    pub id: NodeId,
    /// The name it joined under.
    pub name: String,
    /// The seed of its keys.
    pub key: NodeKey,
    /// Whether bootstrap or join got to its end.
    pub complete: bool,
    /// Its certificate and the CA's, DER, once it has them.
    pub certificates: Option<Certificates>,
}

/// A node's certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Certificates {
    /// Its own, DER.
    pub node: Vec<u8>,
    /// The authorities it trusts, DER: the one that signed its own first.
    pub authorities: Vec<Vec<u8>>,
    /// SHA-256 of those it trusted before: a join token may name one of them and be of this cluster all the same.
    pub past: Vec<[u8; 32]>,
}

impl Certificates {
    /// The first ones of a node.
    pub(crate) fn first(node: Vec<u8>, authorities: Vec<Vec<u8>>) -> Self {
        Self { node, authorities, past: Vec::new() }
    }

    /// Those that replace these.
    pub(crate) fn followed_by(&self, node: Vec<u8>, authorities: Vec<Vec<u8>>) -> Self {
        let dropped =
            self.authorities.iter().filter(|ca| !authorities.contains(ca)).map(|ca| fingerprint(ca));
        let mut past: Vec<[u8; 32]> = self.past.iter().copied().chain(dropped).collect();
        past.drain(..past.len().saturating_sub(PAST_MAX));
        Self { node, authorities, past }
    }

    /// Whether an authority is, or was, that of this node's cluster.
    pub(crate) fn knows(&self, ca_sha256: &[u8; 32]) -> bool {
        self.authorities.iter().any(|ca| fingerprint(ca) == *ca_sha256) || self.past.contains(ca_sha256)
    }

    /// The certificate of the authority that signed the node's own.
    pub(crate) fn issuer(&self) -> &[u8] {
        self.authorities.first().map_or(&[], Vec::as_slice)
    }
}

/// What `certificates.json` says, in hexadecimal digits.
#[derive(Serialize, Deserialize)]
struct CertificatesFile {
    node: String,
    authorities: Vec<String>,
    #[serde(default)]
    past: Vec<String>,
}

impl TryFrom<CertificatesFile> for Certificates {
    type Error = hex::FromHexError;

    fn try_from(file: CertificatesFile) -> Result<Self, Self::Error> {
        let authorities = file.authorities.iter().map(hex::decode).collect::<Result<_, _>>()?;
        let digest = |text: &String| {
            let mut digest = [0; 32];
            hex::decode_to_slice(text, &mut digest).map(|()| digest)
        };
        let past = file.past.iter().map(digest).collect::<Result<_, _>>()?;
        Ok(Self { node: hex::decode(file.node)?, authorities, past })
    }
}

/// The id of the node whose files these are, if it got to the end of its bootstrap or join: without its key, which may be
/// wrapped.
pub(crate) async fn known(files: &dyn Files) -> Result<Option<NodeId>, Error> {
    Ok(node_file(files).await?.filter(|node| node.complete).map(|node| node.id))
}

async fn node_file(files: &dyn Files) -> Result<Option<NodeFile>, Error> {
    let Some(text) = read(files, NODE_FILE).await? else { return Ok(None) };
    serde_json::from_slice(&text).map(Some).map_err(|e| Error::Files {
        file: NODE_FILE,
        reason: format!("{e}; restore it from a backup, or wipe the directory"),
    })
}

/// Reads the identity; `None` on an empty data directory.
pub(crate) async fn load(files: &dyn Files) -> Result<Option<Stored>, Error> {
    let Some(node) = node_file(files).await? else { return Ok(None) };
    let bad = |file, reason: String| Error::Files { file, reason };
    let hex_key = read(files, KEY_FILE).await?.ok_or_else(|| {
        bad(KEY_FILE, "it is missing; restore it, or wipe the directory to join anew".into())
    })?;
    let mut seed = Zeroizing::new([0; 32]);
    hex::decode_to_slice(hex_key.trim_ascii(), &mut *seed)
        .map_err(|_| bad(KEY_FILE, "it does not hold 64 hexadecimal digits".into()))?;
    let certificates = certificates(files).await?;
    let NodeFile { id, name, complete } = node;
    Ok(Some(Stored { id, name, key: NodeKey(seed), complete, certificates }))
}

async fn certificates(files: &dyn Files) -> Result<Option<Certificates>, Error> {
    if let Some(text) = read(files, RENEWED_FILE).await? {
        let bad = |e: String| Error::Files {
            file: RENEWED_FILE,
            reason: format!("{e}; restore it from a backup, or wipe the directory"),
        };
        let file: CertificatesFile = serde_json::from_slice(&text).map_err(|e| bad(e.to_string()))?;
        return Certificates::try_from(file).map(Some).map_err(|e| bad(e.to_string()));
    }
    Ok(match (read(files, CERT_FILE).await?, read(files, CA_FILE).await?) {
        (Some(node), Some(ca)) => Some(Certificates::first(node.to_vec(), vec![ca.to_vec()])),
        _ => None,
    })
}

/// Writes certificates that replace those there are: all of them in one file, so that they always fit together.
pub(crate) async fn put_certificates(files: &dyn Files, certificates: &Certificates) -> Result<(), Error> {
    let Certificates { node, authorities, past } = certificates;
    let file = CertificatesFile {
        node: hex::encode(node),
        authorities: authorities.iter().map(hex::encode).collect(),
        past: past.iter().map(hex::encode).collect(),
    };
    let text = serde_json::to_vec_pretty(&file)
        .map_err(|e| Error::Files { file: RENEWED_FILE, reason: e.to_string() })?;
    write(files, RENEWED_FILE, &text).await?;
    write(files, CERT_FILE, node).await?;
    write(files, CA_FILE, certificates.issuer()).await
}

/// Writes the gossip keys, sealed, in place of those there are.
pub(crate) async fn put_gossip_keys(files: &dyn Files, sealed: &[u8]) -> Result<(), Error> {
    write(files, GOSSIP_FILE, sealed).await
}

/// Draws and writes a new, incomplete identity.
pub(crate) async fn create(files: &dyn Files, entropy: &dyn Entropy, name: &str) -> Result<Stored, Error> {
    if read(files, CERT_FILE).await?.is_some() {
        // Another identity's key would be lost, and with it what only that key opens.
        let reason =
            "it is missing, though this directory belonged to a node: restore it, or wipe the directory";
        return Err(Error::Files { file: NODE_FILE, reason: reason.to_owned() });
    }
    let key = NodeKey::draw(entropy);
    // Zero is no node: it is what an unset field reads as.
    let id = NodeId(entropy.draw().max(1));
    write(files, KEY_FILE, hex::encode(*key.0).as_bytes()).await?;
    write_node(files, id, name, false).await?;
    Ok(Stored { id, name: name.to_owned(), key, complete: false, certificates: None })
}

/// Writes what a bootstrap or join brought, and marks the identity complete.
pub(crate) async fn complete(
    files: &dyn Files,
    id: NodeId,
    name: &str,
    certificates: &Certificates,
    sealed_gossip_keys: &[u8],
) -> Result<(), Error> {
    put_certificates(files, certificates).await?;
    put_gossip_keys(files, sealed_gossip_keys).await?;
    write_node(files, id, name, true).await
}

/// The gossip keys as [`complete`] wrote them, still sealed.
pub(crate) async fn gossip_keys(files: &dyn Files) -> Result<Vec<u8>, Error> {
    read(files, GOSSIP_FILE).await?.map(|b| b.to_vec()).ok_or_else(|| Error::Files {
        file: GOSSIP_FILE,
        reason: "it is missing; restore it, or wipe the directory to join anew".into(),
    })
}

async fn write_node(files: &dyn Files, id: NodeId, name: &str, complete: bool) -> Result<(), Error> {
    let node = NodeFile { id, name: name.to_owned(), complete };
    let text = serde_json::to_vec_pretty(&node)
        .map_err(|e| Error::Files { file: NODE_FILE, reason: e.to_string() })?;
    write(files, NODE_FILE, &text).await
}

async fn read(files: &dyn Files, file: &'static str) -> Result<Option<bytes::Bytes>, Error> {
    files.read(file).await.map_err(|e| Error::Files { file, reason: e.to_string() })
}

async fn write(files: &dyn Files, file: &'static str, content: &[u8]) -> Result<(), Error> {
    files.write(file, content).await.map_err(|e| Error::Files { file, reason: e.to_string() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;

    #[derive(Default)]
    struct InMemory(Mutex<BTreeMap<String, Bytes>>);

    #[async_trait]
    impl Files for InMemory {
        async fn read(&self, name: &str) -> std::io::Result<Option<Bytes>> {
            Ok(self.0.lock().unwrap().get(name).cloned())
        }
        async fn write(&self, name: &str, content: &[u8]) -> std::io::Result<()> {
            self.0.lock().unwrap().insert(name.to_owned(), Bytes::copy_from_slice(content));
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_node_knows_the_authority_it_joined_under_after_others_have_followed() {
        let files = InMemory::default();
        let authority = |number: u8| vec![number; 40];
        let mut now = Certificates::first(vec![0], vec![authority(1)]);
        for next in 2..=4 {
            let both = now.followed_by(vec![next], vec![authority(next), authority(next - 1)]);
            now = both.followed_by(vec![next], vec![authority(next)]);
        }
        put_certificates(&files, &now).await.unwrap();
        let read = certificates(&files).await.unwrap().unwrap();
        assert_eq!((&read, read.authorities.len()), (&now, 1));
        assert!((1..=4).all(|number| read.knows(&fingerprint(&authority(number)))));
        assert!(!read.knows(&fingerprint(&authority(9))));
    }

    #[tokio::test]
    async fn certificates_of_older_programs_are_read() {
        let files = InMemory::default();
        files.write(RENEWED_FILE, br#"{"node":"00","authorities":["01"]}"#).await.unwrap();
        assert_eq!(certificates(&files).await.unwrap(), Some(Certificates::first(vec![0], vec![vec![1]])));
    }
}
