//! Sealing and opening of secrets (providers' keys). Voters open them with the data key they hold; other nodes ask one.

use async_trait::async_trait;
use domain::decide::rotation::Step;
use domain::provider::Provider;
use domain::secret::{Sealed, Secret, Wrap};
use domain::{NodeId, rotation};

/// Why a secret cannot be sealed or opened.
#[derive(Debug, Clone, thiserror::Error)]
pub enum VaultError {
    /// No voter that holds the data key can be asked.
    #[error("no node that holds the cluster's data key can be reached: {0}")]
    Unavailable(String),
    /// Whoever holds the data key does not give it away to this caller.
    #[error("the data key is given to backups made with an admin key alone")]
    NotAllowed,
    /// The ciphertext is not what was sealed.
    #[error("a sealed secret cannot be opened: it was damaged or sealed under another key")]
    Damaged,
}

/// The cluster's secrets. What it returns in clear stays in memory and is never logged.
#[async_trait]
pub trait Vault: Send + Sync + 'static {
    /// Seals the key of the provider of this name; it opens as that provider's only.
    async fn seal(&self, provider: &str, clear: &[u8]) -> Result<Sealed, VaultError>;
    /// Opens a provider's key.
    async fn open_provider_key(&self, provider: &Provider) -> Result<Option<String>, VaultError>;
    /// Every data key that something may be sealed under, the present one first, each wrapped for this public key (X25519,
    /// 32 bytes) and no node: for a backup. `proof` is the text of an API key with the admin scope, which whoever holds
    /// the data key checks for itself.
    async fn export_data_keys(&self, public: &[u8], proof: &str) -> Result<Vec<Wrap>, VaultError>;
    /// Takes in another cluster's data keys, wrapped for this node: as secrets, sealed under this cluster's data key and
    /// ready to be proposed. The present data key is left out.
    async fn import_data_keys(&self, wraps: &[Wrap]) -> Result<Vec<Secret>, VaultError>;
}

/// Gives the data key to a node that is about to vote, and replaces keys of the cluster.
#[async_trait]
pub trait Custodian: Send + Sync + 'static {
    /// The data key wrapped for a node, ready to be granted. A leader that votes no more, and so does not hold the key, has a
    /// holder do it.
    async fn wrap_for(&self, node: NodeId) -> Result<Wrap, VaultError>;
    /// The command that takes this step of a rotation, with what is to be drawn, opened and sealed for it.
    async fn prepare(&self, step: &Step) -> Result<rotation::Command, VaultError>;
}
