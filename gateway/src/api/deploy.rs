//! `POST /v1/deploy`: a model, by id or by file, becomes a deployment. Answers 202 at once; what becomes of it is told by
//! `/api/deployments`.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use domain::deployment::{AntiAffinity, Command, Policy, Resources, Spec, TENANT_DEFAULT};
use domain::model::{self, Model};
use domain::{Command as Change, ModelId, Reply};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::changes::Changes;
use crate::extract::{App, MayDeploy, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// The engine of GGUF files.
const ENGINE_GGUF: &str = "llama";
/// The engine, and the model, that needs no file.
const MOCK: &str = "mock";
/// The cluster's name that every cluster answers to.
const CLUSTER_DEFAULT: &str = "default";

/// What is to be deployed.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DeployRequest {
    #[serde(rename = "modelId")]
    model_id: String,
    cluster: String,
    #[serde(default)]
    resources: ResourcesRequest,
    #[serde(default)]
    env: BTreeMap<String, String>,
    name: Option<String>,
    replicas: Option<u32>,
    engine: Option<String>,
    #[serde(default)]
    args: Vec<String>,
    tenant: Option<String>,
    #[serde(default)]
    priority: i32,
    #[serde(default, rename = "antiAffinity")]
    anti_affinity: AntiAffinity,
    #[serde(default)]
    nodes: Vec<String>,
    #[serde(default)]
    zones: Vec<String>,
}

/// What each replica needs.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct ResourcesRequest {
    cpu: u32,
    gpu: u32,
    #[serde(rename = "memoryMib")]
    memory_mib: u64,
    #[serde(rename = "gpuMemoryMib")]
    gpu_memory_mib: u64,
}

pub(crate) async fn deploy(
    State(app): State<App>,
    MayDeploy(changes): MayDeploy,
    Shaped(ask): Shaped<DeployRequest>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    if let Some(first) = changes.first(&app, "deployment") {
        return accepted(&app, &first?);
    }
    check_cluster(&app, &ask.cluster)?;
    let model = model_of(&app, &ask.model_id)?;
    let spec = spec(&app, ask, &model)?;
    let model = register(&app, &changes, model).await?;
    let create = Command::create(Spec { model, ..spec });
    let reply = changes.commit(&app, Change::Deployment(create)).await?;
    accepted(&app, &reply)
}

fn accepted(app: &App, reply: &Reply) -> Result<(StatusCode, Json<Value>), Problem> {
    let Reply::Deployment(id) = reply else {
        return Err(Problem::conflict("the change answered something else: list /api/deployments"));
    };
    let row = app.deps.view.load().state.deployments.get(id).cloned();
    let started_at = rfc3339(row.map_or_else(|| app.deps.clock.now(), |d| d.created_at));
    let body = json!({ "deploymentId": id.to_string(), "status": "pending", "startedAt": started_at });
    Ok((StatusCode::ACCEPTED, Json(body)))
}

fn check_cluster(app: &App, name: &str) -> Result<(), Problem> {
    let own = &app.deps.cluster;
    if name == CLUSTER_DEFAULT || name == own {
        return Ok(());
    }
    let message =
        format!("there is no cluster `{name}` here: use `{CLUSTER_DEFAULT}` or this cluster's name, `{own}`");
    Err(Problem::bad_param("cluster", message))
}

/// The model that is meant: registered already, or to be registered (`created_at` 0).
fn model_of(app: &App, id: &str) -> Result<Model, Problem> {
    if let Some(row) = app.deps.view.peek().state.models.get(&ModelId::from(id)) {
        return Ok((**row).clone());
    }
    let new = |id: String, name: String, path: Option<String>| Model {
        id: ModelId(id),
        name,
        description: String::new(),
        path,
        created_at: 0,
    };
    if id == MOCK {
        return Ok(new(MOCK.to_owned(), MOCK.to_owned(), None));
    }
    if !id.starts_with('/') && !id.contains("://") {
        let message = format!(
            "there is no model `{id}`: list them with GET /v1/models, or give an absolute path or a file:// URL"
        );
        return Err(Problem { param: Some("modelId".into()), ..Problem::not_found(message) });
    }
    let path = local_path(id).map_err(|problem| Problem { param: Some("modelId".into()), ..problem })?;
    let stem = path.rsplit('/').next().unwrap_or_default();
    let stem = stem.strip_suffix(".gguf").unwrap_or(stem);
    Ok(new(name_of(stem), stem.to_owned(), Some(path)))
}

/// An absolute path, from a path or a `file://` URL.
pub(crate) fn local_path(text: &str) -> Result<String, Problem> {
    let wrong = |hint: &str| Problem::bad_param("path", format!("`{text}` cannot be a model's file: {hint}"));
    let path = match text.split_once("://") {
        Some(("file", rest)) => {
            let path = rest.strip_prefix("localhost").unwrap_or(rest);
            unescape(path).ok_or_else(|| wrong("its % escapes are not UTF-8"))?
        }
        Some(_) => return Err(wrong("only file:// URLs are understood")),
        None => text.to_owned(),
    };
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(wrong("give the absolute path of a file"));
    }
    if path.split('/').any(|part| part == "..") || path.contains('\0') {
        return Err(wrong("leave out `..`"));
    }
    Ok(path)
}

/// Text without its % escapes, if that is UTF-8.
pub(super) fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte == b'%' {
            let (digits, after) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = after;
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).ok()
}

/// A file's stem as a name that URLs and clients can carry.
fn name_of(stem: &str) -> String {
    let ok = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
    let name: String = stem.chars().map(ok).take(100).collect();
    let name = name.trim_start_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() { "model".to_owned() } else { name.to_owned() }
}

fn spec(app: &App, ask: DeployRequest, model: &Model) -> Result<Spec, Problem> {
    let engine = match (ask.engine, &model.path) {
        (Some(engine), _) => engine,
        (None, None) => MOCK.to_owned(),
        (None, Some(path)) if path.ends_with(".gguf") => ENGINE_GGUF.to_owned(),
        (None, Some(_)) => {
            let message = "only .gguf files have an engine of their own: name one in `engine`";
            return Err(Problem::bad_param("engine", message));
        }
    };
    let offered = app.deps.view.peek().state.nodes.rows().any(|n| n.capacity.engines.contains(&engine));
    if !offered {
        let message =
            format!("no node offers an engine `{engine}`: add it to [engines] in a node's configuration");
        return Err(Problem::bad_param("engine", message));
    }
    Ok(Spec {
        name: ask.name.unwrap_or_else(|| model.id.0.clone()),
        model: model.id.clone(),
        engine,
        replicas: ask.replicas.unwrap_or(1),
        resources: Resources {
            cpus: ask.resources.cpu,
            memory_mib: ask.resources.memory_mib,
            gpus: ask.resources.gpu,
            gpu_memory_mib: ask.resources.gpu_memory_mib,
        },
        env: ask.env,
        args: ask.args,
        policy: Policy {
            tenant: ask.tenant.unwrap_or_else(|| TENANT_DEFAULT.to_owned()),
            priority: ask.priority,
            anti_affinity: ask.anti_affinity,
            nodes: ask.nodes,
            zones: ask.zones,
        },
    })
}

/// Registers a model that is not; a file whose name another one has gets a name with its path's hash.
async fn register(app: &App, changes: &Changes, model: Model) -> Result<ModelId, Problem> {
    if model.created_at != 0 {
        return Ok(model.id);
    }
    let taken =
        |id: &ModelId| app.deps.view.peek().state.models.get(id).is_some_and(|old| old.path != model.path);
    let mut id = model.id.clone();
    if taken(&id) {
        let hash = Sha256::digest(model.path.as_deref().unwrap_or_default());
        id = ModelId(format!("{id}-{}", hex::encode(&hash[..4])));
    }
    let row = Model { id: id.clone(), ..model };
    changes.commit(app, Change::Model(model::Command::Put(row))).await?;
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_given_by_path_or_by_url() {
        assert_eq!(local_path("/m/a.gguf").unwrap(), "/m/a.gguf");
        assert_eq!(local_path("file:///m/a%20b.gguf").unwrap(), "/m/a b.gguf");
        assert_eq!(local_path("file://localhost/m/a").unwrap(), "/m/a");
        for wrong in ["m/a", "/m/", "http://x/a", "file://other/a", "/m/../a", "file:///%ff"] {
            assert!(local_path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_file_name_becomes_a_model_name() {
        assert_eq!(name_of("Qwen 2.5 (7B)"), "Qwen-2.5--7B-");
        assert_eq!(name_of("_ü"), "model");
    }
}
