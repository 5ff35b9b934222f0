//! Deployments: a model to be served under a name by some replicas, and where each replica is. The scheduler assigns
//! replicas to nodes, each time under a new epoch; the hosting node reports what became of it. A report or assignment
//! that speaks of an old epoch is refused, so a node that lost its replica can never speak for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Context;
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{DeploymentId, Epoch, Millis, ModelId, NodeId, check_name};
use crate::limits::{ARGS_MAX, ENV_MAX, REPLICAS_MAX, SPEC_BYTES_MAX, cut_reason};
use crate::table::Row;

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
}

/// What one replica needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// CPUs; 0 asks for no share of its own.
    pub cpus: u32,
    /// Main memory in MiB; 0 asks for no share of its own.
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
    /// What is wanted alone, without where it is and who refused it: what a backup keeps.
    pub fn unplaced(&self) -> Arc<Self> {
        let (replicas, refusals) = (Vec::new(), BTreeMap::new());
        Arc::new(Self { replicas, refusals, spec: self.spec.clone(), ..*self })
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
    /// The host says how a replica is.
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
            Reject::NameTaken { .. } | Reject::Stale { .. } => RejectClass::Conflict,
            Reject::BadSpec { .. } => RejectClass::Invalid,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Create(spec) => create(state, spec, ctx),
        Command::Scale { id, replicas } => {
            check_replicas(*replicas)?;
            change(state, *id, ctx, |d, _| d.spec.replicas = *replicas)
        }
        Command::Start(id) => change(state, *id, ctx, |d, _| {
            d.desired = Desired::Running;
            d.refusals.clear();
        }),
        Command::Stop(id) => change(state, *id, ctx, |d, _| d.desired = Desired::Stopped),
        Command::Restart(id) => change(state, *id, ctx, |d, ctx| {
            d.desired = Desired::Running;
            d.generation = ctx.index;
            d.refusals.clear();
        }),
        Command::Delete(id) => {
            let old = state.deployments.get(id).cloned().ok_or(Reject::Unknown(*id))?;
            state.deployments.remove(ctx.out, id);
            state.names.remove(&old.spec.name);
            Ok(Reply::Done)
        }
        Command::Assign { id, ordinal, was, node, gpus } => {
            if !state.nodes.contains(node) {
                return Err(Reject::NoNode(*node).into());
            }
            let mut row = current(state, *id, *ordinal, *was)?;
            row.replicas.retain(|r| r.ordinal != *ordinal);
            row.replicas.push(Replica {
                ordinal: *ordinal,
                node: *node,
                epoch: ctx.index,
                gpus: gpus.clone(),
                phase: Phase::Assigned,
                since: ctx.now,
            });
            row.replicas.sort_by_key(|r| r.ordinal);
            state.deployments.put(ctx.out, *id, row);
            Ok(Reply::Epoch(ctx.index))
        }
        Command::Unassign { id, ordinal, was } => {
            let mut row = current(state, *id, *ordinal, Some(*was))?;
            row.replicas.retain(|r| r.ordinal != *ordinal);
            state.deployments.put(ctx.out, *id, row);
            Ok(Reply::Done)
        }
        Command::Report { id, ordinal, epoch, phase } => report(state, *id, *ordinal, *epoch, phase, ctx),
    }
}

fn create(state: &mut State, spec: &Spec, ctx: &mut Context<'_>) -> Outcome {
    check_spec(spec)?;
    if let Some(id) = state.names.get(&spec.name) {
        return Err(Reject::NameTaken { name: spec.name.clone(), id: *id }.into());
    }
    if !state.models.contains(&spec.model) {
        return Err(Reject::NoModel(spec.model.clone()).into());
    }
    let id = DeploymentId(ctx.index);
    let row = Deployment {
        id,
        spec: spec.clone(),
        desired: Desired::Running,
        generation: ctx.index,
        replicas: Vec::new(),
        refusals: BTreeMap::new(),
        created_at: ctx.now,
    };
    state.deployments.put(ctx.out, id, row);
    state.names.insert(spec.name.clone(), id);
    Ok(Reply::Deployment(id))
}

/// Takes a deployment back in from a backup; it is placed anew.
pub(super) fn restore(
    state: &mut State,
    (key, row): (DeploymentId, Deployment),
    base: u64,
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    let row = (*row.unplaced()).clone();
    if let Some(old) = state.deployments.get(&key) {
        return if *old.unplaced() == row { Ok(()) } else { Err("it was changed here meanwhile".to_owned()) };
    }
    if key != row.id || key.0.max(row.generation) > base {
        return Err("its number is not one of the backup's".to_owned());
    }
    check_spec(&row.spec).map_err(|e| e.to_string())?;
    if let Some(id) = state.names.get(&row.spec.name) {
        return Err(Reject::NameTaken { name: row.spec.name.clone(), id: *id }.to_string());
    }
    if !state.models.contains(&row.spec.model) {
        return Err(Reject::NoModel(row.spec.model.clone()).to_string());
    }
    state.names.insert(row.spec.name.clone(), key);
    state.deployments.put(ctx.out, key, row);
    Ok(())
}

fn report(
    state: &mut State,
    id: DeploymentId,
    ordinal: u32,
    epoch: Epoch,
    phase: &Phase,
    ctx: &mut Context<'_>,
) -> Outcome {
    let mut row = current(state, id, ordinal, Some(epoch))?;
    let mut phase = phase.clone();
    if let Phase::Restarting { reason, .. } | Phase::Failed { reason } = &mut phase {
        *reason = cut_reason(std::mem::take(reason));
    }
    let mut node = None;
    for replica in row.replicas.iter_mut().filter(|r| r.ordinal == ordinal && r.phase != phase) {
        replica.phase = phase.clone();
        replica.since = ctx.now;
        node = Some(replica.node);
    }
    let Some(node) = node else { return Ok(Reply::Done) };
    match phase {
        Phase::Failed { reason } => {
            let refusal =
                row.refusals.entry(node).or_insert(Refusal { reason: String::new(), at: 0, count: 0 });
            *refusal = Refusal { reason, at: ctx.now, count: refusal.count.saturating_add(1) };
        }
        Phase::Ready => {
            row.refusals.remove(&node);
        }
        _ => {}
    }
    state.deployments.put(ctx.out, id, row);
    Ok(Reply::Done)
}

/// A node started again: whatever it refused before may work now, and its replicas are to be started anew.
pub(super) fn node_reborn(state: &mut State, node: NodeId, ctx: &mut Context<'_>) {
    let touched: Vec<_> = state
        .deployments
        .rows()
        .filter(|d| d.refusals.contains_key(&node) || d.replicas.iter().any(|r| r.node == node))
        .cloned()
        .collect();
    for old in touched {
        let mut row = (*old).clone();
        row.refusals.remove(&node);
        for replica in row.replicas.iter_mut().filter(|r| r.node == node) {
            replica.phase = Phase::Assigned;
            replica.since = ctx.now;
        }
        state.deployments.put(ctx.out, row.id, row);
    }
}

fn current(state: &State, id: DeploymentId, ordinal: u32, was: Option<Epoch>) -> Result<Deployment, Reject> {
    let row = state.deployments.get(&id).ok_or(Reject::Unknown(id))?;
    if row.replica(ordinal).map(|r| r.epoch) != was {
        return Err(Reject::Stale { id, ordinal });
    }
    Ok((**row).clone())
}

fn change(
    state: &mut State,
    id: DeploymentId,
    ctx: &mut Context<'_>,
    edit: impl FnOnce(&mut Deployment, &Context<'_>),
) -> Outcome {
    let mut row = state.deployments.get(&id).map(|d| (**d).clone()).ok_or(Reject::Unknown(id))?;
    edit(&mut row, ctx);
    state.deployments.put(ctx.out, id, row);
    Ok(Reply::Done)
}

fn check_replicas(replicas: u32) -> Result<(), Reject> {
    if replicas > REPLICAS_MAX {
        return Err(bad("replicas", format!("ask for 0 to {REPLICAS_MAX}")));
    }
    Ok(())
}

fn check_spec(spec: &Spec) -> Result<(), Reject> {
    check_name(&spec.name).map_err(|hint| bad("name", hint.to_owned()))?;
    check_name(&spec.engine).map_err(|hint| bad("engine", hint.to_owned()))?;
    check_replicas(spec.replicas)?;
    if spec.env.len() > ENV_MAX {
        return Err(bad("env", format!("set at most {ENV_MAX} variables")));
    }
    if let Some(name) = spec.env.keys().find(|k| k.is_empty() || k.contains(['=', '\0'])) {
        return Err(bad("env", format!("`{name}` is not a variable's name")));
    }
    if spec.args.len() > ARGS_MAX {
        return Err(bad("args", format!("pass at most {ARGS_MAX} arguments")));
    }
    let bytes: usize = spec.env.iter().flat_map(|(k, v)| [k, v]).chain(&spec.args).map(String::len).sum();
    if bytes > SPEC_BYTES_MAX {
        let hint =
            format!("they take {bytes} bytes together, {SPEC_BYTES_MAX} at most: put more into a file");
        return Err(bad("env or args", hint));
    }
    if spec.env.values().chain(&spec.args).any(|v| v.contains('\0')) {
        return Err(bad("env or args", "leave out NUL characters".to_owned()));
    }
    Ok(())
}

fn bad(field: &str, hint: String) -> Reject {
    Reject::BadSpec { field: field.to_owned(), hint }
}
