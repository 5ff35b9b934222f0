//! Where a request goes: which targets can answer for a model, and in which order they are tried. Own replicas come before
//! providers; suspects are left out, but never more than a capped share of the nodes at once.

use serde::{Deserialize, Serialize};

use crate::ids::{DeploymentId, Epoch, NodeId, ProviderName};
use crate::tables::deployment::{Deployment, Desired, Phase};
use crate::view::View;

/// At most this share of the nodes is left out of routing for being suspect, in percent: when more seem gone, the
/// observer is more likely to be the one that is cut off.
pub const SUSPECTS_PERCENT_MAX: usize = 50;

/// Something that can answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Target {
    /// An engine on a node of the cluster.
    Replica {
        /// Of which deployment.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// Under which epoch.
        epoch: Epoch,
        /// On which node.
        node: NodeId,
    },
    /// A provider's API.
    Provider(ProviderName),
}

/// What a router knows about a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Load {
    /// Calls under way from this node.
    pub in_flight: u32,
    /// Smoothed time to the first byte, in microseconds; 0 when never called.
    pub latency_us: u64,
    /// Whether it failed so recently that others should be tried first.
    pub avoid: bool,
}

/// Why nothing can answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// Nobody offers a model of this name.
    UnknownModel,
    /// The deployment is stopped or scaled to zero.
    Stopped(DeploymentId),
    /// The deployment has no replica that answers; how many it wants and what was said last.
    NoneReady {
        /// The deployment.
        id: DeploymentId,
        /// Replicas wanted.
        wanted: u32,
        /// The most telling phase or refusal.
        why: String,
    },
    /// All its replicas are on nodes that seem gone.
    Unreachable(DeploymentId),
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::UnknownModel => write!(f, "no deployment and no provider offers it"),
            Reason::Stopped(id) => write!(f, "deployment {id} is stopped: start it, or scale it up"),
            Reason::NoneReady { id, wanted, why } => {
                write!(f, "deployment {id} has none of its {wanted} replicas ready: {why}")
            }
            Reason::Unreachable(id) => {
                write!(f, "the nodes that run deployment {id} are not reachable just now")
            }
        }
    }
}

/// All targets that can answer for `model`, own replicas first. `provider/model` names one provider's.
pub fn targets(view: &View, model: &str) -> Result<Vec<Target>, Reason> {
    let mut found = Vec::new();
    let mut reason = Reason::UnknownModel;
    if let Some(deployment) = view.state.deployment_named(model) {
        match replicas(view, deployment) {
            Ok(replicas) => found = replicas,
            Err(why) => reason = why,
        }
    }
    found.extend(view.state.providers_of(model).map(|name| Target::Provider(name.clone())));
    if found.is_empty()
        && let Some((provider, rest)) = model.split_once('/')
        && view.state.providers_of(rest).any(|name| name.as_str() == provider)
    {
        found.push(Target::Provider(ProviderName::from(provider)));
    }
    if found.is_empty() { Err(reason) } else { Ok(found) }
}

fn replicas(view: &View, deployment: &Deployment) -> Result<Vec<Target>, Reason> {
    if deployment.desired == Desired::Stopped || deployment.spec.replicas == 0 {
        return Err(Reason::Stopped(deployment.id));
    }
    let ready = || deployment.replicas.iter().filter(|r| r.phase == Phase::Ready);
    if ready().next().is_none() {
        return Err(Reason::NoneReady {
            id: deployment.id,
            wanted: deployment.spec.replicas,
            why: why_not_ready(deployment),
        });
    }
    let trust = trusts_suspicion(view);
    let target = |r: &crate::deployment::Replica| Target::Replica {
        id: deployment.id,
        ordinal: r.ordinal,
        epoch: r.epoch,
        node: r.node,
    };
    let usable = |node: NodeId| node == view.me || !trust || !view.liveness.suspects(node);
    let found: Vec<Target> = ready().filter(|r| usable(r.node)).map(target).collect();
    if found.is_empty() { Err(Reason::Unreachable(deployment.id)) } else { Ok(found) }
}

/// Whether this node's suspicions may take nodes out of routing: not when they are too many at once.
fn trusts_suspicion(view: &View) -> bool {
    let others = view.state.nodes.rows().filter(|n| n.id != view.me);
    let (mut all, mut gone) = (1, 0);
    for node in others {
        all += 1;
        // Nodes the cluster already gave up say nothing about the observer.
        if node.standing == crate::node::Standing::Lost {
            all -= 1;
        } else if view.liveness.suspects(node.id) {
            gone += 1;
        }
    }
    gone * 100 <= all * SUSPECTS_PERCENT_MAX
}

fn why_not_ready(deployment: &Deployment) -> String {
    let told = deployment.replicas.iter().find_map(|r| match &r.phase {
        Phase::Failed { reason } => Some(format!("replica {} failed: {reason}", r.ordinal)),
        Phase::Restarting { attempt, reason } => {
            Some(format!("replica {} restarts (attempt {attempt}): {reason}", r.ordinal))
        }
        _ => None,
    });
    let refused = || deployment.refusals.values().max_by_key(|r| r.at).map(|r| r.reason.clone());
    told.or_else(refused).unwrap_or_else(|| "it is being placed and started".to_owned())
}

/// Puts the best target first: not avoided, own replicas before providers, fewest calls in flight, then the lowest
/// latency; ties go by `draw`, so that equal targets share the load.
pub fn order(targets: &mut [(Target, Load)], draw: u64) {
    let mut keyed: Vec<_> = targets
        .iter()
        .cloned()
        .enumerate()
        .map(|(i, (target, load))| {
            let rank = match target {
                Target::Replica { .. } => 0u8,
                Target::Provider(_) => 1,
            };
            // Latencies are compared in steps of a power of two: small differences are noise, not a preference.
            let step = 64 - load.latency_us.leading_zeros();
            ((load.avoid, rank, load.in_flight, step, scatter(draw, i as u64)), (target, load))
        })
        .collect();
    keyed.sort_by_key(|(key, _)| *key);
    for (slot, (_, item)) in targets.iter_mut().zip(keyed) {
        *slot = item;
    }
}

/// Splitmix64 of a draw and a place: an even shuffle of what is otherwise equal.
fn scatter(draw: u64, place: u64) -> u64 {
    let mut x = draw.wrapping_add((place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}
