//! Making a new admin key on a stopped node: the offline command leaves the key's hash in a file, and the node proposes it
//! at its next start. Whoever can write the data directory could do anything to the node anyway; the cluster still has to
//! agree, so a lone disk cannot be used to get in.

use std::sync::Arc;
use std::time::Duration;

use actors::ports::{Entropy, ProposeError, Proposer};
use domain::key::{self, Scope};
use domain::{Command, Reject};

use crate::env::Files;
use crate::error::Error;
use crate::identity;
use crate::ledger::Ledger;
use crate::token::{API_KEY_PREFIX_LEN, api_key_hash, draw_api_key};

const RESET_FILE: &str = "admin.reset";
/// The pause between attempts to have the key taken.
const PAUSE: Duration = Duration::from_secs(1);

/// A key with the admin scope, as a command.
pub(crate) fn admin_key(name: &str, hash: &[u8], prefix: &str) -> Command {
    Command::Key(key::Command::Create {
        name: name.to_owned(),
        hash: hash.to_vec(),
        prefix: prefix.chars().take(API_KEY_PREFIX_LEN).collect(),
        scopes: vec![Scope::Admin],
    })
}

/// Leaves a new admin key's hash for the node's next start, and returns the key's text, to be shown once.
pub async fn request(files: &dyn Files, entropy: &dyn Entropy) -> Result<String, Error> {
    if identity::known(files).await?.is_none() {
        return Err(Error::Files {
            file: "node.json",
            reason: "there is no node in this data directory: check --data".to_owned(),
        });
    }
    let text = draw_api_key(entropy);
    let prefix: String = text.chars().take(API_KEY_PREFIX_LEN).collect();
    let line = format!("{} {prefix}", hex::encode(api_key_hash(&text)));
    let written = files.write(RESET_FILE, line.as_bytes()).await;
    written.map_err(|e| Error::Files { file: RESET_FILE, reason: e.to_string() })?;
    Ok(text)
}

/// Proposes the key that was left, until it is taken.
pub(crate) async fn carry_out(files: Arc<dyn Files>, ledger: Arc<Ledger>) {
    let Ok(Some(line)) = files.read(RESET_FILE).await else { return };
    let line = String::from_utf8_lossy(&line).into_owned();
    let Some((hash, prefix)) = line.split_once(' ') else { return };
    let Ok(hash) = hex::decode(hash) else { return };
    loop {
        match ledger.propose(admin_key("admin-reset", &hash, prefix)).await {
            // A refusal means that it was taken at an earlier start.
            Ok(_) | Err(ProposeError::Rejected(Reject::Key(_))) => break,
            Err(error) => tracing::info!(reason = %error, "the new admin key is not taken yet"),
        }
        tokio::time::sleep(PAUSE).await;
    }
    if let Err(error) = files.write(RESET_FILE, b"").await {
        tracing::warn!(%error, "the admin key's reset file cannot be emptied");
    }
    tracing::warn!("a new admin key was made by `llmhub admin reset-key`");
}
