//! Deployments: a model to be served under a name by some replicas, and where each replica is. The scheduler assigns
//! replicas to nodes, each time under a new epoch; the hosting node reports what became of it. A report or assignment
//! that speaks of an old epoch is refused, so a node that lost its replica can never speak for it. A replica that moves
//! without need has a successor first: that one is started elsewhere, answers beside it, and then takes its place.

mod apply;
mod check;
mod policy;
mod restore;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::RejectClass;
use crate::ids::{DeploymentId, Epoch, Millis, ModelId, NodeId};
use crate::table::Row;

pub(crate) use apply::{apply, node_reborn};
pub use policy::{AntiAffinity, Policy, TENANT_DEFAULT};
pub(super) use restore::restore;

/// What is wanted: chosen by the user, unchanged by the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The name clients ask for; unique among deployments.
    pub name: String,
    /// The model it serves.
    pub model: ModelId,
    /// The engine that runs it: a name of the nodes' configuration.
    pub engine: String,
    /// How many replicas are wanted.
    pub replicas: u32,
    /// What each replica needs.
    pub resources: Resources,
    /// Environment variables of the engine, from the nodes' allow-list.
    pub env: BTreeMap<String, String>,
    /// Extra arguments of the engine.
    pub args: Vec<String>,
    /// Whose it is, where it may run, and what it may displace.
    #[serde(default, skip_serializing_if = "Policy::is_default")]
    pub policy: Policy,
}

/// What one replica needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// CPUs; 0 asks for no share of its own.
    pub cpus: u32,
    /// Main memory in MiB, which its engine may hold and no more; 0 asks for no share of its own and sets no bound.
    pub memory_mib: u64,
    /// Whole GPUs.
    pub gpus: u32,
    /// Memory each of those GPUs must have, in MiB.
    pub gpu_memory_mib: u64,
}

/// Whether it should run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Desired {
    /// Its replicas run.
    Running,
    /// It is kept, but nothing runs.
    Stopped,
}

/// Where a replica is in its life, as its host reported it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Given to a node that has not reported yet.
    Assigned,
    /// Its engine is being started.
    Starting,
    /// It answers.
    Ready,
    /// Its engine ended or stopped answering; it is being started again.
    Restarting {
        /// How often it was started since it was last well.
        attempt: u32,
        /// What went wrong.
        reason: String,
    },
    /// Its host gave up; the scheduler tries another node.
    Failed {
        /// What went wrong.
        reason: String,
    },
}

/// One replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// Its number within the deployment, from 0.
    pub ordinal: u32,
    /// Where it runs.
    pub node: NodeId,
    /// Under which epoch it was given there.
    pub epoch: Epoch,
    /// GPUs of that node that are its own, by index.
    pub gpus: Vec<u32>,
    /// How it is.
    pub phase: Phase,
    /// Since when it is so.
    pub since: Millis,
    /// Where it goes without need: started first, and in its place once it answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub successor: Option<Successor>,
}

/// A replica's next place. It has the replica's number, an epoch of its own, and always another node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Successor {
    /// Where it is started.
    pub node: NodeId,
    /// Under which epoch it was given there.
    pub epoch: Epoch,
    /// GPUs of that node that are its own, by index.
    pub gpus: Vec<u32>,
    /// How it is; once it is ready both answer, until all nodes must know so and it takes the replica's place.
    pub phase: Phase,
    /// Since when it is so.
    pub since: Millis,
}

/// Who took a replica's room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Preempted {
    /// The deployment of higher priority.
    pub by: DeploymentId,
    /// Which of its replicas.
    pub by_ordinal: u32,
    /// When.
    pub at: Millis,
}

/// A node could not run it; it is tried elsewhere first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Why not.
    pub reason: String,
    /// When it last said so.
    pub at: Millis,
    /// How often it said so.
    pub count: u32,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// What is wanted.
    pub spec: Spec,
    /// Whether it should run.
    pub desired: Desired,
    /// Grows with each restart asked for; replicas assigned before it start their engines anew.
    pub generation: Epoch,
    /// Its replicas, by ordinal.
    pub replicas: Vec<Replica>,
    /// Nodes that could not run it.
    pub refusals: BTreeMap<NodeId, Refusal>,
    /// Replicas without a node since one of higher priority took their room, by ordinal.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub preempted: BTreeMap<u32, Preempted>,
    /// When it was created.
    pub created_at: Millis,
}

impl Row for Deployment {
    const TABLE: u8 = 3;
    type Key = DeploymentId;
}

impl Deployment {
    /// The replica of that number, if it is placed.
    pub fn replica(&self, ordinal: u32) -> Option<&Replica> {
        self.replicas.iter().find(|r| r.ordinal == ordinal)
    }
    /// What of the replica of that number runs under this epoch, as it is or as its successor: its node, its GPUs and its
    /// phase.
    pub fn held(&self, ordinal: u32, epoch: Epoch) -> Option<(NodeId, &[u32], &Phase)> {
        let replica = self.replica(ordinal)?;
        if replica.epoch == epoch {
            return Some((replica.node, &replica.gpus, &replica.phase));
        }
        let next = replica.successor.as_ref().filter(|next| next.epoch == epoch)?;
        Some((next.node, &next.gpus, &next.phase))
    }
    /// What is wanted alone, without where it is and who refused it: what a backup keeps.
    pub fn unplaced(&self) -> Arc<Self> {
        let (replicas, refusals, preempted) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        Arc::new(Self { replicas, refusals, preempted, spec: self.spec.clone(), ..*self })
    }
    /// How many replicas should run now.
    pub fn wanted(&self) -> u32 {
        if self.desired == Desired::Running { self.spec.replicas } else { 0 }
    }
}

/// Changes of the deployments table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A user wants one.
    Create(Spec),
    /// A user wants more or fewer replicas.
    Scale {
        /// Which.
        id: DeploymentId,
        /// How many.
        replicas: u32,
    },
    /// A user wants it to run again.
    Start(DeploymentId),
    /// A user wants it to rest.
    Stop(DeploymentId),
    /// A user wants its engines started anew.
    Restart(DeploymentId),
    /// A user wants it gone.
    Delete(DeploymentId),
    /// The scheduler gives a replica to a node.
    Assign {
        /// Which.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The epoch it has now, `None` when it is not placed: a stale scheduler is refused.
        was: Option<Epoch>,
        /// The node it goes to.
        node: NodeId,
        /// GPUs of that node it gets.
        gpus: Vec<u32>,
    },
    /// The scheduler takes a replica away.
    Unassign {
        /// Which.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The epoch it has now.
        was: Epoch,
    },
    /// The host says how a replica, or the successor of one, is.
    Report {
        /// Which.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The epoch it runs under.
        epoch: Epoch,
        /// How it is.
        phase: Phase,
    },
    /// A user wants one with a policy.
    CreateWith(Spec),
    /// A user wants another policy for it; its tenant stays.
    SetPolicy {
        /// Which.
        id: DeploymentId,
        /// The policy.
        policy: Policy,
    },
    /// The scheduler gives a replica that is placed a successor on another node.
    Prepare {
        /// Which.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The epoch it has now.
        was: Epoch,
        /// The node its successor goes to.
        node: NodeId,
        /// GPUs of that node it gets.
        gpus: Vec<u32>,
    },
    /// The scheduler puts a successor in the replica's place: it answers, or the replica itself is lost.
    Promote {
        /// Which.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The successor's epoch.
        successor: Epoch,
    },
    /// The scheduler takes a successor away: the replica stays where it is.
    Abandon {
        /// Which.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The successor's epoch.
        successor: Epoch,
    },
    /// The scheduler takes a replica away, for one of higher priority.
    Preempt {
        /// Which.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
        /// The epoch it has now.
        was: Epoch,
        /// The deployment that gets its room.
        by: DeploymentId,
        /// Which of its replicas.
        by_ordinal: u32,
    },
}

impl Command {
    /// The feature level that all nodes must have for it.
    pub(crate) fn level(&self) -> u16 {
        match self {
            Command::CreateWith(_)
            | Command::SetPolicy { .. }
            | Command::Prepare { .. }
            | Command::Promote { .. }
            | Command::Abandon { .. }
            | Command::Preempt { .. } => 2,
            _ => 1,
        }
    }

    /// The replica that it is about, where it is about one alone.
    pub fn replica(&self) -> Option<(DeploymentId, u32)> {
        match self {
            Command::Assign { id, ordinal, .. }
            | Command::Unassign { id, ordinal, .. }
            | Command::Report { id, ordinal, .. }
            | Command::Prepare { id, ordinal, .. }
            | Command::Promote { id, ordinal, .. }
            | Command::Abandon { id, ordinal, .. }
            | Command::Preempt { id, ordinal, .. } => Some((*id, *ordinal)),
            Command::Create(_)
            | Command::Scale { .. }
            | Command::Start(_)
            | Command::Stop(_)
            | Command::Restart(_)
            | Command::Delete(_)
            | Command::CreateWith(_)
            | Command::SetPolicy { .. } => None,
        }
    }

    /// The command that makes a deployment of this spec: what needs no policy is understood by every node.
    pub fn create(spec: Spec) -> Self {
        if spec.policy.is_default() { Command::Create(spec) } else { Command::CreateWith(spec) }
    }
}

/// Why a deployment's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// No such deployment.
    #[error("there is no deployment {0}: list them with GET /api/deployments")]
    Unknown(DeploymentId),
    /// Another deployment has the name.
    #[error("a deployment named `{name}` exists already ({id}): choose another name, or delete it first")]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        id: DeploymentId,
    },
    /// The spec makes no sense.
    #[error("{field} of the deployment is wrong: {hint}")]
    BadSpec {
        /// Which part.
        field: String,
        /// What to do.
        hint: String,
    },
    /// The model is not registered.
    #[error("there is no model `{0}`: register it, or deploy a file by path or file:// URL")]
    NoModel(ModelId),
    /// The node is not in the cluster.
    #[error("there is no node {0} to give a replica to")]
    NoNode(NodeId),
    /// Its tenant may not ask for so much.
    #[error(
        "tenant `{tenant}` may have {allowed} {what}: its other deployments take {used}, and this asks for {asked}; ask for \
         less, stop another, or raise it with `llmhub quota set`"
    )]
    OverQuota {
        /// Whose quota.
        tenant: String,
        /// Of what.
        what: String,
        /// What its other deployments ask for.
        used: u64,
        /// What this one asks for.
        asked: u64,
        /// What it may ask for.
        allowed: u64,
    },
    /// What is to get the room has no higher priority.
    #[error("deployment {by} has no higher priority than {id}: it may not take its room")]
    NoPriority {
        /// Who would lose it.
        id: DeploymentId,
        /// Who would get it.
        by: DeploymentId,
    },
    /// The replica was given away since.
    #[error("replica {ordinal} of {id} has another epoch by now")]
    Stale {
        /// Which.
        id: DeploymentId,
        /// Which replica.
        ordinal: u32,
    },
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::Unknown(_) | Reject::NoModel(_) | Reject::NoNode(_) => RejectClass::NotFound,
            Reject::NameTaken { .. }
            | Reject::Stale { .. }
            | Reject::OverQuota { .. }
            | Reject::NoPriority { .. } => RejectClass::Conflict,
            Reject::BadSpec { .. } => RejectClass::Invalid,
        }
    }
}
