//! `llmhub node cordon`, `uncordon` and `drain`: keeping work off a node, and emptying it.

use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::api::{Api, escape};
use super::args::{DrainArgs, Named};
use super::deploy::Progress;
use super::failure::Failure;
use super::output::{self, plain};

/// How often progress is asked for.
const PAUSE: Duration = Duration::from_millis(500);

/// Keeps new work off a node.
///
/// # Errors
/// What the node that is asked said.
pub(super) async fn cordon(named: &Named) -> Result<(), Failure> {
    let answer = change(named, "cordon").await?;
    let line = format!("node {} gets nothing new and keeps what it has", named.name);
    super::print_one(&answer, named.target.access.json, &line)
}

/// Lets a node have work again.
///
/// # Errors
/// What the node that is asked said.
pub(super) async fn uncordon(named: &Named) -> Result<(), Failure> {
    let answer = change(named, "uncordon").await?;
    let line = format!("node {} may get work; `llmhub rebalance` brings some back to it", named.name);
    super::print_one(&answer, named.target.access.json, &line)
}

/// Empties a node.
///
/// # Errors
/// What the node that is asked said; with `--wait` also that it took too long, with what it waits for.
pub(super) async fn drain(args: &DrainArgs) -> Result<(), Failure> {
    let Named { name, target } = &args.named;
    let mut answer = change(&args.named, "drain").await?;
    if args.wait {
        answer = wait(&Api::new(target)?, name, Duration::from_secs(args.timeout)).await?;
    }
    let line = match left(&answer) {
        0 => format!("node {name} runs nothing and gets nothing new"),
        count => {
            format!("{count} replicas are to leave node {name}; `llmhub node drain {name} --wait` waits")
        }
    };
    super::print_one(&answer, target.access.json, &line)
}

async fn change(named: &Named, verb: &str) -> Result<Value, Failure> {
    let path = format!("/api/nodes/{}/{verb}", escape(&named.name));
    Api::new(&named.target)?.call(Method::POST, &path, None).await
}

async fn wait(api: &Api, name: &str, limit: Duration) -> Result<Value, Failure> {
    let (deadline, path) = (Instant::now() + limit, format!("/api/nodes/{}", escape(name)));
    let mut progress = Progress::default();
    loop {
        let told = match api.call(Method::GET, &path, None).await {
            Ok(node) if node["drain"].is_null() => {
                progress.end();
                return Err(Failure::Failed(format!(
                    "node {name} is not drained any more: it was uncordoned"
                )));
            }
            Ok(node) if left(&node) == 0 => {
                progress.end();
                return Ok(node);
            }
            Ok(node) => line(&node),
            // The node that is asked, or the leader, may be gone for a moment.
            Err(Failure::Unavailable(reason) | Failure::Unreachable(reason)) => reason,
            Err(failure) => return Err(failure),
        };
        progress.tell(&told);
        if Instant::now() >= deadline {
            progress.end();
            let waited = limit.as_secs();
            return Err(Failure::Unavailable(format!("node {name} is not empty after {waited} s: {told}")));
        }
        sleep(PAUSE).await;
    }
}

fn left(node: &Value) -> u64 {
    node["drain"]["left"].as_u64().unwrap_or(0)
}

fn line(node: &Value) -> String {
    let drain = &node["drain"];
    let waiting = output::rows(drain, "waiting");
    let why = waiting.first().map(|first| {
        let (deployment, ordinal) = (plain(&first["deployment"]), plain(&first["ordinal"]));
        format!("; {} wait (replica {ordinal} of {deployment}: {})", waiting.len(), plain(&first["reason"]))
    });
    format!("{} replicas left, {} under way{}", left(node), plain(&drain["moving"]), why.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_tells_what_is_left_and_what_it_waits_for() {
        let node = json!({ "drain": { "left": 3, "moving": 1, "waiting": [
            { "deployment": "tiny", "ordinal": 2, "reason": "no other node can take it" },
            { "deployment": "tiny", "ordinal": 3, "reason": "no other node can take it" },
        ] } });
        assert_eq!(
            line(&node),
            "3 replicas left, 1 under way; 2 wait (replica 2 of tiny: no other node can take it)"
        );
        assert_eq!(left(&json!({ "drain": null })), 0);
    }
}
