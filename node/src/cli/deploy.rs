//! `llmhub deploy`: deploying a model, and waiting until it answers.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::api::{Api, escape};
use super::args::DeployArgs;
use super::deployments::why;
use super::failure::Failure;
use super::scheduling::policy;

/// How often progress is asked for.
const PROGRESS_PAUSE: Duration = Duration::from_millis(500);

/// Deploys.
///
/// # Errors
/// What the node said; with `--wait` also that it took too long.
pub(crate) async fn run(args: DeployArgs) -> Result<(), Failure> {
    let body = request(&args)?;
    let api = Api::new(&args.target)?;
    let mut answer = api.call(Method::POST, "/v1/deploy", Some(&body)).await?;
    if !args.wait {
        let line = format!("deployment {} is taken on; `llmhub deployments` tells how it goes", args.name);
        return super::print_one(&answer, args.target.access.json, &line);
    }
    let limit = Duration::from_secs(args.timeout);
    let deployment = wait(&api, &args.name, limit).await?;
    answer["status"] = deployment["status"].clone();
    super::print_one(&answer, args.target.access.json, &format!("deployment {} answers", args.name))
}

fn request(args: &DeployArgs) -> Result<Value, Failure> {
    let mut env = BTreeMap::new();
    for pair in &args.env {
        let (name, value) = pair
            .split_once('=')
            .filter(|(name, _)| !name.is_empty())
            .ok_or_else(|| Failure::Usage(format!("--env `{pair}` is no variable: write NAME=VALUE")))?;
        env.insert(name, value);
    }
    let mut body = json!({
        "modelId": model(&args.model)?,
        "cluster": "default",
        "name": args.name,
        "replicas": args.replicas,
        "resources": { "cpu": args.cpus, "gpu": args.gpus, "memoryMib": args.memory_mib },
        "env": env,
    });
    if let Some(engine) = &args.engine {
        body["engine"] = json!(engine);
    }
    if !args.arg.is_empty() {
        body["args"] = json!(args.arg);
    }
    if let Some(tenant) = &args.tenant {
        body["tenant"] = json!(tenant);
    }
    for (field, value) in policy(&args.policy) {
        body[field] = value;
    }
    Ok(body)
}

/// A relative path means a file here; what is neither a path nor a file is the id of a registered model.
fn model(given: &str) -> Result<String, Failure> {
    let relative = given.starts_with("./") || given.starts_with("../") || Path::new(given).is_file();
    if given.contains("://") || given.starts_with('/') || !relative {
        return Ok(given.to_owned());
    }
    let path = std::path::absolute(given).and_then(|path| path.canonicalize());
    let path = path
        .map_err(|e| Failure::Usage(format!("--model {given} cannot be found ({e}): give a file's path")))?;
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::Usage(format!("--model {given} is not UTF-8: rename it")))
}

/// Waits until every replica answers, and tells what changes meanwhile.
async fn wait(api: &Api, name: &str, limit: Duration) -> Result<Value, Failure> {
    let (deadline, path) = (Instant::now() + limit, format!("/api/deployments/{}", escape(name)));
    let mut progress = Progress::default();
    loop {
        let deployment = match api.call(Method::GET, &path, None).await {
            Ok(deployment) => deployment,
            // The node that is asked, or the leader, may be gone for a moment: that is what the cluster is for.
            Err(Failure::Unavailable(reason) | Failure::Unreachable(reason)) if Instant::now() < deadline => {
                progress.tell(&reason);
                sleep(PROGRESS_PAUSE).await;
                continue;
            }
            Err(failure) => return Err(failure),
        };
        let line = line(&deployment);
        if deployment["status"] == "ready" {
            progress.end();
            return Ok(deployment);
        }
        if let Some(reason) = hopeless(&deployment) {
            progress.end();
            return Err(Failure::Failed(format!("deployment {name} cannot run: {reason}")));
        }
        if Instant::now() >= deadline {
            progress.end();
            let waited = limit.as_secs();
            return Err(Failure::Unavailable(format!(
                "deployment {name} does not answer after {waited} s: {line}"
            )));
        }
        progress.tell(&line);
        sleep(PROGRESS_PAUSE).await;
    }
}

/// Why waiting longer makes no sense: every node that could run it has tried and refused.
fn hopeless(deployment: &Value) -> Option<&str> {
    deployment["refusals"].as_array().filter(|refusals| !refusals.is_empty())?;
    deployment["unplaced"][0]["reason"].as_str()
}

fn line(deployment: &Value) -> String {
    let number = |field: &str| deployment[field].as_u64().unwrap_or(0);
    let status = deployment["status"].as_str().unwrap_or("unknown");
    let why = why(deployment).map(|why| format!(" ({why})")).unwrap_or_default();
    format!("{status}, {} of {} replicas answer{why}", number("ready"), number("wanted"))
}

/// One line that changes in place on a terminal, and one line a change elsewhere.
#[derive(Default)]
pub(super) struct Progress {
    last: String,
}

impl Progress {
    pub(super) fn tell(&mut self, line: &str) {
        if line == self.last {
            return;
        }
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[2K{line}");
        } else {
            eprintln!("{line}");
        }
        line.clone_into(&mut self.last);
    }

    pub(super) fn end(&self) {
        if !self.last.is_empty() && std::io::stderr().is_terminal() {
            eprintln!();
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::super::args::{Cli, Command};
    use super::*;

    fn asked(line: &str) -> Result<Value, Failure> {
        let Command::Deploy(args) = Cli::try_parse_from(line.split(' ')).unwrap().command else { panic!() };
        request(&args)
    }

    #[test]
    fn the_request_is_what_the_arguments_say() {
        let body = asked(
            "llmhub deploy --model /m/a.gguf --name a --replicas 2 --gpus 1 --env A=B=C --arg -t --arg 1",
        );
        let expected = json!({
            "modelId": "/m/a.gguf", "cluster": "default", "name": "a", "replicas": 2,
            "resources": { "cpu": 0, "gpu": 1, "memoryMib": 0 }, "env": { "A": "B=C" }, "args": ["-t", "1"],
        });
        assert_eq!(body.unwrap(), expected);
        assert_eq!(asked("llmhub deploy --model m --name a --env A").unwrap_err().code(), 2);
    }

    #[test]
    fn a_relative_path_is_made_absolute_and_an_id_is_left_alone() {
        assert_eq!(model("mock").unwrap(), "mock");
        assert_eq!(model("file:///m/a").unwrap(), "file:///m/a");
        assert!(model("./no-such-file.gguf").is_err());
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(model("./Cargo.toml").unwrap(), here.join("Cargo.toml").to_str().unwrap());
    }

    #[tokio::test]
    async fn waiting_outlasts_a_node_that_is_away_for_a_moment() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let api = Api::open(&format!("http://{addr}"), None).unwrap();
        let served = async {
            // Broken in the middle, then not listening at all, then back.
            drop(listener.accept().await.unwrap());
            drop(listener);
            tokio::time::sleep(PROGRESS_PAUSE * 2).await;
            let listener = TcpListener::bind(addr).await.unwrap();
            let (mut stream, _) = listener.accept().await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await.unwrap();
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 18\r\n\r\n{\"status\":\"ready\"}";
            stream.write_all(answer).await.unwrap();
        };
        let (deployment, ()) = tokio::join!(wait(&api, "a", Duration::from_secs(60)), served);
        assert_eq!(deployment.unwrap()["status"], "ready");
        let nobody = Api::open("http://127.0.0.1:1", None).unwrap();
        assert_eq!(wait(&nobody, "a", Duration::ZERO).await.unwrap_err().code(), 3, "not for ever");
    }

    #[test]
    fn waiting_ends_when_every_node_refused() {
        let mut deployment = json!({ "refusals": [{ "reason": "no file" }], "unplaced": [] });
        assert_eq!(hopeless(&deployment), None);
        deployment["unplaced"] = json!([{ "ordinal": 0, "reason": "no node can take it" }]);
        assert_eq!(hopeless(&deployment), Some("no node can take it"));
        deployment["refusals"] = json!([]);
        assert_eq!(hopeless(&deployment), None, "room may become free");
    }

    #[test]
    fn progress_says_what_is_waited_for() {
        let deployment =
            json!({ "status": "failing", "ready": 1, "wanted": 2, "replicas": [{ "reason": "no file" }] });
        assert_eq!(line(&deployment), "failing, 1 of 2 replicas answer (no file)");
    }
}
