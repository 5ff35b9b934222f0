//! What operators set for the whole cluster: how much may move at once, and tenants' quotas.

use std::ops::Bound;

use axum::Json;
use axum::extract::{Path, State};
use domain::setting::{Command, Moves, Quota, Usage, quotas, usages};
use domain::{Command as Change, View};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use super::page::Page;
use crate::extract::{App, Fresh, MayAdmin, MayRead, Shaped};
use crate::problem::Problem;

/// How much may move at once; what is not given stays.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MovesRequest {
    planned_max: Option<u32>,
    urgent_max: Option<u32>,
}

/// What a tenant may ask for; what is not given has no limit.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotaRequest {
    replicas: Option<u64>,
    gpus: Option<u64>,
    #[serde(rename = "memoryMib")]
    memory_mib: Option<u64>,
}

fn moves(view: &View) -> Json<Value> {
    let Moves { planned_max, urgent_max } = view.state.moves();
    Json(json!({ "planned_max": planned_max, "urgent_max": urgent_max }))
}

pub(crate) async fn show_moves(_: MayRead, Fresh(view): Fresh) -> Json<Value> {
    moves(&view)
}

pub(crate) async fn set_moves(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Shaped(ask): Shaped<MovesRequest>,
) -> Answer {
    let now = app.deps.view.load().state.moves();
    let moves_now = Moves {
        planned_max: ask.planned_max.unwrap_or(now.planned_max),
        urgent_max: ask.urgent_max.unwrap_or(now.urgent_max),
    };
    changes.commit(&app, Change::Setting(Command::SetMoves(moves_now))).await?;
    Ok(moves(&app.deps.view.load()))
}

fn quota(tenant: &str, quota: Option<Quota>, used: Usage) -> Value {
    let limits = quota.map(|q| json!({ "replicas": q.replicas, "gpus": q.gpus, "memoryMib": q.memory_mib }));
    let used = json!({ "replicas": used.replicas, "gpus": used.gpus, "memoryMib": used.memory_mib });
    json!({ "tenant": tenant, "quota": limits, "used": used })
}

fn quota_of(view: &View, tenant: &str) -> Json<Value> {
    let used = usages(&view.state).get(tenant).copied().unwrap_or_default();
    Json(quota(tenant, view.state.quota(tenant), used))
}

pub(crate) async fn list_quotas(_: MayRead, Fresh(view): Fresh, page: Page) -> Answer {
    let mut used = usages(&view.state);
    for (tenant, _) in quotas(&view.state) {
        used.entry(tenant).or_default();
    }
    let begin = page.begin::<String>()?;
    let rows = used.range::<str, _>((begin.as_ref().map(String::as_str), Bound::Unbounded));
    let (rows, next) = page.cut(rows.map(|(tenant, used)| (tenant, (*tenant, *used))));
    let rows: Vec<Value> =
        rows.into_iter().map(|(tenant, used)| quota(tenant, view.state.quota(tenant), used)).collect();
    Ok(Json(json!({ "quotas": rows, "next": next })))
}

pub(crate) async fn set_quota(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(tenant): Path<String>,
    Shaped(ask): Shaped<QuotaRequest>,
) -> Answer {
    let QuotaRequest { replicas, gpus, memory_mib } = ask;
    if replicas.is_none() && gpus.is_none() && memory_mib.is_none() {
        let message = "a quota limits something: give `replicas`, `gpus` or `memoryMib`, or remove it";
        return Err(Problem::bad_param("replicas", message));
    }
    let quota = Quota { replicas, gpus, memory_mib };
    changes.commit(&app, Change::Setting(Command::SetQuota { tenant: tenant.clone(), quota })).await?;
    Ok(quota_of(&app.deps.view.load(), &tenant))
}

pub(crate) async fn remove_quota(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(tenant): Path<String>,
) -> Answer {
    changes.commit(&app, Change::Setting(Command::RemoveQuota(tenant.clone()))).await?;
    Ok(Json(json!({ "deleted": tenant })))
}
