//! What an operator does: hands out join tokens, deploys, has keys replaced, looks whether all is well, and reads everything
//! at the end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use domain::rotation::Kind;
use serde_json::{Value, json};

use super::{Ask, Clients, Reply};

/// The pause between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// How often it is asked that a node goes: one that voted when it died may go only when its lease has run out.
const PARTINGS_MAX: u32 = 60;
/// How often it is asked that a key is replaced.
const ROTATIONS_MAX: u32 = 60;
/// The pause between two join tokens while one authority follows another.
const NEXT_TOKEN: Duration = Duration::from_secs(1);
/// How long a join token made here is good, in seconds, and how many nodes it lets in.
const TOKEN_SECONDS: u64 = 24 * 3600;
const TOKEN_USES: u32 = 100;

/// Makes a join token, as soon as one of the nodes that are asked can.
pub async fn make_token(clients: &Clients, next: impl Fn() -> usize) -> String {
    let ask = Ask::post("/api/tokens", json!({ "uses": TOKEN_USES, "ttl_s": TOKEN_SECONDS }));
    loop {
        let reply = clients.ask(next(), &ask).await;
        if let Some(token) = reply.ok().and_then(|body| body["token"].as_str()) {
            return token.to_owned();
        }
        tracing::debug!(?reply, "no join token yet");
        tokio::time::sleep(LOOK).await;
    }
}

/// Deploys a model and does not wait for it.
pub async fn deploy(clients: &Clients, body: &Value) {
    let name = body["name"].as_str().unwrap_or_default();
    insist(clients, &Ask::post("/v1/deploy", body.clone()).once(&format!("deploy {name}"))).await;
}

/// Makes a provider known that offers one model to whoever has this key.
pub async fn add_provider(clients: &Clients, name: &str, url: &str, key: &str, model: &str) {
    let body = json!({ "name": name, "url": url, "api_key": key, "models": [model] });
    insist(clients, &Ask::post("/api/providers", body).once(&format!("provider {name}"))).await;
}

/// Asks one node after the other until one does it.
async fn insist(clients: &Clients, ask: &Ask) {
    loop {
        let reply = clients.ask(clients.any_node(), ask).await;
        if reply.ok().is_some() {
            return;
        }
        tracing::info!(?reply, path = ask.path, "not done yet");
        tokio::time::sleep(LOOK).await;
    }
}

/// How a node goes for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parting {
    /// It is told to leave and does.
    Leave,
    /// It is taken out, wanted or not.
    Remove,
}

/// Lets a node go, as soon as the cluster allows it; says whether the cluster agreed. A node that is gone is let go.
pub async fn part(clients: &Clients, node: &str, how: Parting) -> bool {
    let mut refusals = 0;
    for _ in 0..PARTINGS_MAX {
        let ask = match how {
            Parting::Leave => Ask::post(&format!("/api/nodes/{node}/leave"), json!({})),
            Parting::Remove => Ask::delete(&format!("/api/nodes/{node}")),
        };
        // What was refused is remembered under its key: asked again, it is another request.
        let reply = clients.ask(clients.any_node(), &ask.once(&format!("{how:?} {node} {refusals}"))).await;
        match &reply {
            reply if reply.ok().is_some() => return true,
            Reply::Answer(404, _) => return true,
            Reply::Answer(status, _) if *status < 500 => refusals += 1,
            _ => {}
        }
        tracing::info!(?reply, node, "not let go yet");
        tokio::time::sleep(LOOK).await;
    }
    false
}

/// Asks for a key to be replaced until the cluster agrees; says whether it did. `number` tells one rotation from the next.
pub async fn rotate(clients: &Clients, kind: Kind, number: u32) -> bool {
    let ask = Ask::post(&format!("/api/rotations/{}", kind.as_str()), json!({}));
    let mut refusals = 0;
    for _ in 0..ROTATIONS_MAX {
        let once = format!("rotate {} {number} {refusals}", kind.as_str());
        let reply = clients.ask(clients.any_node(), &ask.clone().once(&once)).await;
        match &reply {
            reply if reply.ok().is_some() => return true,
            Reply::Answer(status, _) if *status < 500 => refusals += 1,
            _ => {}
        }
        tracing::info!(?reply, kind = kind.as_str(), "not asked for yet");
        tokio::time::sleep(LOOK).await;
    }
    false
}

/// While one authority follows another, makes join tokens that name the one that signs.
pub async fn renew_token(clients: &Clients, mut give: impl FnMut(String)) {
    loop {
        let reply = clients.ask(clients.any_node(), &Ask::get("/api/rotations?consistent=true")).await;
        let rows = reply.ok().and_then(|body| body["rotations"].as_array().cloned()).unwrap_or_default();
        let stage = rows.iter().find(|row| row["kind"] == Kind::Authority.as_str()).map(|row| &row["stage"]);
        let signs = stage.is_some_and(|stage| stage == "switched" || stage == "idle");
        if signs {
            give(make_token(clients, || clients.any_node()).await);
        }
        if stage.is_some_and(|stage| stage == "idle") {
            return;
        }
        tokio::time::sleep(NEXT_TOKEN).await;
    }
}

/// What is not well yet with the nodes, keys and deployments, as one node tells; empty when all is.
pub async fn pending(clients: &Clients, node: usize, nodes: usize) -> Vec<String> {
    let rows = match clients.ask(node, &Ask::get("/api/nodes")).await.ok() {
        Some(body) => body["nodes"].as_array().cloned().unwrap_or_default(),
        None => return vec![format!("node {node} does not list the nodes")],
    };
    let mut pending = Vec::new();
    let unwell: Vec<String> = rows.iter().filter(|row| !is_well(row)).map(tell).collect();
    if !unwell.is_empty() || rows.len() != nodes {
        pending.push(format!("node {node} sees {} rows of {nodes}, not well: {unwell:?}", rows.len()));
    }
    pending.extend(unrotated(&clients.ask(node, &Ask::get("/api/rotations")).await, node));
    match list(clients, node, "/api/deployments?limit=1000", "deployments").await {
        Some(rows) => pending.extend(rows.iter().filter_map(unready)),
        None => pending.push(format!("node {node} does not list the deployments")),
    }
    pending
}

/// Keys that are being replaced. Programs that cannot do that yet have none.
fn unrotated(reply: &Reply, node: usize) -> Vec<String> {
    let rows = match (reply.ok(), reply) {
        (Some(body), _) => body["rotations"].as_array().cloned().unwrap_or_default(),
        (None, Reply::Answer(404, _)) => Vec::new(),
        (None, _) => return vec![format!("node {node} does not list the keys")],
    };
    let running = rows.iter().filter(|row| row["running"] == true);
    let told = running.map(|row| {
        format!(
            "node {node} sees the {} being replaced: {}, waits for {}",
            row["what"], row["stage"], row["waits_for"]
        )
    });
    told.collect()
}

fn is_well(row: &Value) -> bool {
    row["standing"] == "active" && row["health"] == "alive"
}

fn tell(row: &Value) -> String {
    format!("{} {} {}", row["name"], row["standing"], row["health"])
}

fn unready(row: &Value) -> Option<String> {
    let (ready, wanted) = (row["ready"].as_u64()?, row["wanted"].as_u64()?);
    (ready < wanted).then(|| format!("deployment {} has {ready} of {wanted} replicas ready", row["name"]))
}

/// The node that runs the first ready replica of a deployment, by its name.
pub async fn host_of(clients: &Clients, deployment: &str) -> Option<String> {
    let reply = clients.ask(clients.any_node(), &Ask::get(&format!("/api/deployments/{deployment}"))).await;
    let body = reply.ok()?;
    let replicas = body["replicas"].as_array()?;
    let ready = replicas.iter().find(|replica| replica["phase"] == "ready")?;
    ready["node_name"].as_str().map(str::to_owned)
}

/// The name of the node that leads, as some node knows.
pub async fn leader(clients: &Clients, ask_node: usize) -> Option<String> {
    let reply = clients.ask(ask_node, &Ask::get("/api/nodes")).await;
    let rows = reply.ok()?["nodes"].as_array()?.clone();
    let leader = rows.iter().find(|row| row["leader"] == true)?;
    leader["name"].as_str().map(str::to_owned)
}

/// What the cluster holds in the end, as one node tells in a linearizable read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Held {
    /// How many keys there are of each name.
    pub keys: BTreeMap<String, u32>,
    /// Names of providers, registers among them.
    pub providers: BTreeSet<String>,
}

/// Reads everything through a node; `None` when it does not answer well.
pub async fn read_all(clients: &Clients, node: usize) -> Option<Held> {
    let mut held = Held::default();
    for row in list(clients, node, "/api/keys?consistent=true&limit=1000", "keys").await? {
        *held.keys.entry(row["name"].as_str()?.to_owned()).or_default() += 1;
    }
    let providers = list(clients, node, "/api/providers?consistent=true&limit=1000", "providers").await?;
    held.providers = providers.iter().filter_map(|row| row["name"].as_str().map(str::to_owned)).collect();
    Some(held)
}

/// All rows of a list, page by page; `None` when the node does not answer well.
async fn list(clients: &Clients, node: usize, path: &str, field: &str) -> Option<Vec<Value>> {
    let (mut rows, mut after) = (Vec::new(), String::new());
    loop {
        let reply = clients.ask(node, &Ask::get(&format!("{path}{after}"))).await;
        let Some(body) = reply.ok() else {
            tracing::info!(?reply, node, path, "not to be read yet");
            return None;
        };
        rows.extend_from_slice(body[field].as_array()?);
        match body["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => return Some(rows),
        }
    }
}
