//! The cluster's keys: replacing one, and how far that is.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::api::{Api, escape};
use super::args::{AuthorityCommand, KeyRotation, Named, RewrapArgs, RotateArgs, SecretsCommand};
use super::failure::Failure;
use super::output::{self, Column, plain};
use super::target::Target;
use crate::data_dir::DataDir;
use crate::os::files::OsFiles;
use crate::os::wrapping::{Guarded, Wrapping};

/// How often it is looked how far a rotation is.
const PAUSE: Duration = Duration::from_millis(500);

const ROTATIONS: &[Column] = &[
    ("KIND", &["/kind"]),
    ("STAGE", &["/stage"]),
    ("KEY", &["/key"]),
    ("NEXT", &["/next"]),
    ("OLD", &["/old"]),
    ("LEFT", &["/left"]),
    ("SINCE", &["/since"]),
    ("WAITS_FOR", &["/waits_for"]),
    ("DUE", &["/due"]),
];

/// `llmhub rotations`.
///
/// # Errors
/// What the node said.
pub(crate) async fn list(target: &Target) -> Result<(), Failure> {
    let mut answer = Api::new(target)?.call(Method::GET, "/api/rotations", None).await?;
    if !target.access.json {
        for row in answer["rotations"].as_array_mut().into_iter().flatten() {
            row["waits_for"] = json!(names(&row["waits_for"]));
        }
    }
    super::print_rows(&answer, target.access.json, "rotations", ROTATIONS)
}

/// `llmhub secrets`.
///
/// # Errors
/// What the node said, or is wrong with the wrapping.
pub(crate) async fn secrets(command: SecretsCommand) -> Result<(), Failure> {
    match command {
        SecretsCommand::Rotate(how) => rotate("secrets", &[], &how).await,
        SecretsCommand::Rewrap(args) => rewrap(&args).await,
    }
}

/// `llmhub gossip`.
///
/// # Errors
/// What the node said.
pub(crate) async fn gossip(command: KeyRotation) -> Result<(), Failure> {
    let KeyRotation::Rotate(how) = command;
    rotate("gossip", &[], &how).await
}

async fn rewrap(args: &RewrapArgs) -> Result<(), Failure> {
    let parse = |text: &Option<String>, option: &str| {
        let wrapping = text.as_deref().map(str::parse::<Wrapping>).transpose();
        wrapping.map_err(|hint| Failure::Usage(format!("{option}: {hint}")))
    };
    let (by, former) = (parse(&args.key_wrap, "--key-wrap")?, parse(&args.key_wrap_old, "--key-wrap-old")?);
    let data = DataDir::open_existing(&args.data).map_err(|e| Failure::Failed(e.to_string()))?;
    let line = match &by {
        Some(by) => format!("the node's key is wrapped by {by}: start it with --key-wrap"),
        None => "the node's key is not wrapped any more".to_owned(),
    };
    let told = by.as_ref().map(ToString::to_string);
    let files = Guarded::new(OsFiles::new(data.path()), by);
    files.rewrap(former.as_ref()).await.map_err(Failure::Failed)?;
    super::print_one(&json!({ "key_wrap": told }), args.json, &line)
}

/// `llmhub ca`.
///
/// # Errors
/// What the node said.
pub(crate) async fn authority(command: AuthorityCommand) -> Result<(), Failure> {
    let AuthorityCommand::Rotate { forget, how } = command;
    rotate("ca", &forget, &how).await
}

/// `llmhub node renew`.
///
/// # Errors
/// What the node said.
pub(crate) async fn renew(named: &Named) -> Result<(), Failure> {
    let Named { name, target } = named;
    let path = format!("/api/nodes/{}/renew", escape(name));
    let answer = Api::new(target)?.call(Method::POST, &path, None).await?;
    let line = format!("node {name} gets a new certificate; `llmhub events` tells when it has it");
    super::print_one(&answer, target.access.json, &line)
}

async fn rotate(kind: &str, forget: &[String], how: &RotateArgs) -> Result<(), Failure> {
    let (api, json) = (Api::new(&how.target)?, how.target.access.json);
    let body = json!({ "forget": forget });
    // Only what an authority asks for may be said of it.
    let body = (!forget.is_empty()).then_some(&body);
    let mut row = api.call(Method::POST, &format!("/api/rotations/{kind}"), body).await?;
    let until = Instant::now() + Duration::from_secs(how.timeout);
    while how.wait && row["running"] == true {
        if Instant::now() >= until {
            return Err(Failure::Failed(format!("it is not over yet: {}", told(&row))));
        }
        tokio::time::sleep(PAUSE).await;
        let answer = api.call(Method::GET, "/api/rotations", None).await?;
        let found = output::rows(&answer, "rotations").iter().find(|row| row["kind"] == kind);
        row = found.cloned().unwrap_or(Value::Null);
    }
    super::print_one(&row, json, &told(&row))
}

/// How far a rotation is, in words.
fn told(row: &Value) -> String {
    let what = plain(&row["what"]);
    if row["running"] != true {
        return format!("the {what} in use is {}; the old one is gone", plain(&row["key"]));
    }
    let waits = names(&row["waits_for"]);
    let waits = match (waits.is_empty(), row["waits_for_restore"] == true) {
        (false, _) => format!("; it waits for {}", waits.join(", ")),
        (_, true) => "; it waits for the restore to end".to_owned(),
        _ => String::new(),
    };
    format!(
        "the {what} is being replaced ({}){waits}; `llmhub rotations` shows how far it is",
        plain(&row["stage"])
    )
}

/// Nodes by their names, or ids where they have none.
fn names(nodes: &Value) -> Vec<String> {
    let list = nodes.as_array().map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|node| node["name"].as_str().map_or_else(|| plain(&node["id"]), str::to_owned)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rotation_says_how_far_it_is_and_for_whom_it_waits() {
        let row = json!({
            "what": "gossip key", "running": true, "stage": "spread",
            "waits_for": [{ "id": "n-1", "name": "n1" }, { "id": "n-2", "name": null }],
        });
        assert_eq!(
            told(&row),
            "the gossip key is being replaced (spread); it waits for n1, n-2; `llmhub rotations` shows how far it is"
        );
        let row = json!({ "what": "data key", "running": false, "key": "0a1b" });
        assert_eq!(told(&row), "the data key in use is 0a1b; the old one is gone");
    }
}
