//! Data keys that leave with a backup and come with one. They leave wrapped for the backup's own key, given by a node that
//! holds them to a caller whose admin key it has checked itself; they come wrapped for the node that is asked, and stay as
//! secrets under this cluster's data key. Used by [`crate::vault::Safe`]; nothing in clear leaves this module but between
//! two voters' memories, over mutual TLS.

use std::sync::Arc;

use actors::Service;
use actors::ports::VaultError;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use bytes::Bytes;
use domain::key::Scope;
use domain::secret::{Secret, Wrap, data_key_name, is_data_key};
use domain::{State, View};
use futures::FutureExt as _;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use crate::seal::{self, Key, NO_NODE};
use crate::token::api_key_hash;
use crate::vault::Safe;

/// Door topic: give the data keys to a backup.
const EXPORT: &str = "vault.export";
/// Door topic: take another cluster's data keys in.
const IMPORT: &str = "vault.import";
/// Data keys that come with one backup at most.
const KEYS_MAX: usize = 1 + domain::limits::RESTORED_KEYS_MAX;

#[derive(Serialize, Deserialize)]
struct ExportAsk {
    #[serde(with = "serde_bytes")]
    public: Vec<u8>,
    proof: String,
}

/// Data keys in clear: for a holder's memory alone.
#[derive(Serialize, Deserialize)]
struct ImportAsk {
    keys: Vec<ByteBuf>,
}

/// The data keys that are kept beside the present one: its predecessor's, and those of restored backups. Each opens with the
/// present one or with another of them; a damaged one is left out.
pub(crate) fn old_keys(state: &State, key: &Key) -> Vec<Key> {
    let mut rows: Vec<_> = state.secrets.rows().filter(|row| is_data_key(&row.name)).collect();
    let mut keys = vec![key.clone()];
    let mut tried = 0;
    while let Some(opener) = keys.get(tried).cloned() {
        rows.retain(|row| {
            let found = seal::open(&opener, &row.name, &row.sealed).ok().and_then(|clear| as_key(&clear));
            let shut = found.is_none();
            keys.extend(found);
            shut
        });
        tried += 1;
    }
    keys.split_off(1)
}

fn as_key(clear: &[u8]) -> Option<Key> {
    clear.try_into().ok().map(Zeroizing::new)
}

/// What tells a data key from others, and tells nothing of it.
pub(crate) fn mark(key: &Key) -> String {
    let digest = Sha256::new().chain_update(b"llmhub data key").chain_update(**key).finalize();
    hex::encode(&digest[..8])
}

/// A certificate as the secrets table has it.
pub(crate) fn certificate(public: &str) -> Result<Vec<u8>, VaultError> {
    STANDARD_NO_PAD.decode(public).map_err(|_| VaultError::Damaged)
}

pub(crate) async fn export(safe: &Safe, public: &[u8], proof: &str) -> Result<Vec<Wrap>, VaultError> {
    let view = safe.view.load();
    if let Some(key) = safe.data_key(&view) {
        return wrap_all(safe, (&view, &key), public, proof);
    }
    let ask = ExportAsk { public: public.to_vec(), proof: proof.to_owned() };
    let answer = safe.ask_holders(EXPORT, encode(&ask)?).await?;
    rmp_serde::from_slice(&answer).map_err(|_| VaultError::Damaged)
}

fn wrap_all(
    safe: &Safe,
    (view, key): (&View, &Key),
    public: &[u8],
    proof: &str,
) -> Result<Vec<Wrap>, VaultError> {
    if !is_admin(&view.state, proof) {
        return Err(VaultError::NotAllowed);
    }
    let keys = std::iter::once(key.clone()).chain(old_keys(&view.state, key));
    let wrapped = |key: Key| {
        let wrap = seal::wrap(&key, NO_NODE, public, &*safe.entropy)?;
        Ok(Wrap { key: Some(mark(&key)), ..wrap })
    };
    keys.map(wrapped).collect()
}

fn is_admin(state: &State, text: &str) -> bool {
    let hash = api_key_hash(text);
    let key = state.key_by_hash(&hash).filter(|key| bool::from(key.hash.as_slice().ct_eq(&hash)));
    key.is_some_and(|key| key.allows(Scope::Admin))
}

pub(crate) async fn import(safe: &Safe, wraps: &[Wrap]) -> Result<Vec<Secret>, VaultError> {
    let mine = |wrap: &Wrap| if wrap.node == safe.me { Ok(wrap.clone()) } else { Err(VaultError::Damaged) };
    let keys: Vec<Key> = wraps
        .iter()
        .take(KEYS_MAX)
        .map(|wrap| seal::unwrap(&mine(wrap)?, &safe.secret))
        .collect::<Result<_, _>>()?;
    let view = safe.view.load();
    if let Some(key) = safe.data_key(&view) {
        return seal_all(safe, (&view, &key), &keys);
    }
    let ask = ImportAsk { keys: keys.iter().map(|key| ByteBuf::from(key.to_vec())).collect() };
    let answer = safe.ask_holders(IMPORT, encode(&ask)?).await?;
    rmp_serde::from_slice(&answer).map_err(|_| VaultError::Damaged)
}

fn seal_all(safe: &Safe, (view, key): (&View, &Key), old: &[Key]) -> Result<Vec<Secret>, VaultError> {
    let sealed = |old: &Key| {
        let name = data_key_name(&mark(old));
        let sealed = safe.seal_in(view, &name, &**old)?;
        Ok(Secret { name, public: String::new(), sealed })
    };
    old.iter().filter(|old| !bool::from(old.ct_eq(&**key))).map(sealed).collect()
}

fn encode<T: Serialize>(ask: &T) -> Result<Bytes, VaultError> {
    rmp_serde::to_vec_named(ask).map(Bytes::from).map_err(|e| VaultError::Unavailable(e.to_string()))
}

/// What this node answers others.
pub(crate) fn services(safe: &Arc<Safe>) -> [(&'static str, Service); 2] {
    let (exporting, importing) = (safe.clone(), safe.clone());
    let export: Service = Arc::new(move |_, body| {
        let answer = answer_export(&exporting, &body);
        async move { answer }.boxed()
    });
    let import: Service = Arc::new(move |_, body| {
        let answer = answer_import(&importing, &body);
        async move { answer }.boxed()
    });
    [(EXPORT, export), (IMPORT, import)]
}

fn answer_export(safe: &Safe, body: &[u8]) -> Result<Bytes, String> {
    let ask: ExportAsk = rmp_serde::from_slice(body).map_err(|e| e.to_string())?;
    let view = safe.view.load();
    let key = safe.data_key(&view).ok_or("this node does not hold the data key")?;
    let wraps = wrap_all(safe, (&view, &key), &ask.public, &ask.proof).map_err(|e| e.to_string())?;
    encode(&wraps).map_err(|e| e.to_string())
}

fn answer_import(safe: &Safe, body: &[u8]) -> Result<Bytes, String> {
    let ask: ImportAsk = rmp_serde::from_slice(body).map_err(|e| e.to_string())?;
    let view = safe.view.load();
    let key = safe.data_key(&view).ok_or("this node does not hold the data key")?;
    let keys: Option<Vec<Key>> = ask.keys.iter().take(KEYS_MAX).map(|bytes| as_key(bytes)).collect();
    let keys = keys.ok_or("a data key has 32 bytes")?;
    let secrets = seal_all(safe, (&view, &key), &keys).map_err(|e| e.to_string())?;
    encode(&secrets).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use actors::ports::{Entropy, ViewCell};
    use domain::node::{self, Node};
    use domain::provider::{Kind, Provider};
    use domain::{Command, Envelope, NodeId, RequestId, View, key, secret};
    use x25519_dalek::{PublicKey, StaticSecret};

    use super::*;

    struct Counting(AtomicU8);
    impl Entropy for Counting {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill_with(|| self.0.fetch_add(7, Ordering::Relaxed));
        }
    }

    const ADMIN: &str = "sk-llmhub-admin";

    /// A node that holds its cluster's data key.
    fn holder(id: u64, data_key: &Key) -> Arc<Safe> {
        let node = NodeId(id);
        let mine = StaticSecret::from([id as u8; 32]);
        let entropy = Arc::new(Counting((id as u8).into()));
        let wrap = seal::wrap(data_key, node, PublicKey::from(&mine).as_bytes(), &*entropy).unwrap();
        let mut view = View { me: node, ..View::default() };
        let row = Node { id: node, ..a_row() };
        for (n, command) in [
            Command::Node(node::Command::Join(row)),
            Command::Secret(secret::Command::Grant(wrap)),
            crate::reset::admin_key("admin", &api_key_hash(ADMIN), ADMIN),
        ]
        .into_iter()
        .enumerate()
        {
            apply(&mut view, n as u64 + 1, command);
        }
        Safe::new(node, ViewCell::new(view), mine, entropy)
    }

    fn apply(view: &mut View, index: u64, command: Command) {
        let envelope = Envelope::new(RequestId(u128::from(index)), command);
        view.state.apply(index, &envelope, &mut Vec::new()).unwrap();
    }

    fn a_row() -> Node {
        Node {
            id: NodeId(0),
            name: "n".to_owned(),
            zone: "z".to_owned(),
            cluster_addr: String::new(),
            http_addr: String::new(),
            seal_public: Vec::new(),
            cert_fingerprint: Vec::new(),
            incarnation: domain::Incarnation(1),
            capacity: node::Capacity::default(),
            standing: node::Standing::Active,
            since: 0,
            version: String::new(),
            joined_at: 0,
            cordon: None,
        }
    }

    #[tokio::test]
    async fn a_data_key_goes_by_a_backup_to_another_cluster_and_opens_there_what_was_sealed_here() {
        use actors::ports::Vault as _;
        let (old_key, new_key) = (Zeroizing::new([1; 32]), Zeroizing::new([2; 32]));
        let (old, new) = (holder(1, &old_key), holder(2, &new_key));
        let api_key = Some(old.seal("p", b"sk-upstream").await.unwrap());
        let provider = Provider {
            name: "p".into(),
            kind: Kind::OpenAi { url: "http://p".to_owned(), api_key },
            models: vec!["m".to_owned()],
            revision: 1,
            created_at: 0,
        };
        assert!(new.open_provider_key(&provider).await.is_err());

        let backup = StaticSecret::from([9; 32]);
        let public = PublicKey::from(&backup);
        let wraps = old.export_data_keys(public.as_bytes(), ADMIN).await.unwrap();
        let keys: Vec<Key> = wraps.iter().map(|wrap| seal::unwrap(wrap, &backup).unwrap()).collect();
        assert_eq!(keys, [old_key]);

        let own = PublicKey::from(&new.secret);
        let wrap = seal::wrap(&keys[0], NodeId(2), own.as_bytes(), &*new.entropy).unwrap();
        let secrets = new.import_data_keys(&[wrap]).await.unwrap();
        assert!(!secrets[0].sealed.bytes.windows(8).any(|bytes| bytes == [1; 8]));
        new.view.update(|view| {
            let mut next = view.clone();
            apply(&mut next, 9, Command::Secret(secret::Command::Put(secrets[0].clone())));
            next
        });
        assert_eq!(new.open_provider_key(&provider).await.unwrap().as_deref(), Some("sk-upstream"));
        let both = new.export_data_keys(public.as_bytes(), ADMIN).await.unwrap();
        assert_eq!(both.len(), 2, "a backup of the new cluster opens it too");
    }

    #[tokio::test]
    async fn a_data_key_is_given_to_nobody_without_an_admin_key_and_its_own_is_not_taken_in() {
        use actors::ports::Vault as _;
        let key = Zeroizing::new([1; 32]);
        let safe = holder(1, &key);
        let public = PublicKey::from(&StaticSecret::from([9; 32]));
        let hash = api_key_hash("sk-llmhub-read");
        safe.view.update(|view| {
            let mut next = view.clone();
            let create = key::Command::Create {
                name: "r".to_owned(),
                hash: hash.to_vec(),
                prefix: String::new(),
                scopes: vec![Scope::Read],
            };
            apply(&mut next, 9, Command::Key(create));
            next
        });
        for proof in ["", "sk-llmhub-other", "sk-llmhub-read"] {
            let refused = safe.export_data_keys(public.as_bytes(), proof).await;
            assert!(matches!(refused, Err(VaultError::NotAllowed)), "{proof}");
        }
        let own = PublicKey::from(&safe.secret);
        let wrap = seal::wrap(&key, NodeId(1), own.as_bytes(), &*safe.entropy).unwrap();
        assert!(safe.import_data_keys(std::slice::from_ref(&wrap)).await.unwrap().is_empty());
        let other = Wrap { node: NodeId(7), ..wrap };
        assert!(safe.import_data_keys(&[other]).await.is_err(), "it is wrapped for another node");
    }
}
