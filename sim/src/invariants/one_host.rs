//! No epoch of a replica runs on two nodes, ever: an epoch is given to one node, and only that one may run it.

use std::collections::BTreeMap;

use domain::{DeploymentId, Epoch};

/// Remembers which host ran each epoch.
#[derive(Debug, Default)]
pub struct OneHost(BTreeMap<(DeploymentId, u32, Epoch), usize>);

impl OneHost {
    /// Looks at a replica that runs on a host; tells a second host of one epoch.
    pub fn look(&mut self, host: usize, id: DeploymentId, ordinal: u32, epoch: Epoch) -> Option<String> {
        let first = *self.0.entry((id, ordinal, epoch)).or_insert(host);
        (first != host).then(|| {
            format!("epoch {epoch} of replica {ordinal} of {id} ran on host {first} and on host {host}")
        })
    }
}
