//! Routes: what becomes of calls for a model's name.

use axum::Json;
use axum::extract::{Path, State};
use domain::route::{Caller, Command, Policy, Preferred, Reject, Route, Share, Step, Times};
use domain::{Command as Change, Millis};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use super::page::Page;
use crate::extract::{App, Fresh, MayAdmin, MayRead, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// A route as it is to be: what is left out is as without a route.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteRequest {
    #[serde(default)]
    chain: Vec<StepRequest>,
    #[serde(default)]
    preferred: Vec<PreferredRequest>,
    fallback_answer: Option<String>,
    #[serde(default)]
    times: TimesRequest,
    attempts_max: Option<u32>,
}

/// A step, tried after all before it failed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepRequest {
    targets: Vec<ShareRequest>,
    #[serde(default)]
    policy: Policy,
}

/// A model of a step.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShareRequest {
    model: String,
    /// Absent: 1.
    weight: Option<u32>,
}

/// What comes first for a caller.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PreferredRequest {
    caller: CallerRequest,
    models: Vec<String>,
}

/// Who calls: one of both.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CallerRequest {
    key: Option<String>,
    label: Option<String>,
}

/// How long is waited; what is left out is as the node's configuration says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TimesRequest {
    first_token_ms: Option<Millis>,
    total_ms: Option<Millis>,
}

impl RouteRequest {
    fn row(self, name: String) -> Result<Route, Problem> {
        let TimesRequest { first_token_ms, total_ms } = self.times;
        let preferred = self.preferred.into_iter().enumerate().map(|(place, first)| preferred(place, first));
        Ok(Route {
            name,
            chain: self.chain.into_iter().map(step).collect(),
            preferred: preferred.collect::<Result<_, _>>()?,
            fallback_answer: self.fallback_answer,
            times: Times { first_token_ms, total_ms, ..Times::default() },
            attempts_max: self.attempts_max,
            ..Route::default()
        })
    }
}

fn step(StepRequest { targets, policy }: StepRequest) -> Step {
    let usual = Share::default().weight;
    let share = |ShareRequest { model, weight }| Share { model, weight: weight.unwrap_or(usual) };
    Step { targets: targets.into_iter().map(share).collect(), policy }
}

fn preferred(place: usize, asked: PreferredRequest) -> Result<Preferred, Problem> {
    let field = format!("preferred[{place}].caller");
    let caller = match asked.caller {
        CallerRequest { key: Some(key), label: None } => {
            Caller::Key(key.parse().map_err(|e: domain::ids::ParseError| {
                Problem::bad_param(&format!("{field}.key"), e.to_string())
            })?)
        }
        CallerRequest { key: None, label: Some(label) } => Caller::Label(label),
        _ => return Err(Problem::bad_param(&field, format!("{field}: give one of `key` and `label`"))),
    };
    Ok(Preferred { caller, models: asked.models })
}

/// A route as requests have it, with its name and when it was set.
fn shape(route: &Route) -> Value {
    let step = |Step { targets, policy }: &Step| {
        let share = |Share { model, weight }: &Share| json!({ "model": model, "weight": weight });
        json!({ "targets": targets.iter().map(share).collect::<Vec<_>>(), "policy": policy.as_str() })
    };
    let preferred = |Preferred { caller, models }: &Preferred| {
        let caller = match caller {
            Caller::Key(key) => json!({ "key": key.to_string() }),
            Caller::Label(label) => json!({ "label": label }),
        };
        json!({ "caller": caller, "models": models })
    };
    let Times { first_token_ms, total_ms, .. } = route.times;
    json!({
        "name": route.name,
        "chain": route.chain.iter().map(step).collect::<Vec<_>>(),
        "preferred": route.preferred.iter().map(preferred).collect::<Vec<_>>(),
        "fallback_answer": route.fallback_answer,
        "times": { "first_token_ms": first_token_ms, "total_ms": total_ms },
        "attempts_max": route.attempts_max,
        "set_at": rfc3339(route.set_at),
    })
}

pub(crate) async fn list(_: MayRead, Fresh(view): Fresh, page: Page) -> Answer {
    let (rows, next) = page.of(&view.state.routes)?;
    let routes: Vec<Value> = rows.into_iter().map(|route| shape(route)).collect();
    Ok(Json(json!({ "routes": routes, "next": next })))
}

pub(crate) async fn get(_: MayRead, Fresh(view): Fresh, Path(name): Path<String>) -> Answer {
    match view.state.route(&name) {
        Some(route) => Ok(Json(shape(route))),
        None => Err(Problem::not_found(Reject::Unknown(name).to_string())),
    }
}

pub(crate) async fn set(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(name): Path<String>,
    Shaped(ask): Shaped<RouteRequest>,
) -> Answer {
    let row = ask.row(name.clone())?;
    changes.commit(&app, Change::Route(Command::Put(Box::new(row)))).await?;
    let view = app.deps.view.load();
    Ok(Json(view.state.route(&name).map_or(Value::Null, shape)))
}

pub(crate) async fn remove(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(name): Path<String>,
) -> Answer {
    changes.commit(&app, Change::Route(Command::Remove(name.clone()))).await?;
    Ok(Json(json!({ "deleted": name })))
}
