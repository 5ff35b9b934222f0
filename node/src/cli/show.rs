//! Looking at the cluster and its nodes, and having a node leave.

use std::path::Path;

use http::Method;
use serde_json::json;

use super::api::{Api, escape};
use super::args::NodeAction;
use super::drain;
use super::failure::Failure;
use super::output::{self, Column};
use super::rotations;
use super::target::Target;

const NODES: &[Column] = &[
    ("ID", &["/id"]),
    ("NAME", &["/name"]),
    ("ZONE", &["/zone"]),
    ("HEALTH", &["/health"]),
    ("STANDING", &["/standing"]),
    ("WORK", &["/work"]),
    ("VOTER", &["/voter"]),
    ("LEADER", &["/leader"]),
    ("HTTP", &["/http"]),
    ("REPLICAS", &["/replicas"]),
    ("CPUS", &["/capacity/cpus"]),
    ("VERSION", &["/version"]),
];

/// `llmhub status`.
///
/// # Errors
/// What the node said.
pub(crate) async fn status(target: &Target) -> Result<(), Failure> {
    let answer = Api::new(target)?.call(Method::GET, "/api/status", None).await?;
    if target.access.json { super::print_json(&answer) } else { super::print(&output::outline(&answer, 0)) }
}

/// `llmhub nodes`.
///
/// # Errors
/// What the node said.
pub(crate) async fn nodes(target: &Target) -> Result<(), Failure> {
    let answer = Api::new(target)?.call(Method::GET, "/api/nodes", None).await?;
    super::print_rows(&answer, target.access.json, "nodes", NODES)
}

/// `llmhub export`.
///
/// # Errors
/// What the node said, or that the file cannot be written.
pub(crate) async fn export(file: &Path, target: &Target) -> Result<(), Failure> {
    let answer = Api::new(target)?.call(Method::GET, "/api/view", None).await?;
    if file == Path::new("-") {
        return super::print_json(&answer);
    }
    std::fs::write(file, format!("{answer:#}\n"))
        .map_err(|e| Failure::Failed(format!("{} cannot be written: {e}", file.display())))?;
    let count = |field: &str| answer[field].as_array().map_or(0, Vec::len);
    let (nodes, deployments) = (count("nodes"), count("deployments"));
    let line = format!("{}: a view of {nodes} nodes and {deployments} deployments", file.display());
    let told = json!({ "file": file.display().to_string(), "nodes": nodes, "deployments": deployments });
    super::print_one(&told, target.access.json, &line)
}

/// What `llmhub node` does instead of running one.
///
/// # Errors
/// What the node said.
pub(crate) async fn node(action: NodeAction) -> Result<(), Failure> {
    match action {
        NodeAction::Leave { id, target } => {
            let api = Api::new(&target)?;
            let id = match id {
                Some(id) => id,
                None => own_id(&api).await?,
            };
            let answer = api.call(Method::POST, &format!("/api/nodes/{}/leave", escape(&id)), None).await?;
            let line = format!(
                "node {id} is leaving: its work goes elsewhere, then it is removed and stops; `llmhub nodes` shows it \
                 until then"
            );
            super::print_one(&answer, target.access.json, &line)
        }
        NodeAction::Remove { id, target } => {
            let path = format!("/api/nodes/{}", escape(&id));
            let answer = Api::new(&target)?.call(Method::DELETE, &path, None).await?;
            super::print_one(&answer, target.access.json, &format!("node {id} is removed"))
        }
        NodeAction::Cordon(named) => drain::cordon(&named).await,
        NodeAction::Drain(args) => drain::drain(&args).await,
        NodeAction::Uncordon(named) => drain::uncordon(&named).await,
        NodeAction::Renew(named) => rotations::renew(&named).await,
    }
}

/// The id of the node that is asked.
async fn own_id(api: &Api) -> Result<String, Failure> {
    let health = api.call(Method::GET, "/health", None).await?;
    let id = health["node"].as_str().map(str::to_owned);
    id.ok_or_else(|| {
        Failure::Failed("the node does not say its id: name the one that is to leave".to_owned())
    })
}
