//! Events: what happened to nodes, replicas, deployments and quotas, for operators to read. `apply` itself writes them, in
//! the same batch as the change, so that none is missing and none tells of what did not happen. The newest
//! [`EVENTS_MAX`] are kept. Nothing ever decides by an event.

use serde::{Deserialize, Serialize};

use super::Context;
use crate::State;
use crate::ids::{DeploymentId, EventId, Millis, NodeId};
use crate::limits::{EVENTS_MAX, cut_reason};
use crate::table::Row;

/// The feature level from which events are written: nodes below it could not read their rows.
pub const LEVEL: u16 = 2;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What kind of thing happened.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Kind {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Kind] = &[$(Kind::$name),*];

            /// One word for it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Kind::$name => $text,)*
                }
            }
        }
    };
}

kinds! {
    /// A node came in.
    NodeJoined = "node_joined",
    /// A node started anew.
    NodeStarted = "node_started",
    /// A node was stopped in order.
    NodeStopped = "node_stopped",
    /// A node's lease ran out.
    NodeLost = "node_lost",
    /// A lost node is back.
    NodeReturned = "node_returned",
    /// A node is to leave.
    NodeLeaving = "node_leaving",
    /// A node is gone for good.
    NodeRemoved = "node_removed",
    /// A node gets nothing new.
    NodeCordoned = "node_cordoned",
    /// A node is being emptied.
    NodeDraining = "node_draining",
    /// A node may get work again.
    NodeUncordoned = "node_uncordoned",
    /// A replica got its first node.
    ReplicaAssigned = "replica_assigned",
    /// A replica's next place is being prepared, while it goes on where it is.
    ReplicaMoving = "replica_moving",
    /// A replica is on another node now.
    ReplicaMoved = "replica_moved",
    /// A replica stays where it is after all.
    ReplicaStays = "replica_stays",
    /// A replica answers.
    ReplicaReady = "replica_ready",
    /// A replica's engine is started again.
    ReplicaRestarting = "replica_restarting",
    /// A replica could not be run.
    ReplicaFailed = "replica_failed",
    /// A replica made room for one of higher priority.
    ReplicaPreempted = "replica_preempted",
    /// A replica is not wanted any more.
    ReplicaRemoved = "replica_removed",
    /// A deployment was made.
    DeploymentCreated = "deployment_created",
    /// A deployment is to have another number of replicas.
    DeploymentScaled = "deployment_scaled",
    /// Where a deployment may run, or what it may displace, was changed.
    DeploymentChanged = "deployment_changed",
    /// A deployment is to run again.
    DeploymentStarted = "deployment_started",
    /// A deployment is to rest.
    DeploymentStopped = "deployment_stopped",
    /// A deployment's engines are to be started anew.
    DeploymentRestarted = "deployment_restarted",
    /// A deployment is gone.
    DeploymentDeleted = "deployment_deleted",
    /// A tenant's quota was set or taken away.
    QuotaChanged = "quota_changed",
    /// How much may move at once was changed.
    MovesChanged = "moves_changed",
    /// A rebalance was asked for.
    RebalanceStarted = "rebalance_started",
    /// Nothing is left to rebalance.
    RebalanceEnded = "rebalance_ended",
    /// A key of the cluster is to be replaced.
    RotationAsked = "rotation_asked",
    /// A new key of the cluster is there beside the old one.
    RotationBegun = "rotation_begun",
    /// The new key of the cluster is used.
    RotationSwitched = "rotation_switched",
    /// The old key of the cluster is gone.
    RotationEnded = "rotation_ended",
    /// A node has a new certificate.
    CertificateRenewed = "certificate_renewed",
    /// What a model costs was set or taken away.
    PriceChanged = "price_changed",
    /// A declared dialect was put, went back to another version, or was taken away.
    AdapterChanged = "adapter_changed",
    /// What becomes of calls for a name was set or taken away.
    RouteChanged = "route_changed",
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Its place in the order of all events.
    pub id: EventId,
    /// When it happened.
    pub at: Millis,
    /// What kind of thing happened.
    pub kind: Kind,
    /// The node it is about; of a move, the one that is moved to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeId>,
    /// The node a replica was on before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<NodeId>,
    /// The deployment it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentId>,
    /// Which replica of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordinal: Option<u32>,
    /// What happened and why, in words that stay true when what it is about is gone; at most
    /// [`crate::limits::REASON_LEN_MAX`] bytes.
    pub text: String,
}

impl Row for Event {
    const TABLE: u8 = 14;
    type Key = EventId;
}

impl Event {
    /// Whether it is about this node, as the place or as the place before.
    pub fn is_about_node(&self, node: NodeId) -> bool {
        self.node == Some(node) || self.from == Some(node)
    }
}

/// What an event is about.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Subject {
    pub(crate) node: Option<NodeId>,
    pub(crate) from: Option<NodeId>,
    pub(crate) deployment: Option<DeploymentId>,
    pub(crate) ordinal: Option<u32>,
}

impl Subject {
    pub(crate) fn node(id: NodeId) -> Self {
        Self { node: Some(id), ..Self::default() }
    }

    pub(crate) fn deployment(id: DeploymentId) -> Self {
        Self { deployment: Some(id), ..Self::default() }
    }

    pub(crate) fn replica(id: DeploymentId, ordinal: u32, node: NodeId) -> Self {
        Self { node: Some(node), deployment: Some(id), ordinal: Some(ordinal), from: None }
    }
}

/// Writes an event, and drops the oldest where there are too many. Nothing in a cluster whose nodes cannot all read it.
pub(crate) fn record(
    state: &mut State,
    ctx: &mut Context<'_>,
    kind: Kind,
    about: Subject,
    text: impl FnOnce(&State) -> String,
) {
    if state.level() < LEVEL {
        return;
    }
    let text = cut_reason(text(state));
    let newest = state.events.iter().next_back().map_or(0, |(id, _)| id.0);
    let id = EventId::of(ctx.index).max(EventId(newest + 1));
    let Subject { node, from, deployment, ordinal } = about;
    state.events.put(ctx.out, id, Event { id, at: ctx.now, kind, node, from, deployment, ordinal, text });
    while state.events.len() > EVENTS_MAX {
        let Some(oldest) = state.events.iter().next().map(|(id, _)| *id) else { break };
        state.events.remove(ctx.out, &oldest);
    }
}

/// A node as a sentence names it.
pub(crate) fn node_name(state: &State, id: NodeId) -> String {
    state.nodes.get(&id).map_or_else(|| id.to_string(), |node| node.name.clone())
}
