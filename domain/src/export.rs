//! A view as a file: what decisions look at, without any secret, so that it can leave the cluster and be asked "what if".
//! Written by the gateway, read by the simulator. What could carry a secret is left out or emptied here, in one place: keys,
//! tokens, sealed secrets, what engines are started with, and what engines said.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::State;
use crate::ids::{Incarnation, Millis, NodeId, ProviderName};
use crate::tables::Context;
use crate::tables::deployment::{Deployment, Phase};
use crate::tables::node::Node;
use crate::tables::provider::Provider;
use crate::tables::setting::Setting;
use crate::view::{Health, Liveness, View};

/// The form of the file. A reader refuses another one.
pub const FORMAT: u32 = 1;
/// Stands for a text that is not exported.
const LEFT_OUT: &str = "not exported";

/// A view, without secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Export {
    /// The form of the file.
    pub format: u32,
    /// The cluster's name.
    pub cluster: String,
    /// Which node exported it.
    pub seen_by: NodeId,
    /// The cluster's time, in milliseconds since the Unix epoch.
    pub at: Millis,
    /// The cluster's feature level.
    pub level: u16,
    /// Log index of the last command in it.
    pub applied: u64,
    /// The leader, where one was known.
    pub leader: Option<NodeId>,
    /// Nodes that vote.
    pub voters: BTreeSet<NodeId>,
    /// Health and life of each node that gossip had heard of.
    pub liveness: BTreeMap<NodeId, (Health, Incarnation)>,
    /// Nodes, without their keys.
    pub nodes: Vec<Node>,
    /// Deployments, without what their engines are started with and what they said.
    pub deployments: Vec<Deployment>,
    /// What operators set: quotas, and how much may move at once.
    #[serde(default)]
    pub settings: Vec<Setting>,
    /// Providers, without their keys.
    pub providers: Vec<Offer>,
}

/// A provider as far as it may be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// Its name.
    pub name: ProviderName,
    /// Its base URL without user, password and query; `None` of the mock.
    pub url: Option<String>,
    /// The models it offers.
    pub models: Vec<String>,
}

/// A file that this program cannot read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the view has form {found}, this program reads {FORMAT}: export it again with a node of this program's version"
)]
pub struct Foreign {
    /// The file's form.
    pub found: u32,
}

impl Export {
    /// What may leave the cluster of a view.
    pub fn of(view: &View, cluster: &str) -> Self {
        let state = &view.state;
        Self {
            format: FORMAT,
            cluster: cluster.to_owned(),
            seen_by: view.me,
            at: state.clock(),
            level: state.level(),
            applied: view.applied,
            leader: view.leader,
            voters: (*view.voters).clone(),
            liveness: view.liveness.nodes.clone(),
            nodes: state.nodes.rows().map(|row| without_keys(row)).collect(),
            deployments: state.deployments.rows().map(|row| without_words(row)).collect(),
            settings: state.settings.rows().map(|row| (**row).clone()).collect(),
            providers: state.providers.rows().map(|row| offer(row)).collect(),
        }
    }

    /// The view again, as far as decisions about replicas and voters look at it.
    ///
    /// # Errors
    /// When the file has another form.
    pub fn view(&self) -> Result<View, Foreign> {
        if self.format != FORMAT {
            return Err(Foreign { found: self.format });
        }
        let (mut state, mut changes) = (State::default(), Vec::new());
        for row in &self.nodes {
            state.nodes.put(&mut changes, row.id, row.clone());
        }
        for row in &self.deployments {
            state.deployments.put(&mut changes, row.id, row.clone());
        }
        for row in &self.settings {
            state.settings.put(&mut changes, row.name.clone(), row.clone());
        }
        let mut ctx = Context { index: self.applied, now: self.at, out: &mut changes };
        state.raise(self.level, &mut ctx);
        state.reach(&mut ctx);
        state.reindex();
        Ok(View {
            me: self.seen_by,
            state,
            applied: self.applied,
            liveness: Arc::new(Liveness { nodes: self.liveness.clone() }),
            leader: self.leader,
            voters: Arc::new(self.voters.clone()),
        })
    }
}

fn without_keys(node: &Node) -> Node {
    Node { seal_public: Vec::new(), cert_fingerprint: Vec::new(), ..node.clone() }
}

/// Arguments, values of variables and the words of engines may hold anything.
fn without_words(row: &Deployment) -> Deployment {
    let mut row = row.clone();
    row.spec.args.clear();
    row.spec.env.values_mut().for_each(|value| LEFT_OUT.clone_into(value));
    for replica in &mut row.replicas {
        if let Phase::Restarting { reason, .. } | Phase::Failed { reason } = &mut replica.phase {
            LEFT_OUT.clone_into(reason);
        }
    }
    row.refusals.values_mut().for_each(|refusal| LEFT_OUT.clone_into(&mut refusal.reason));
    row
}

fn offer(provider: &Provider) -> Offer {
    let url = provider.kind.url().map(without_credentials);
    Offer { name: provider.name.clone(), url, models: provider.models.clone() }
}

/// A URL without user, password, query and fragment. They are refused where providers are added; this does not rely on it.
fn without_credentials(url: &str) -> String {
    let plain = url.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = plain.split_once("://") else { return LEFT_OUT.to_owned() };
    let (authority, path) = rest.split_once('/').map_or((rest, String::new()), |(a, p)| (a, format!("/{p}")));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{path}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_loses_what_opens_it() {
        for (url, told) in [
            ("https://api.test/v1", "https://api.test/v1"),
            ("https://user:secret@api.test:8443/v1?key=secret#secret", "https://api.test:8443/v1"),
            ("http://secret@h", "http://h"),
            ("secret", LEFT_OUT),
        ] {
            assert_eq!(without_credentials(url), told);
        }
    }
}
