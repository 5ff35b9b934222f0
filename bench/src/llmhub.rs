//! A cluster of LLMHub nodes on loopback, driven over its command line and HTTP like any user would. Used by the suite.
//!
//! All that it assumes about the program's interface is in this file.

use crate::child::{Child, POLL_PAUSE, READY_DEADLINE, find_program, free_ports};
use crate::control;
use crate::load::{Call, Connection};
use crate::nginx::wait_healthy;
use anyhow::{Context, bail, ensure};
use http::Method;
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What to do where it is missing.
pub const MISSING: &str = "llmhub is missing: build it (cargo build --release -p node), name it with --llmhub PATH, or leave \
                           it out with --without llmhub";
/// The model that the mock upstream is registered for.
pub const MODEL: &str = "bench-model";
/// The deployment that is reached through other nodes.
pub const DEPLOYMENT: &str = "bench-replica";
/// What precedes the admin key on a first node's standard output.
const KEY_LINE: &str = "admin key:";

/// One running node.
#[derive(Debug)]
pub struct Node {
    child: Child,
    pub name: String,
    /// Where it answers clients.
    pub http: SocketAddr,
    cluster: SocketAddr,
}

impl Node {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }
}

/// Running nodes, the first of which bootstrapped the cluster.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    folder: PathBuf,
    nodes: Vec<Node>,
    key: String,
}

impl Cluster {
    /// Starts a cluster of one node with its data below `folder`.
    pub async fn start(program: &Path, folder: &Path) -> anyhow::Result<Cluster> {
        let (program, folder) = (program.to_owned(), folder.to_owned());
        let mut node = start_node(&program, &folder, "bench", &[])?;
        let key = admin_key(&mut node).await?;
        wait_healthy(&mut node.child, node.http).await?;
        Ok(Cluster { program, folder, nodes: vec![node], key })
    }

    /// The nodes in the order of their start.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The admin key.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Registers the mock upstream as the provider of [`MODEL`] and waits until a chat with it succeeds.
    pub async fn add_provider(&mut self, upstream: SocketAddr) -> anyhow::Result<()> {
        let url = format!("http://{upstream}/v1");
        let body = json!({ "name": "up", "url": url, "api_key": "k", "models": [MODEL] });
        self.post("/api/providers", &body).await?;
        self.wait_for_chat(MODEL).await
    }

    /// Starts one more node, which joins with a token, and waits until a chat through it succeeds.
    pub async fn join(&mut self) -> anyhow::Result<()> {
        self.grow().await?;
        self.wait_for_chat(MODEL).await
    }

    /// Runs a command of the command line against the first node; an error shows what it said.
    pub fn command(&self, args: &[&str]) -> anyhow::Result<()> {
        let url = format!("http://{}", self.nodes[0].http);
        let mut command = Command::new(&self.program);
        command.args(args).env("LLMHUB_URL", url).env("LLMHUB_KEY", &self.key).stdin(Stdio::null());
        let ran = command.output().with_context(|| format!("start {}", self.program.display()))?;
        let said = String::from_utf8_lossy(&ran.stderr);
        ensure!(ran.status.success(), "llmhub {} failed: {}", args.join(" "), said.trim());
        Ok(())
    }

    /// Waits until so many nodes vote.
    pub async fn wait_for_voters(&self, count: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_DEADLINE;
        loop {
            let status = self.get("/api/status").await?;
            let voters = status["voters"].as_array().map_or(0, Vec::len);
            if voters == count {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{voters} of {count} nodes vote: {status}");
            }
            tokio::time::sleep(POLL_PAUSE).await;
        }
    }

    /// Starts one more node, which joins with a token, and waits until it is healthy.
    pub async fn grow(&mut self) -> anyhow::Result<()> {
        let place = self.begin_to_grow().await?;
        let node = &mut self.nodes[place];
        wait_healthy(&mut node.child, node.http).await
    }

    /// Starts one more node, which joins with a token, without waiting for it; its place in [`Cluster::nodes`].
    pub async fn begin_to_grow(&mut self) -> anyhow::Result<usize> {
        let answer = self.post("/api/tokens", &json!({})).await?;
        let token = answer["token"].as_str().context("POST /api/tokens answered no token")?.to_owned();
        let seed = self.nodes[0].cluster.to_string();
        let name = format!("bench-{}", self.nodes.len() + 1);
        let node = start_node(&self.program, &self.folder, &name, &["--join", &seed, "--token", &token])?;
        self.nodes.push(node);
        Ok(self.nodes.len() - 1)
    }

    /// Stops a node, in order or by force, and waits until it has ended.
    pub fn stop(&mut self, place: usize, kill: bool) -> anyhow::Result<()> {
        self.nodes[place].child.stop(kill)
    }

    /// Starts a node that was stopped, with its data and its addresses, without waiting for it.
    pub fn start_again(&mut self, place: usize) -> anyhow::Result<()> {
        let Node { name, http, cluster, .. } = &self.nodes[place];
        self.nodes[place] = start_node_at(&self.program, &self.folder, name, [*http, *cluster], &[])?;
        Ok(())
    }

    /// The node, or an error with its last words where it ended.
    pub fn alive(&mut self, place: usize) -> anyhow::Result<&Node> {
        let node = &mut self.nodes[place];
        node.child.ensure_alive()?;
        Ok(node)
    }

    /// Where a node keeps its data.
    pub fn folder_of(&self, node: &Node) -> PathBuf {
        self.folder.join(&node.name)
    }

    /// Deploys [`DEPLOYMENT`]: one replica of the mock engine on some node; waits until all nodes reach it.
    pub async fn deploy(&mut self) -> anyhow::Result<()> {
        let body = json!({ "modelId": "mock", "cluster": "default", "name": DEPLOYMENT, "engine": "mock", "replicas": 1 });
        self.post("/v1/deploy", &body).await?;
        self.wait_for_chat(DEPLOYMENT).await
    }

    /// The place in [`Cluster::nodes`] of the node that runs the replica, where the program tells.
    pub async fn replica_host(&self) -> Option<usize> {
        let deployments = self.get("/api/deployments").await.ok()?;
        let nodes = self.get("/api/nodes").await.ok()?;
        let name = host_name(&deployments, &nodes, DEPLOYMENT)?;
        self.nodes.iter().position(|node| node.name == name)
    }

    async fn get(&self, path: &str) -> anyhow::Result<Value> {
        control::request_ok(self.nodes[0].http, Method::GET, path, Some(&self.key), None).await
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Value> {
        control::request_ok(self.nodes[0].http, Method::POST, path, Some(&self.key), Some(body)).await
    }

    /// Waits until each node answers a chat with the model.
    async fn wait_for_chat(&mut self, model: &str) -> anyhow::Result<()> {
        for node in &mut self.nodes {
            let call = Call::plain(node.http, model, Some(&self.key))?;
            let deadline = Instant::now() + READY_DEADLINE;
            loop {
                node.child.ensure_alive()?;
                let outcome = async { Connection::open(node.http).await?.plain(&call).await }.await;
                match outcome {
                    Ok(()) => break,
                    Err(error) if Instant::now() > deadline => {
                        bail!(
                            "no chat with {model} through {}: {error:#}\n{}",
                            node.name,
                            node.child.last_words()
                        )
                    }
                    Err(_) => tokio::time::sleep(POLL_PAUSE).await,
                }
            }
        }
        Ok(())
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // All at once, so that nobody hands work over to a node that is about to go as well.
        self.nodes.iter().for_each(|node| node.child.ask_to_end());
    }
}

/// Finds the program: as given, else beside this one, else on PATH.
pub fn program(given: Option<&Path>) -> anyhow::Result<PathBuf> {
    let found = match given {
        Some(path) => find_program(path),
        None => {
            let own = std::env::current_exe().ok();
            let beside = own.and_then(|own| find_program(&own.with_file_name("llmhub")));
            beside.or_else(|| find_program(Path::new("llmhub")))
        }
    };
    found.context(MISSING)
}

fn start_node(program: &Path, folder: &Path, name: &str, more: &[&str]) -> anyhow::Result<Node> {
    start_node_at(program, folder, name, free_ports::<2>()?, more)
}

fn start_node_at(
    program: &Path,
    folder: &Path,
    name: &str,
    [http, cluster]: [SocketAddr; 2],
    more: &[&str],
) -> anyhow::Result<Node> {
    let data = folder.join(name);
    fs::create_dir_all(&data)?;
    let mut command = Command::new(program);
    command.args(["node", "--name", name, "--data"]).arg(&data);
    command.args(["--http", &http.to_string(), "--cluster", &cluster.to_string()]).args(more);
    let child = Child::start(name, &mut command, &folder.join(format!("{name}.out")))?;
    Ok(Node { child, name: name.to_owned(), http, cluster })
}

/// Gets the admin key of a first node: it is printed once, at bootstrap.
async fn admin_key(node: &mut Node) -> anyhow::Result<String> {
    let deadline = Instant::now() + READY_DEADLINE;
    loop {
        let printed = fs::read(node.child.log())?;
        if let Some(key) = key_in(&String::from_utf8_lossy(&printed)) {
            return Ok(key);
        }
        node.child.ensure_alive()?;
        if Instant::now() > deadline {
            bail!(
                "the first node printed no line '{KEY_LINE} sk-...'; it printed:\n{}",
                node.child.last_words()
            );
        }
        tokio::time::sleep(POLL_PAUSE).await;
    }
}

/// A line that is not yet complete may hold half a key.
fn key_in(printed: &str) -> Option<String> {
    let complete = &printed[..printed.rfind('\n')?];
    let key = complete.lines().find_map(|line| Some(line.split_once(KEY_LINE)?.1.trim()))?;
    (!key.is_empty()).then(|| key.to_owned())
}

/// The name of the node that runs a deployment's first replica, out of the two listings.
fn host_name(deployments: &Value, nodes: &Value, deployment: &str) -> Option<String> {
    let host = find(deployments, &|object| (object.get("name")?.as_str()? == deployment).then_some(object))
        .and_then(|found| {
        find(found, &|o| ["node", "node_id", "nodeId"].iter().find_map(|f| o.get(f)).filter(is_id))
    })?;
    let is_host =
        |object: &Value| ["id", "node_id", "nodeId", "name"].iter().any(|f| object.get(f) == Some(host));
    let node = find(nodes, &|object| is_host(object).then_some(object))?;
    Some(node.get("name")?.as_str()?.to_owned())
}

fn is_id(value: &&Value) -> bool {
    value.is_string() || value.is_number()
}

/// The first object, depth first, of which `pick` makes something.
fn find<'a>(value: &'a Value, pick: &dyn Fn(&'a Value) -> Option<&'a Value>) -> Option<&'a Value> {
    match value {
        Value::Object(fields) => pick(value).or_else(|| fields.values().find_map(|field| find(field, pick))),
        Value::Array(items) => items.iter().find_map(|item| find(item, pick)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_admin_key_is_taken_from_a_complete_line() {
        assert_eq!(key_in("started\nadmin key: sk-abc\n"), Some("sk-abc".to_owned()));
        assert_eq!(key_in("admin key: sk-ab"), None);
        assert_eq!(key_in("admin key: \n"), None);
        assert_eq!(key_in("nothing\n"), None);
    }

    #[test]
    fn the_host_of_a_replica_is_found_by_id_or_by_name() {
        let deployments = json!({ "deployments": [
            { "name": "other", "replicas": [{ "node_id": "n1" }] },
            { "name": "d", "model": "m", "replicas": [{ "state": "ready", "node_id": "n2" }] },
        ] });
        let nodes = json!([{ "id": "n1", "name": "bench" }, { "id": "n2", "name": "bench-2" }]);
        assert_eq!(host_name(&deployments, &nodes, "d"), Some("bench-2".to_owned()));
        let by_name = json!([{ "name": "d", "replicas": [{ "node": "bench" }] }]);
        assert_eq!(host_name(&by_name, &nodes, "d"), Some("bench".to_owned()));
        assert_eq!(host_name(&json!([]), &nodes, "d"), None);
    }
}
