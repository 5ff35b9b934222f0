//! Looking at deployments and changing one.

use http::Method;
use serde_json::{Value, json};

use super::api::{Api, escape};
use super::args::{DeploymentCommand, Named};
use super::failure::Failure;
use super::output::{self, Column};
use super::scheduling;
use super::target::Target;

const DEPLOYMENTS: &[Column] = &[
    ("NAME", &["/name"]),
    ("STATUS", &["/status"]),
    ("READY", &["/ready"]),
    ("WANTED", &["/wanted"]),
    ("MODEL", &["/model"]),
    ("ENGINE", &["/engine"]),
    ("NODES", &["/nodes"]),
    ("REASON", &["/why"]),
    ("ID", &["/id"]),
];

/// `llmhub deployments`.
///
/// # Errors
/// What the node said.
pub(crate) async fn run(action: Option<DeploymentCommand>, target: &Target) -> Result<(), Failure> {
    match action {
        None => list(target).await,
        Some(DeploymentCommand::Show(named)) => show(&named).await,
        Some(DeploymentCommand::Stop(named)) => change(&named, "stop", None, "is stopping").await,
        Some(DeploymentCommand::Start(named)) => change(&named, "start", None, "is starting").await,
        Some(DeploymentCommand::Restart(named)) => change(&named, "restart", None, "is restarting").await,
        Some(DeploymentCommand::Scale { named, replicas }) => {
            let body = json!({ "replicas": replicas });
            change(&named, "scale", Some(&body), &format!("is to have {replicas} replicas")).await
        }
        Some(DeploymentCommand::Policy(change)) => scheduling::set_policy(&change).await,
        Some(DeploymentCommand::Delete(named)) => delete(&named).await,
        Some(DeploymentCommand::Logs { named, replica, tail }) => logs(&named, replica, tail).await,
    }
}

async fn list(target: &Target) -> Result<(), Failure> {
    let answer = Api::new(target)?.list("/api/deployments", "deployments").await?;
    if target.access.json {
        return super::print_json(&answer);
    }
    let rows: Vec<Value> = output::rows(&answer, "deployments").iter().map(summary).collect();
    super::print(&output::table(&rows, DEPLOYMENTS))
}

/// A deployment with what a line can tell of its replicas.
fn summary(deployment: &Value) -> Value {
    let replicas = deployment["replicas"].as_array().map(Vec::as_slice).unwrap_or_default();
    let node =
        |replica: &Value| replica["node_name"].as_str().or(replica["node"].as_str()).map(str::to_owned);
    let nodes: Vec<String> = replicas.iter().filter_map(node).collect();
    let mut row = deployment.clone();
    row["nodes"] = json!(nodes.join(","));
    row["why"] = why(deployment).map_or(Value::Null, Value::from);
    row
}

/// Why a deployment is not what it should be, as far as it says.
pub(super) fn why(deployment: &Value) -> Option<&str> {
    ["replicas", "unplaced", "refusals", "waiting"]
        .iter()
        .find_map(|list| deployment[list].as_array()?.iter().find_map(|entry| entry["reason"].as_str()))
}

async fn show(named: &Named) -> Result<(), Failure> {
    let answer = Api::new(&named.target)?.call(Method::GET, &path(named, ""), None).await?;
    if named.target.access.json {
        super::print_json(&answer)
    } else {
        super::print(&output::outline(&answer, 0))
    }
}

async fn change(named: &Named, verb: &str, body: Option<&Value>, told: &str) -> Result<(), Failure> {
    let path = path(named, &format!("/{verb}"));
    let answer = Api::new(&named.target)?.call(Method::POST, &path, body).await?;
    super::print_one(&answer, named.target.access.json, &format!("deployment {} {told}", named.name))
}

async fn delete(named: &Named) -> Result<(), Failure> {
    let answer = Api::new(&named.target)?.call(Method::DELETE, &path(named, ""), None).await?;
    super::print_one(&answer, named.target.access.json, &format!("deployment {} is deleted", named.name))
}

async fn logs(named: &Named, replica: u32, tail: u32) -> Result<(), Failure> {
    let path = path(named, &format!("/logs?replica={replica}&tail={tail}"));
    let answer = Api::new(&named.target)?.call(Method::GET, &path, None).await?;
    if named.target.access.json {
        return super::print_json(&answer);
    }
    let lines = output::rows(&answer, "lines").iter();
    super::print(&lines.map(|line| format!("{}\n", output::plain(line))).collect::<String>())
}

fn path(named: &Named, rest: &str) -> String {
    format!("/api/deployments/{}{rest}", escape(&named.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_where_a_deployment_is_and_what_is_wrong() {
        let row = summary(&json!({
            "name": "tiny",
            "replicas": [
                { "node": "n-1", "node_name": "n1", "phase": "ready", "reason": null },
                { "node": "n-2", "node_name": null, "phase": "failed", "reason": "no file" },
            ],
            "unplaced": [{ "ordinal": 2, "reason": "no node has room" }],
        }));
        assert_eq!((row["nodes"].as_str(), row["why"].as_str()), (Some("n1,n-2"), Some("no file")));
        assert_eq!(why(&json!({ "unplaced": [{ "reason": "no room" }] })), Some("no room"));
        assert_eq!(why(&json!({ "name": "x" })), None);
    }
}
