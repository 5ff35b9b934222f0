//! Where a request goes: which targets can answer for a model, and in which order they are tried. Own replicas come before
//! providers; suspects are left out, but never more than a capped share of the nodes at once. Which of them are tried for a
//! call and in which order, by the routes that operators set, is [`plan`]'s.

mod order;
pub mod plan;
pub mod race;
pub mod why;

use serde::{Deserialize, Serialize};

use crate::ids::{DeploymentId, Epoch, NodeId, ProviderName};
use crate::limits::ROUTE_DEPTH_MAX;
use crate::tables::deployment::{Deployment, Desired, Phase, Replica};
use crate::tables::node::{Node, Standing};
use crate::tables::price::Rates;
use crate::view::{Health, View};

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
    if found.is_empty() {
        found.extend(named_provider(view, model).map(|(name, _)| Target::Provider(name.clone())));
    }
    if found.is_empty() { Err(reason) } else { Ok(found) }
}

/// The provider that `provider/model` names, and what it calls the model, if it offers that.
pub fn named_provider<'a>(view: &'a View, model: &'a str) -> Option<(&'a ProviderName, &'a str)> {
    let (provider, rest) = model.split_once('/')?;
    let name = view.state.providers_of(rest).find(|name| name.as_str() == provider)?;
    Some((name, rest))
}

/// What tokens of `model` cost, if that was said: of this name, or of the one that `provider/model` has there; else, of a
/// name with a route, the dearest of what may answer for it, if all of that has a price.
pub fn rates(view: &View, model: &str) -> Option<Rates> {
    rates_within(view, model, ROUTE_DEPTH_MAX)
}

fn rates_within(view: &View, model: &str, depth: usize) -> Option<Rates> {
    let of = |name: &str| view.state.prices.get(&name.to_owned()).map(|price| price.rates);
    if let Some(rates) = of(model).or_else(|| of(named_provider(view, model)?.1)) {
        return Some(rates);
    }
    let route = view.state.route(model).filter(|_| depth > 0)?;
    let names = route.names().map(|(_, name)| name).filter(|name| *name != model);
    let mut dearest = None;
    for name in names {
        let next = rates_within(view, name, depth - 1)?;
        let so_far: Rates = dearest.unwrap_or_default();
        dearest = Some(Rates { input: so_far.input.max(next.input), output: so_far.output.max(next.output) });
    }
    dearest
}

/// Whether a call under way at a replica is given up, because its node is gone. A node that is heard of, or that stops in
/// order, finishes what it has; and as long as only this node's suspicion speaks against it, the connection to it tells
/// better. Where the replica is placed now says nothing about calls to where it was.
pub fn given_up(view: &View, id: DeploymentId, ordinal: u32, epoch: Epoch, node: NodeId) -> bool {
    if node == view.me {
        return false;
    }
    let Some(row) = view.state.nodes.get(&node) else { return true };
    let heard = view.liveness.nodes.get(&node).map(|(health, _)| *health);
    if heard == Some(Health::Alive) || matches!(row.standing, Standing::Stopped | Standing::Leaving) {
        return false;
    }
    if heard == Some(Health::Down) && trusts_suspicion(view) {
        return true;
    }
    let held = view.state.deployments.get(&id).is_some_and(|d| d.held(ordinal, epoch).is_some());
    row.standing == Standing::Lost && !held
}

fn replicas(view: &View, deployment: &Deployment) -> Result<Vec<Target>, Reason> {
    if deployment.desired == Desired::Stopped || deployment.spec.replicas == 0 {
        return Err(Reason::Stopped(deployment.id));
    }
    let ready = || deployment.replicas.iter().flat_map(|r| answering(view, r).map(|at| (r.ordinal, at)));
    if ready().next().is_none() {
        return Err(Reason::NoneReady {
            id: deployment.id,
            wanted: deployment.spec.replicas,
            why: why_not_ready(view, deployment),
        });
    }
    let target = |(ordinal, (node, epoch))| Target::Replica { id: deployment.id, ordinal, epoch, node };
    // Whether suspicion is to be trusted takes a look at every node: only where a replica's is suspected.
    let usable = |node: NodeId| node == view.me || !view.liveness.suspects(node) || !trusts_suspicion(view);
    let found: Vec<Target> = ready().filter(|(_, (node, _))| usable(*node)).map(target).collect();
    if found.is_empty() { Err(Reason::Unreachable(deployment.id)) } else { Ok(found) }
}

/// Where a replica answers, and under which epoch, as far as the tables and its node's life tell: where it is, and where its
/// successor is.
fn answering(view: &View, replica: &Replica) -> impl Iterator<Item = (NodeId, Epoch)> {
    let next = replica.successor.as_ref().map(|next| (&next.phase, next.node, next.epoch));
    let places = [Some((&replica.phase, replica.node, replica.epoch)), next].into_iter().flatten();
    places
        .filter(|(phase, node, _)| **phase == Phase::Ready && speaks(view, *node))
        .map(|(_, node, epoch)| (node, epoch))
}

/// Whether a replica answers, here or there.
pub fn is_ready(view: &View, replica: &Replica) -> bool {
    answering(view, replica).next().is_some()
}

/// How many replicas of a deployment answer.
pub fn ready(view: &View, deployment: &Deployment) -> usize {
    deployment.replicas.iter().filter(|r| is_ready(view, r)).count()
}

/// Whether the tables speak of a node's present life: what they say of its replicas is over once it was stopped, and not
/// yet true again when it has started a moment ago. Of itself a node knows better.
fn speaks(view: &View, node: NodeId) -> bool {
    let present = |row: &Node| {
        row.standing != Standing::Stopped
            && view.liveness.life(node).is_none_or(|life| life <= row.incarnation)
    };
    let known = || view.state.nodes.get(&node).is_none_or(|row| present(row));
    // One that was removed may well be heard of for a while; where its replicas go is decided only after it.
    !view.state.gone.contains(&node) && (node == view.me || known())
}

/// Whether this node's suspicions may take nodes out of routing: not when they are too many at once.
fn trusts_suspicion(view: &View) -> bool {
    let others = view.state.nodes.rows().filter(|n| n.id != view.me);
    let (mut all, mut gone) = (1, 0);
    for node in others {
        all += 1;
        // Nodes the cluster gave up, or that said that they stop, say nothing about the observer.
        if matches!(node.standing, Standing::Lost | Standing::Stopped) {
            all -= 1;
        } else if view.liveness.suspects(node.id) {
            gone += 1;
        }
    }
    gone * 100 <= all * SUSPECTS_PERCENT_MAX
}

fn why_not_ready(view: &View, deployment: &Deployment) -> String {
    let told = deployment.replicas.iter().find_map(|r| match &r.phase {
        Phase::Failed { reason } => Some(format!("replica {} failed: {reason}", r.ordinal)),
        Phase::Restarting { attempt, reason } => {
            Some(format!("replica {} restarts (attempt {attempt}): {reason}", r.ordinal))
        }
        _ => None,
    });
    let refused = || deployment.refusals.values().max_by_key(|r| r.at).map(|r| r.reason.clone());
    let restarts = || {
        let waits = deployment.replicas.iter().find(|r| r.phase == Phase::Ready && !speaks(view, r.node))?;
        Some(format!("node {} is being restarted; another takes over if that takes long", waits.node))
    };
    told.or_else(refused).or_else(restarts).unwrap_or_else(|| "it is being placed and started".to_owned())
}

/// The place of the best target: not avoided, own replicas before providers, fewest calls in flight, then the lowest
/// latency; ties go by `draw`, so that equal targets share the load. `None` when there is none.
pub fn best<'a>(targets: impl IntoIterator<Item = (&'a Target, Load)>, draw: u64) -> Option<usize> {
    let keyed = targets.into_iter().enumerate();
    let keyed = keyed.map(|(place, (target, load))| (load.avoid, rank(target, load, draw, place)));
    keyed.min().map(|(_, (.., place))| place)
}

/// The order of targets that are as good as each other but for how busy they are.
fn rank(target: &Target, load: Load, draw: u64, place: usize) -> (u8, u32, u32, u64, usize) {
    let provider = u8::from(matches!(target, Target::Provider(_)));
    // Latencies are compared in steps of a power of two: small differences are noise, not a preference.
    let step = 64 - load.latency_us.leading_zeros();
    (provider, load.in_flight, step, scatter(draw, place as u64), place)
}

/// Splitmix64 of a draw and a place: an even shuffle of what is otherwise equal.
fn scatter(draw: u64, place: u64) -> u64 {
    race::mix(draw.wrapping_add((place + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
}
