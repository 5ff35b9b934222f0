//! How commands change deployments, and which events tell of it.

use std::collections::BTreeMap;

use super::check::{check_pins, check_policy, check_replicas, check_spec};
use super::{
    Command, Deployment, Desired, Phase, Policy, Preempted, Refusal, Reject, Replica, Spec, Successor,
};
use crate::State;
use crate::command::{Outcome, Reply};
use crate::ids::{DeploymentId, Epoch, NodeId};
use crate::limits::cut_reason;
use crate::node::Standing;
use crate::tables::event::{Kind, Subject, node_name, record};
use crate::tables::{Context, setting};

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        // Its policy is the newer command's to set: whoever cannot read one must not pass one on.
        Command::Create(spec) => create(state, &Spec { policy: Policy::default(), ..spec.clone() }, ctx),
        Command::CreateWith(spec) => create(state, spec, ctx),
        Command::Scale { id, replicas } => scale(state, *id, *replicas, ctx),
        Command::Start(id) => run_again(state, *id, Kind::DeploymentStarted, ctx),
        Command::Restart(id) => run_again(state, *id, Kind::DeploymentRestarted, ctx),
        Command::Stop(id) => {
            let mut row = find(state, *id)?;
            row.desired = Desired::Stopped;
            row.preempted.clear();
            put(state, row, ctx);
            tell(state, *id, Kind::DeploymentStopped, "is to rest", ctx);
            Ok(Reply::Done)
        }
        Command::SetPolicy { id, policy } => {
            check_policy(policy)?;
            check_pins(state, policy)?;
            let mut row = find(state, *id)?;
            let tenant = row.spec.policy.tenant;
            row.spec.policy = Policy { tenant, ..policy.clone() };
            put(state, row, ctx);
            tell(state, *id, Kind::DeploymentChanged, "has another policy", ctx);
            Ok(Reply::Done)
        }
        Command::Delete(id) => {
            let old = find(state, *id)?;
            state.deployments.remove(ctx.out, id);
            state.names.remove(&old.spec.name);
            record(state, ctx, Kind::DeploymentDeleted, Subject::deployment(*id), |_| {
                format!("deployment {} is deleted", old.spec.name)
            });
            Ok(Reply::Done)
        }
        Command::Assign { id, ordinal, was, node, gpus } => {
            assign(state, *id, *ordinal, *was, (*node, gpus), ctx)
        }
        Command::Unassign { id, ordinal, was } => {
            let node = take(state, *id, *ordinal, *was, None, ctx)?;
            record(state, ctx, Kind::ReplicaRemoved, Subject::replica(*id, *ordinal, node), |state| {
                format!("{} is not wanted any more", label(state, *id, *ordinal))
            });
            Ok(Reply::Done)
        }
        Command::Report { id, ordinal, epoch, phase } => report(state, *id, *ordinal, *epoch, phase, ctx),
        Command::Prepare { id, ordinal, was, node, gpus } => {
            prepare(state, *id, *ordinal, *was, (*node, gpus), ctx)
        }
        Command::Promote { id, ordinal, successor } => promote(state, *id, *ordinal, *successor, ctx),
        Command::Abandon { id, ordinal, successor } => abandon(state, *id, *ordinal, *successor, ctx),
        Command::Preempt { id, ordinal, was, by, by_ordinal } => {
            preempt(state, (*id, *ordinal), *was, (*by, *by_ordinal), ctx)
        }
    }
}

fn create(state: &mut State, spec: &Spec, ctx: &mut Context<'_>) -> Outcome {
    check_spec(spec)?;
    check_pins(state, &spec.policy)?;
    if let Some(id) = state.names.get(&spec.name) {
        return Err(Reject::NameTaken { name: spec.name.clone(), id: *id }.into());
    }
    if !state.models.contains(&spec.model) {
        return Err(Reject::NoModel(spec.model.clone()).into());
    }
    setting::check_quota(state, spec, None, spec.replicas)?;
    let id = DeploymentId(ctx.index);
    let row = Deployment {
        id,
        spec: spec.clone(),
        desired: Desired::Running,
        generation: ctx.index,
        replicas: Vec::new(),
        refusals: BTreeMap::new(),
        preempted: BTreeMap::new(),
        created_at: ctx.now,
    };
    put(state, row, ctx);
    state.names.insert(spec.name.clone(), id);
    record(state, ctx, Kind::DeploymentCreated, Subject::deployment(id), |_| {
        format!("deployment {} of model {} wants {} replicas", spec.name, spec.model, spec.replicas)
    });
    Ok(Reply::Deployment(id))
}

fn scale(state: &mut State, id: DeploymentId, replicas: u32, ctx: &mut Context<'_>) -> Outcome {
    check_replicas(replicas)?;
    let mut row = find(state, id)?;
    if row.desired == Desired::Running {
        setting::check_quota(state, &row.spec, Some(&row), replicas)?;
    }
    let was = row.spec.replicas;
    row.spec.replicas = replicas;
    row.preempted.retain(|ordinal, _| *ordinal < replicas);
    put(state, row, ctx);
    tell(state, id, Kind::DeploymentScaled, &format!("wants {replicas} replicas, not {was}"), ctx);
    Ok(Reply::Done)
}

fn run_again(state: &mut State, id: DeploymentId, kind: Kind, ctx: &mut Context<'_>) -> Outcome {
    let mut row = find(state, id)?;
    setting::check_quota(state, &row.spec, Some(&row), row.spec.replicas)?;
    row.desired = Desired::Running;
    row.refusals.clear();
    let what = if kind == Kind::DeploymentRestarted {
        row.generation = ctx.index;
        "starts its engines anew"
    } else {
        "is to run"
    };
    put(state, row, ctx);
    tell(state, id, kind, what, ctx);
    Ok(Reply::Done)
}

fn assign(
    state: &mut State,
    id: DeploymentId,
    ordinal: u32,
    was: Option<Epoch>,
    (node, gpus): (NodeId, &[u32]),
    ctx: &mut Context<'_>,
) -> Outcome {
    if !state.nodes.contains(&node) {
        return Err(Reject::NoNode(node).into());
    }
    let mut row = current(state, id, ordinal, was)?;
    let before = row.replica(ordinal).cloned();
    row.replicas.retain(|r| r.ordinal != ordinal);
    row.replicas.push(Replica {
        ordinal,
        node,
        epoch: ctx.index,
        gpus: gpus.to_vec(),
        phase: Phase::Assigned,
        since: ctx.now,
        successor: None,
    });
    row.replicas.sort_by_key(|r| r.ordinal);
    row.preempted.remove(&ordinal);
    put(state, row, ctx);
    let about = Subject { from: before.as_ref().map(|r| r.node), ..Subject::replica(id, ordinal, node) };
    let kind = if before.is_some() { Kind::ReplicaMoved } else { Kind::ReplicaAssigned };
    record(state, ctx, kind, about, |state| {
        let what = label(state, id, ordinal);
        let to = node_name(state, node);
        match before {
            Some(old) => format!("{what} goes to {to}: {}", why_it_moves(state, &old)),
            None => format!("{what} goes to {to}"),
        }
    });
    Ok(Reply::Epoch(ctx.index))
}

/// Why a replica cannot stay where it was, as the tables tell.
fn why_it_moves(state: &State, old: &Replica) -> String {
    let node = node_name(state, old.node);
    match (state.nodes.get(&old.node).map(|row| row.standing), &old.phase) {
        (None, _) => format!("{node} is gone"),
        (Some(Standing::Lost), _) => format!("{node} is lost"),
        (Some(Standing::Leaving), _) => format!("{node} is leaving"),
        (_, Phase::Failed { reason }) => format!("{node} could not run it: {reason}"),
        _ => format!("it was on {node}"),
    }
}

fn prepare(
    state: &mut State,
    id: DeploymentId,
    ordinal: u32,
    was: Epoch,
    (node, gpus): (NodeId, &[u32]),
    ctx: &mut Context<'_>,
) -> Outcome {
    if !state.nodes.contains(&node) {
        return Err(Reject::NoNode(node).into());
    }
    let mut row = current(state, id, ordinal, Some(was))?;
    let from = match row.replicas.iter_mut().find(|r| r.ordinal == ordinal) {
        Some(replica) if replica.successor.is_none() && replica.node != node => {
            let (epoch, gpus, since) = (ctx.index, gpus.to_vec(), ctx.now);
            replica.successor = Some(Successor { node, epoch, gpus, phase: Phase::Assigned, since });
            replica.node
        }
        _ => return Err(Reject::Stale { id, ordinal }.into()),
    };
    put(state, row, ctx);
    let about = Subject { from: Some(from), ..Subject::replica(id, ordinal, node) };
    record(state, ctx, Kind::ReplicaMoving, about, |state| {
        let why = match state.nodes.get(&from) {
            Some(row) if row.standing == Standing::Leaving => "is leaving",
            Some(row) if row.is_draining() => "is being drained",
            _ if state.rebalance().is_some() => "has more of them than others",
            _ => "is not where its policy wants it",
        };
        let (what, from, to) = (label(state, id, ordinal), node_name(state, from), node_name(state, node));
        format!("{what} starts on {to} and stays on {from} until it answers there: {from} {why}")
    });
    Ok(Reply::Epoch(ctx.index))
}

fn promote(
    state: &mut State,
    id: DeploymentId,
    ordinal: u32,
    successor: Epoch,
    ctx: &mut Context<'_>,
) -> Outcome {
    let mut row = find(state, id)?;
    let (from, to) = succeed(&mut row, ordinal, successor)?;
    let answers = row.replica(ordinal).is_some_and(|replica| replica.phase == Phase::Ready);
    put(state, row, ctx);
    let why = if answers { "it answers there" } else { "it cannot go on where it was" };
    tell_moved(state, id, ordinal, (from, to), why, ctx);
    Ok(Reply::Done)
}

/// Puts a replica's successor in its place; tells the node it was on and the node it is on.
fn succeed(row: &mut Deployment, ordinal: u32, epoch: Epoch) -> Result<(NodeId, NodeId), Reject> {
    let stale = Reject::Stale { id: row.id, ordinal };
    let replica = row.replicas.iter_mut().find(|r| r.ordinal == ordinal).ok_or(stale.clone())?;
    let next = replica.successor.take_if(|next| next.epoch == epoch).ok_or(stale)?;
    let from = replica.node;
    let Successor { node, epoch, gpus, phase, since } = next;
    *replica = Replica { ordinal, node, epoch, gpus, phase, since, successor: None };
    Ok((from, node))
}

fn tell_moved(
    state: &mut State,
    id: DeploymentId,
    ordinal: u32,
    (from, to): (NodeId, NodeId),
    why: &str,
    ctx: &mut Context<'_>,
) {
    let about = Subject { from: Some(from), ..Subject::replica(id, ordinal, to) };
    record(state, ctx, Kind::ReplicaMoved, about, |state| {
        let (what, from, to) = (label(state, id, ordinal), node_name(state, from), node_name(state, to));
        format!("{what} is on {to} now, no longer on {from}: {why}")
    });
}

fn abandon(
    state: &mut State,
    id: DeploymentId,
    ordinal: u32,
    successor: Epoch,
    ctx: &mut Context<'_>,
) -> Outcome {
    let mut row = find(state, id)?;
    let stale = Reject::Stale { id, ordinal };
    let replica = row.replicas.iter_mut().find(|r| r.ordinal == ordinal).ok_or(stale.clone())?;
    let next = replica.successor.take_if(|next| next.epoch == successor).ok_or(stale)?;
    let node = replica.node;
    put(state, row, ctx);
    let about = Subject { from: Some(next.node), ..Subject::replica(id, ordinal, node) };
    record(state, ctx, Kind::ReplicaStays, about, |state| {
        let (what, here, there) =
            (label(state, id, ordinal), node_name(state, node), node_name(state, next.node));
        format!("{what} stays on {here}: it is not to go to {there} any more")
    });
    Ok(Reply::Done)
}

fn preempt(
    state: &mut State,
    (id, ordinal): (DeploymentId, u32),
    was: Epoch,
    (by, by_ordinal): (DeploymentId, u32),
    ctx: &mut Context<'_>,
) -> Outcome {
    let priority = find(state, id)?.spec.policy.priority;
    let theirs = find(state, by)?;
    if theirs.spec.policy.priority <= priority {
        return Err(Reject::NoPriority { id, by }.into());
    }
    let node = take(state, id, ordinal, was, Some(Preempted { by, by_ordinal, at: ctx.now }), ctx)?;
    record(state, ctx, Kind::ReplicaPreempted, Subject::replica(id, ordinal, node), |state| {
        let (what, higher) = (label(state, id, ordinal), theirs.spec.policy.priority);
        format!(
            "{what} (priority {priority}) makes room on {} for {} (priority {higher}); it comes back when there is room",
            node_name(state, node),
            label(state, by, by_ordinal)
        )
    });
    Ok(Reply::Done)
}

/// Takes a replica away, and tells from which node.
fn take(
    state: &mut State,
    id: DeploymentId,
    ordinal: u32,
    was: Epoch,
    why: Option<Preempted>,
    ctx: &mut Context<'_>,
) -> Result<NodeId, Reject> {
    let mut row = current(state, id, ordinal, Some(was))?;
    let node = row.replica(ordinal).map(|r| r.node).ok_or(Reject::Stale { id, ordinal })?;
    row.replicas.retain(|r| r.ordinal != ordinal);
    row.preempted.extend(why.map(|why| (ordinal, why)));
    put(state, row, ctx);
    Ok(node)
}

fn report(
    state: &mut State,
    id: DeploymentId,
    ordinal: u32,
    epoch: Epoch,
    phase: &Phase,
    ctx: &mut Context<'_>,
) -> Outcome {
    let mut row = find(state, id)?;
    let mut phase = phase.clone();
    if let Phase::Restarting { reason, .. } | Phase::Failed { reason } = &mut phase {
        *reason = cut_reason(std::mem::take(reason));
    }
    let Some((node, _, shown)) = row.held(ordinal, epoch) else {
        return Err(Reject::Stale { id, ordinal }.into());
    };
    if *shown == phase {
        return Ok(Reply::Done);
    }
    let moved = show(&mut row, ordinal, epoch, &phase, ctx.now);
    match &phase {
        Phase::Failed { reason } => {
            let refusal =
                row.refusals.entry(node).or_insert(Refusal { reason: String::new(), at: 0, count: 0 });
            let count = refusal.count.saturating_add(1);
            *refusal = Refusal { reason: reason.clone(), at: ctx.now, count };
        }
        Phase::Ready => {
            row.refusals.remove(&node);
        }
        _ => {}
    }
    put(state, row, ctx);
    tell_phase(state, Subject::replica(id, ordinal, node), &phase, ctx);
    if let Some(ends) = moved {
        tell_moved(state, id, ordinal, ends, "it failed where it was", ctx);
    }
    Ok(Reply::Done)
}

/// Writes a phase into a replica or its successor. A successor whose replica failed takes its place; one that failed itself
/// is none any more. Tells from where to where the replica has moved by that.
fn show(
    row: &mut Deployment,
    ordinal: u32,
    epoch: Epoch,
    phase: &Phase,
    now: crate::Millis,
) -> Option<(NodeId, NodeId)> {
    let replica = row.replicas.iter_mut().find(|r| r.ordinal == ordinal)?;
    let failed = matches!(phase, Phase::Failed { .. });
    if replica.epoch == epoch {
        (replica.phase, replica.since) = (phase.clone(), now);
        let next = replica.successor.as_ref().filter(|_| failed)?.epoch;
        return succeed(row, ordinal, next).ok();
    }
    let next = replica.successor.as_mut()?;
    (next.phase, next.since) = (phase.clone(), now);
    if failed {
        replica.successor = None;
    }
    None
}

fn tell_phase(state: &mut State, about: Subject, phase: &Phase, ctx: &mut Context<'_>) {
    let (kind, what) = match phase {
        Phase::Assigned | Phase::Starting => return,
        Phase::Ready => (Kind::ReplicaReady, "answers".to_owned()),
        Phase::Restarting { attempt, reason } => {
            (Kind::ReplicaRestarting, format!("restarts (attempt {attempt}): {reason}"))
        }
        Phase::Failed { reason } => (Kind::ReplicaFailed, format!("could not be run: {reason}")),
    };
    let (Some(id), Some(ordinal), Some(node)) = (about.deployment, about.ordinal, about.node) else { return };
    record(state, ctx, kind, about, |state| {
        format!("{} on {} {what}", label(state, id, ordinal), node_name(state, node))
    });
}

/// A node started again: whatever it refused before may work now, and its replicas are to be started anew.
pub(crate) fn node_reborn(state: &mut State, node: NodeId, ctx: &mut Context<'_>) {
    let is_here = |r: &Replica| r.node == node || r.successor.as_ref().is_some_and(|next| next.node == node);
    let touched: Vec<_> = state
        .deployments
        .rows()
        .filter(|d| d.refusals.contains_key(&node) || d.replicas.iter().any(is_here))
        .cloned()
        .collect();
    for old in touched {
        let mut row = (*old).clone();
        row.refusals.remove(&node);
        for replica in &mut row.replicas {
            if replica.node == node {
                (replica.phase, replica.since) = (Phase::Assigned, ctx.now);
            }
            if let Some(next) = replica.successor.as_mut().filter(|next| next.node == node) {
                (next.phase, next.since) = (Phase::Assigned, ctx.now);
            }
        }
        put(state, row, ctx);
    }
}

fn find(state: &State, id: DeploymentId) -> Result<Deployment, Reject> {
    state.deployments.get(&id).map(|row| (**row).clone()).ok_or(Reject::Unknown(id))
}

fn current(state: &State, id: DeploymentId, ordinal: u32, was: Option<Epoch>) -> Result<Deployment, Reject> {
    let row = find(state, id)?;
    if row.replica(ordinal).map(|r| r.epoch) == was { Ok(row) } else { Err(Reject::Stale { id, ordinal }) }
}

fn put(state: &mut State, row: Deployment, ctx: &mut Context<'_>) {
    state.deployments.put(ctx.out, row.id, row);
}

/// A replica as a sentence names it.
fn label(state: &State, id: DeploymentId, ordinal: u32) -> String {
    let name = state.deployments.get(&id).map_or_else(|| id.to_string(), |row| row.spec.name.clone());
    format!("replica {ordinal} of {name}")
}

fn tell(state: &mut State, id: DeploymentId, kind: Kind, what: &str, ctx: &mut Context<'_>) {
    record(state, ctx, kind, Subject::deployment(id), |state| {
        let name = state.deployments.get(&id).map_or_else(|| id.to_string(), |row| row.spec.name.clone());
        format!("deployment {name} {what}")
    });
}
