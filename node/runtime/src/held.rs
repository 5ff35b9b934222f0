//! What a node has of the cluster's keys, told by marks that tell nothing of a key. For whoever looks from outside whether
//! keys are replaced as they should be: the simulator. It only looks, and draws nothing.

use domain::View;

use crate::follow::GossipCell;
use crate::keeper::Badge;
use crate::vault::{Safe, provider_context};
use crate::{custody, escrow};

/// Which of the cluster's keys a node has.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// The data key, where the metadata has it wrapped for the node and the wrap opens.
    pub data: Option<String>,
    /// What is sealed in the metadata and does not open, though the data key is wrapped for the node.
    pub shut: Vec<String>,
    /// The keys of gossip, the one that seals first; none when it has ended, or cannot be looked at just now.
    pub gossip: Vec<String>,
    /// The authorities it trusts, the one that signed its own certificate first.
    pub authorities: Vec<String>,
}

impl Held {
    /// Of the node that this view is of.
    pub(crate) fn of(view: &View, safe: &Safe, badge: &Badge, gossip: &GossipCell) -> Self {
        let gossip = gossip.try_lock().ok().and_then(|gossip| Some(gossip.as_ref()?.marks()));
        Self {
            data: safe.data_key(view).map(|key| escrow::mark(&key)),
            shut: shut(view, safe),
            gossip: gossip.unwrap_or_default(),
            authorities: badge.get().authorities.iter().map(|ca| custody::short(ca)).collect(),
        }
    }
}

fn shut(view: &View, safe: &Safe) -> Vec<String> {
    let state = &view.state;
    if !state.wraps.contains(&view.me) {
        return Vec::new();
    }
    if safe.data_key(view).is_none() {
        return vec!["the data key".to_owned()];
    }
    let secrets = state.secrets.rows().map(|row| (row.name.clone(), &row.sealed));
    let providers = state.providers.rows();
    let providers = providers.filter_map(|row| Some((provider_context(row.name.as_str()), row.sealed()?)));
    let all = secrets.chain(providers);
    all.filter(|(context, sealed)| safe.open(view, context, sealed).is_err()).map(|(name, _)| name).collect()
}
