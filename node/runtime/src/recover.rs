//! Making a stopped node the only voter of its cluster, when a majority is lost for good. The disk's part is consensus';
//! this finds out whose disk it is. Nothing of the cluster runs meanwhile.

use std::sync::Arc;

use actors::ports::{Clock, Entropy};
use consensus::{Disk, Recovered};
use domain::RequestId;

use crate::env::Files;
use crate::error::Error;
use crate::identity;

/// Makes the node of these files and this disk the only voter of its cluster.
///
/// # Errors
/// When the directory is none of a member that can carry on alone; then nothing is changed.
pub async fn recover(
    files: &dyn Files,
    disk: Arc<dyn Disk>,
    clock: &dyn Clock,
    entropy: &dyn Entropy,
) -> Result<Recovered, Error> {
    let node = identity::known(files).await?.ok_or_else(|| Error::Files {
        file: "node.json",
        reason: "there is no node in this data directory: check --data".to_owned(),
    })?;
    let mut id = [0; 16];
    entropy.fill(&mut id);
    Ok(consensus::recover(disk, node, clock.now(), RequestId(u128::from_le_bytes(id))).await?)
}
