//! Deployments: what is wanted, where each replica is, why one is not placed, and what can be asked of it.

use std::collections::BTreeMap;

use actors::ask;
use axum::Json;
use axum::extract::{Path, RawQuery, State};
use domain::decide::placement::Held;
use domain::decide::{placement, routing};
use domain::deployment::{AntiAffinity, Command, Deployment, Desired, Phase, Policy, Replica};
use domain::{Command as Change, DeploymentId, NodeId, View};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use super::explain::in_words;
use super::page::Page;
use crate::changes::Changes;
use crate::extract::{App, Fresh, MayDeploy, MayRead, Shaped, query};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// Log lines given where no number is asked for.
pub(crate) const LOG_TAIL: u64 = 200;

/// How many replicas there should be.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ScaleRequest {
    replicas: u32,
}

/// A policy; what is not given stays as it is.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PolicyRequest {
    priority: Option<i32>,
    #[serde(rename = "antiAffinity")]
    anti_affinity: Option<AntiAffinity>,
    nodes: Option<Vec<String>>,
    zones: Option<Vec<String>>,
}

/// A deployment by id or by name.
pub(super) fn find<'a>(view: &'a View, text: &str) -> Result<&'a Deployment, Problem> {
    let by_id =
        text.parse::<DeploymentId>().ok().and_then(|id| view.state.deployments.get(&id)).map(|row| &**row);
    by_id.or_else(|| view.state.deployment_named(text)).ok_or_else(|| {
        Problem::not_found(format!("there is no deployment `{text}`: list them with GET /api/deployments"))
    })
}

/// Why a replica that was ready is not.
const STOPPED: &str = "its node was stopped, or has started again a moment ago";

/// One word for how it is.
fn status(view: &View, deployment: &Deployment) -> &'static str {
    let (ready, wanted) = (routing::ready(view, deployment), deployment.wanted() as usize);
    match deployment.desired {
        Desired::Stopped if deployment.replicas.is_empty() => "stopped",
        Desired::Stopped => "stopping",
        Desired::Running if ready >= wanted => "ready",
        Desired::Running if ready > 0 => "degraded",
        Desired::Running if deployment.replicas.iter().any(|r| matches!(r.phase, Phase::Failed { .. })) => {
            "failing"
        }
        Desired::Running if deployment.replicas.is_empty() => "pending",
        Desired::Running => "starting",
    }
}

fn replica(view: &View, replica: &Replica) -> Value {
    let (phase, attempt, reason) = match &replica.phase {
        Phase::Assigned => ("assigned", None, None),
        Phase::Starting => ("starting", None, None),
        Phase::Ready if !routing::is_ready(view, replica) => ("stopped", None, Some(STOPPED)),
        Phase::Ready => ("ready", None, None),
        Phase::Restarting { attempt, reason } => ("restarting", Some(*attempt), Some(reason.as_str())),
        Phase::Failed { reason } => ("failed", None, Some(reason.as_str())),
    };
    let name = |id: NodeId| view.state.nodes.get(&id).map(|node| &node.name);
    json!({
        "ordinal": replica.ordinal,
        "node": replica.node.to_string(),
        "node_name": name(replica.node),
        "epoch": replica.epoch,
        "gpus": replica.gpus,
        "phase": phase,
        "attempt": attempt,
        "reason": reason,
        "since": rfc3339(replica.since),
        "moves_to": replica.successor.as_ref().map(|next| {
            json!({ "node": next.node.to_string(), "node_name": name(next.node), "epoch": next.epoch })
        }),
    })
}

/// A policy as it is shown.
pub(super) fn policy(policy: &Policy) -> Value {
    let Policy { tenant, priority, anti_affinity, nodes, zones } = policy;
    json!({
        "tenant": tenant,
        "priority": priority,
        "antiAffinity": anti_affinity,
        "nodes": nodes,
        "zones": zones,
    })
}

/// Shows a deployment, with what of it is kept waiting.
fn shape(view: &View, deployment: &Deployment, held: &Held) -> Value {
    let replicas: Vec<Value> = deployment.replicas.iter().map(|r| replica(view, r)).collect();
    let told = |held: &[placement::Told]| -> Vec<Value> {
        let told = held.iter();
        told.map(|(_, ordinal, why)| json!({ "ordinal": ordinal, "reason": in_words(view, why) })).collect()
    };
    let refusals: Vec<Value> = deployment
        .refusals
        .iter()
        .map(|(node, r)| {
            json!({ "by": node.to_string(), "reason": r.reason, "count": r.count, "at": rfc3339(r.at) })
        })
        .collect();
    let spec = &deployment.spec;
    json!({
        "id": deployment.id.to_string(),
        "name": spec.name,
        "model": spec.model,
        "engine": spec.engine,
        "status": status(view, deployment),
        "desired": if deployment.desired == Desired::Running { "running" } else { "stopped" },
        "wanted": deployment.wanted(),
        "ready": routing::ready(view, deployment),
        "resources": {
            "cpu": spec.resources.cpus,
            "gpu": spec.resources.gpus,
            "memoryMib": spec.resources.memory_mib,
            "gpuMemoryMib": spec.resources.gpu_memory_mib,
        },
        "env": spec.env,
        "args": spec.args,
        "policy": policy(&spec.policy),
        "replicas": replicas,
        "unplaced": told(&held.unplaced),
        "waiting": told(&held.waiting),
        "refusals": refusals,
        "created_at": rfc3339(deployment.created_at),
    })
}

/// What of some deployments is kept waiting. It is found for all at once, because placement is decided as a whole.
fn held_of(app: &App, view: &View, deployments: &[&Deployment]) -> Held {
    placement::held_of(&placement::Problem::of(view, app.deps.clock.now()), deployments)
}

/// What is kept waiting, by deployment.
fn by_deployment(Held { unplaced, waiting }: Held) -> BTreeMap<DeploymentId, Held> {
    let mut by_id: BTreeMap<DeploymentId, Held> = BTreeMap::new();
    for told in unplaced {
        by_id.entry(told.0).or_default().unplaced.push(told);
    }
    for told in waiting {
        by_id.entry(told.0).or_default().waiting.push(told);
    }
    by_id
}

pub(crate) async fn list(State(app): State<App>, _: MayRead, Fresh(view): Fresh, page: Page) -> Answer {
    let (rows, next) = page.of(&view.state.deployments)?;
    let rows: Vec<&Deployment> = rows.into_iter().map(|row| &**row).collect();
    let (held, none) = (by_deployment(held_of(&app, &view, &rows)), Held::default());
    let shown: Vec<Value> =
        rows.into_iter().map(|d| shape(&view, d, held.get(&d.id).unwrap_or(&none))).collect();
    Ok(Json(json!({ "deployments": shown, "next": next })))
}

pub(crate) async fn get(
    State(app): State<App>,
    _: MayRead,
    Fresh(view): Fresh,
    Path(id): Path<String>,
) -> Answer {
    let deployment = find(&view, &id)?;
    Ok(Json(shape(&view, deployment, &held_of(&app, &view, &[deployment]))))
}

/// Changes a deployment and shows it as it is then.
async fn change(
    app: &App,
    changes: &Changes,
    text: &str,
    command: impl FnOnce(DeploymentId) -> Command,
) -> Answer {
    // In the request's own words: a repetition knows nothing else, and answers the same.
    let gone = || Ok(Json(json!({ "deleted": text })));
    let id = match find(&app.deps.view.load(), text) {
        Ok(row) => row.id,
        // A repetition does not find it if it was deleted since, or by itself the first time.
        Err(missing) => return changes.first(app, "deployment").unwrap_or(Err(missing)).and_then(|_| gone()),
    };
    changes.commit(app, Change::Deployment(command(id))).await?;
    let view = app.deps.view.load();
    match view.state.deployments.get(&id) {
        Some(row) => Ok(Json(shape(&view, row, &held_of(app, &view, &[row.as_ref()])))),
        None => gone(),
    }
}

pub(crate) async fn remove(
    State(app): State<App>,
    MayDeploy(changes): MayDeploy,
    Path(id): Path<String>,
) -> Answer {
    change(&app, &changes, &id, Command::Delete).await
}

pub(crate) async fn stop(
    State(app): State<App>,
    MayDeploy(changes): MayDeploy,
    Path(id): Path<String>,
) -> Answer {
    change(&app, &changes, &id, Command::Stop).await
}

pub(crate) async fn start(
    State(app): State<App>,
    MayDeploy(changes): MayDeploy,
    Path(id): Path<String>,
) -> Answer {
    change(&app, &changes, &id, Command::Start).await
}

pub(crate) async fn restart(
    State(app): State<App>,
    MayDeploy(changes): MayDeploy,
    Path(id): Path<String>,
) -> Answer {
    change(&app, &changes, &id, Command::Restart).await
}

pub(crate) async fn scale(
    State(app): State<App>,
    MayDeploy(changes): MayDeploy,
    Path(id): Path<String>,
    Shaped(ask): Shaped<ScaleRequest>,
) -> Answer {
    change(&app, &changes, &id, |id| Command::Scale { id, replicas: ask.replicas }).await
}

pub(crate) async fn set_policy(
    State(app): State<App>,
    MayDeploy(changes): MayDeploy,
    Path(id): Path<String>,
    Shaped(ask): Shaped<PolicyRequest>,
) -> Answer {
    let now = find(&app.deps.view.load(), &id).map(|row| row.spec.policy.clone()).unwrap_or_default();
    let policy = Policy {
        tenant: now.tenant,
        priority: ask.priority.unwrap_or(now.priority),
        anti_affinity: ask.anti_affinity.unwrap_or(now.anti_affinity),
        nodes: ask.nodes.unwrap_or(now.nodes),
        zones: ask.zones.unwrap_or(now.zones),
    };
    change(&app, &changes, &id, |id| Command::SetPolicy { id, policy }).await
}

pub(crate) async fn logs(
    State(app): State<App>,
    _: MayRead,
    Fresh(view): Fresh,
    Path(id): Path<String>,
    RawQuery(raw): RawQuery,
) -> Answer {
    let deployment = find(&view, &id)?;
    let ordinal = u32::try_from(number(raw.as_deref(), "replica", 0)?)
        .map_err(|_| Problem::bad_param("replica", "`replica` is too large"))?;
    let tail = number(raw.as_deref(), "tail", LOG_TAIL)?;
    let replica = deployment.replica(ordinal).ok_or_else(|| {
        Problem::not_found(format!(
            "replica {ordinal} of {} is not placed: it has no logs yet",
            deployment.id
        ))
    })?;
    let what = ask::Logs { id: deployment.id, ordinal, tail };
    let lines = ask::logs(&*app.deps.peers, replica.node, &what).await?;
    Ok(Json(json!({ "node": replica.node.to_string(), "ordinal": ordinal, "lines": lines })))
}

pub(super) fn number(raw: Option<&str>, name: &str, default: u64) -> Result<u64, Problem> {
    query(raw, name).map_or(Ok(default), |text| {
        text.parse().map_err(|_| Problem::bad_param(name, format!("`{name}` must be a number")))
    })
}
