//! Who would be asked for a call, in which order and why: what routing itself decides by, with what this node knows now.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use domain::decide::limiter::Tokens;
use domain::decide::routing::plan::{self, Ask, LeftOut, Needs, Planned};
use domain::decide::routing::{Target, why};
use domain::{KeyId, View};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use crate::extract::{App, Fresh, MayRead};
use crate::pipeline::Known;
use crate::problem::Problem;

/// A call, as far as it decides where it goes.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    model: String,
    user: Option<String>,
    key: Option<String>,
    label: Option<String>,
    #[serde(default)]
    vision: bool,
    #[serde(default)]
    tools: bool,
    #[serde(default)]
    json_schema: bool,
    /// Read and written together.
    #[serde(default)]
    tokens: u64,
}

pub(crate) async fn explain(
    State(app): State<App>,
    _: MayRead,
    Fresh(view): Fresh,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Answer {
    let Query(asked) = asked.map_err(|e| Problem::bad_request("invalid_value", e.body_text()))?;
    let key = asked.key.as_deref().map(str::parse::<KeyId>).transpose();
    let labels: Vec<String> = asked.label.iter().flat_map(|all| all.split(',')).map(str::to_owned).collect();
    let needs = Needs {
        vision: asked.vision,
        tools: asked.tools,
        json_schema: asked.json_schema,
        context_tokens: asked.tokens,
    };
    let ask = Ask {
        model: &asked.model,
        key: key.map_err(|e| Problem::bad_param("key", e.to_string()))?,
        labels: &labels,
        user: asked.user.as_deref(),
        prefixes: &[],
        needs,
        tokens: Tokens { prompt: asked.tokens, completion: 0 },
    };
    let known = Known { inner: &app, view: &view, now_ms: app.loads.now() };
    let (targets, left_out, reason) = match plan::plan(&view, &ask, &known, app.ids.draw()) {
        Ok(plan) => (plan.targets, plan.left_out, None),
        Err(nothing) => {
            let reason = nothing.to_string();
            (Vec::new(), nothing.left_out, Some(reason))
        }
    };
    Ok(Json(json!({
        "model": asked.model,
        "route": view.state.route(&asked.model).is_some(),
        "targets": targets.iter().map(|target| planned(&view, target)).collect::<Vec<_>>(),
        "left_out": left_out.iter().map(out).collect::<Vec<_>>(),
        "reason": reason,
    })))
}

fn planned(view: &View, planned: &Planned) -> Value {
    let Planned { target, model, why, late } = planned;
    let node_name = match target {
        Target::Replica { node, .. } => view.state.nodes.get(node).map(|node| &node.name),
        Target::Provider(_) => None,
    };
    json!({
        "target": why::label(target, model),
        "node_name": node_name,
        "model": model,
        "why": why.to_string(),
        "late": late.map(|late| late.to_string()),
    })
}

fn out(LeftOut { name, lack }: &LeftOut) -> Value {
    json!({ "name": name, "why": lack.to_string() })
}
