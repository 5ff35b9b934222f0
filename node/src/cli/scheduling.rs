//! What runs where: explaining it, spreading it better, how much may move at once, and tenants' quotas.

use http::Method;
use serde_json::{Map, Value, json};

use super::api::{Api, escape};
use super::args::{MovesArgs, Named, PolicyArgs, PolicyChange, QuotaCommand, RebalanceArgs};
use super::failure::Failure;
use super::output::{self, Column, plain};

const PLAN: &[Column] =
    &[("DEPLOYMENT", &["/deployment"]), ("REPLICA", &["/ordinal"]), ("FROM", &["/from"]), ("TO", &["/to"])];

const QUOTAS: &[Column] = &[
    ("TENANT", &["/tenant"]),
    ("REPLICAS", &["/used/replicas"]),
    ("OF", &["/quota/replicas"]),
    ("GPUS", &["/used/gpus"]),
    ("OF", &["/quota/gpus"]),
    ("MEMORY_MIB", &["/used/memoryMib"]),
    ("OF", &["/quota/memoryMib"]),
];

/// The fields of a policy that the arguments give, as requests have them.
pub(super) fn policy(args: &PolicyArgs) -> Map<String, Value> {
    let mut fields = Map::new();
    if let Some(priority) = args.priority {
        fields.insert("priority".to_owned(), json!(priority));
    }
    if let Some(how) = args.anti_affinity {
        fields.insert("antiAffinity".to_owned(), json!(how.as_str()));
    }
    for (field, pins) in [("nodes", &args.node), ("zones", &args.zone)] {
        if !pins.is_empty() {
            fields.insert(field.to_owned(), json!(pins));
        }
    }
    fields
}

/// `llmhub deployments policy`.
///
/// # Errors
/// What the node said.
pub(super) async fn set_policy(change: &PolicyChange) -> Result<(), Failure> {
    let mut body = policy(&change.policy);
    for (field, any) in [("nodes", change.any_node), ("zones", change.any_zone)] {
        if any {
            body.insert(field.to_owned(), json!([]));
        }
    }
    if body.is_empty() {
        return Err(Failure::Usage("say what is to change: see --help".to_owned()));
    }
    let Named { name, target } = &change.named;
    let path = format!("/api/deployments/{}/policy", escape(name));
    let answer = Api::new(target)?.call(Method::POST, &path, Some(&Value::Object(body))).await?;
    let line = format!("deployment {name} has this policy now: {}", plain(&answer["policy"]));
    super::print_one(&answer, target.access.json, &line)
}

/// `llmhub explain`.
///
/// # Errors
/// What the node said.
pub(crate) async fn explain(named: &Named) -> Result<(), Failure> {
    let path = format!("/api/deployments/{}/explain", escape(&named.name));
    let answer = Api::new(&named.target)?.call(Method::GET, &path, None).await?;
    if named.target.access.json { super::print_json(&answer) } else { super::print(&explanation(&answer)) }
}

fn explanation(answer: &Value) -> String {
    let mut text = format!("{}: {}\n", plain(&answer["deployment"]), plain(&answer["policy"]));
    for replica in output::rows(answer, "replicas") {
        let place = match replica["node_name"].as_str().or(replica["node"].as_str()) {
            Some(node) => format!("is on {node}"),
            None => "has no place".to_owned(),
        };
        text.push_str(&format!(
            "replica {} {place}: {}\n",
            plain(&replica["ordinal"]),
            plain(&replica["reason"])
        ));
        for node in output::rows(replica, "nodes") {
            let name = node["node_name"].as_str().or(node["node"].as_str()).unwrap_or("-");
            text.push_str(&format!("  {name} ({}): {}\n", plain(&node["zone"]), plain(&node["verdict"])));
        }
    }
    let events = output::rows(answer, "events");
    if !events.is_empty() {
        text.push_str("lately:\n");
    }
    for event in events {
        text.push_str(&format!("  {}  {}\n", plain(&event["at"]), plain(&event["text"])));
    }
    text
}

/// `llmhub rebalance`.
///
/// # Errors
/// What the node said.
pub(crate) async fn rebalance(args: &RebalanceArgs) -> Result<(), Failure> {
    let method = match (args.dry_run, args.stop) {
        (true, _) => Method::GET,
        (_, true) => Method::DELETE,
        _ => Method::POST,
    };
    let answer = Api::new(&args.target)?.call(method, "/api/rebalance", None).await?;
    if args.target.access.json {
        return super::print_json(&answer);
    }
    let moves = output::rows(&answer, "moves");
    if args.stop {
        return super::print("nothing is rebalanced any more\n");
    }
    if moves.is_empty() {
        return super::print("no replica can be spread better\n");
    }
    let intent =
        if args.dry_run { "would move" } else { "are to move, a few at once; `llmhub events` tells" };
    super::print(&format!("{}{} replicas {intent}\n", output::table(moves, PLAN), moves.len()))
}

/// `llmhub moves`.
///
/// # Errors
/// What the node said.
pub(crate) async fn moves(args: &MovesArgs) -> Result<(), Failure> {
    let mut body = Map::new();
    for (field, value) in [("planned_max", args.planned_max), ("urgent_max", args.urgent_max)] {
        body.extend(value.map(|value| (field.to_owned(), json!(value))));
    }
    let api = Api::new(&args.target)?;
    let answer = if body.is_empty() {
        api.call(Method::GET, "/api/moves", None).await?
    } else {
        api.call(Method::PUT, "/api/moves", Some(&Value::Object(body))).await?
    };
    if args.target.access.json {
        super::print_json(&answer)
    } else {
        super::print(&output::outline(&answer, 0))
    }
}

/// `llmhub quota`.
///
/// # Errors
/// What the node said.
pub(crate) async fn quota(command: QuotaCommand) -> Result<(), Failure> {
    let path = |tenant: &str| format!("/api/quotas/{}", escape(tenant));
    match command {
        QuotaCommand::Set { tenant, replicas, gpus, memory_mib, target } => {
            let mut body = Map::new();
            for (field, limit) in [("replicas", replicas), ("gpus", gpus), ("memoryMib", memory_mib)] {
                body.extend(limit.map(|limit| (field.to_owned(), json!(limit))));
            }
            let body = Value::Object(body);
            let answer = Api::new(&target)?.call(Method::PUT, &path(&tenant), Some(&body)).await?;
            let (quota, used) = (plain(&answer["quota"]), plain(&answer["used"]));
            let line = format!("the quota of tenant {tenant} is {quota}; it uses {used}");
            super::print_one(&answer, target.access.json, &line)
        }
        QuotaCommand::List(target) => {
            let answer = Api::new(&target)?.list("/api/quotas", "quotas").await?;
            super::print_rows(&answer, target.access.json, "quotas", QUOTAS)
        }
        QuotaCommand::Remove { tenant, target } => {
            let answer = Api::new(&target)?.call(Method::DELETE, &path(&tenant), None).await?;
            super::print_one(&answer, target.access.json, &format!("tenant {tenant} has no quota any more"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_explanation_reads_from_the_top() {
        let text = explanation(&json!({
            "deployment": "tiny",
            "policy": { "priority": 0, "tenant": "default" },
            "replicas": [{
                "ordinal": 0, "node": null, "node_name": null, "reason": "no node can take it: 1 are cordoned",
                "nodes": [{ "node": "n-1", "node_name": "n1", "zone": "az1", "verdict": "it cannot be here: it is cordoned" }],
            }],
            "events": [{ "at": "2026-01-01T00:00:00.000Z", "text": "deployment tiny wants 1 replicas" }],
        }));
        assert_eq!(
            text,
            "tiny: priority=0 tenant=default\n\
             replica 0 has no place: no node can take it: 1 are cordoned\n  \
             n1 (az1): it cannot be here: it is cordoned\n\
             lately:\n  2026-01-01T00:00:00.000Z  deployment tiny wants 1 replicas\n"
        );
    }

    #[test]
    fn a_request_says_of_the_policy_only_what_was_given() {
        assert!(policy(&PolicyArgs::default()).is_empty());
        let args = PolicyArgs { priority: Some(-5), node: vec!["n1".to_owned()], ..PolicyArgs::default() };
        assert_eq!(Value::Object(policy(&args)), json!({ "priority": -5, "nodes": ["n1"] }));
    }
}
