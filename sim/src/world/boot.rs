//! What a host runs: one life of a node, on what the host has. When it ends by itself it says so and goes silent; the
//! driver then takes the host's tasks away, as the end of a process would, and starts the next life, as a service manager
//! would. The first host makes the cluster; the others join it with a token that somebody made.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use actors::engine::Engine;
use runtime::{Config, Env, Node, NodeHandle};

use super::clock::{SimClock, SimEntropy};
use super::network::SimNetwork;
use super::processes::SimProcesses;
use super::{Ended, HTTP_PORT, Host, Place, World, lock};
use crate::Dice;

/// The engine that the world's nodes offer.
pub(crate) const ENGINE: &str = "fake";
/// How often a host looks whether something changed.
const LOOK: Duration = Duration::from_millis(50);
/// A node's CPUs and memory.
const CPUS: u32 = 4;
const MEMORY_MIB: u64 = 16 * 1024;
/// An engine's share of it: a little more than it needs.
pub(crate) const ENGINE_MIB: u64 = 64;
/// Calls under way to one target on a node: few, so that some are turned away where a target is slow.
pub(crate) const IN_FLIGHT_MAX: usize = 32;
/// How long a graceful stop waits for streams, in milliseconds.
const DRAIN_MS: u64 = 3_000;
/// How long a target may take until the first byte, and how long it may be silent, in milliseconds. Shorter than a
/// client's patience, so that a client always gets an answer.
const FIRST_BYTE_MS: u64 = 10_000;
const IDLE_MS: u64 = 8_000;

/// Runs one life of a host's node.
pub(crate) async fn host(world: Arc<World>, host: Arc<Host>) -> turmoil::Result {
    if host.place() == Place::Spare {
        return std::future::pending().await;
    }
    let life = host.next_life();
    tracing::info!(life, "starting");
    let how = live(&world, &host, life).await;
    tracing::info!(reason = %how.why, removed = how.removed, "ended");
    *lock(&host.ended) = Some(how);
    std::future::pending().await
}

/// One life of a node; answers why it ended. A node that cannot go on stops as gracefully as it can, as in production.
async fn live(world: &Arc<World>, host: &Arc<Host>, life: u64) -> Ended {
    let failed = |why: String| Ended { why, removed: false };
    let founder = host.number == 0 && lock(&world.admin_key).is_none();
    let token = if founder { None } else { Some(token(world, host).await) };
    let env = match env(world, host, life).await {
        Ok(env) => env,
        Err(error) => return failed(format!("no network: {error}")),
    };
    let node = match Node::start(config(world, host, token), env).await {
        Ok(node) => Arc::new(node),
        Err(error) => {
            let removed = matches!(error, runtime::Error::Removed(_));
            if matches!(error, runtime::Error::JoinFailed(_) | runtime::Error::Refused(_)) {
                // Whoever started it asks for another token.
                lock(&host.token).take();
            }
            return Ended { why: format!("does not start: {error}"), removed };
        }
    };
    if let Some(key) = node.admin_key() {
        *lock(&world.admin_key) = Some(key.to_owned());
    }
    host.seat(&node);
    let ended = tokio::select! {
        why = node.failed() => Ended { why, removed: node.was_removed() },
        () = asked_to_stop(host) => failed("stopped".to_owned()),
    };
    host.stop.store(true, Ordering::Relaxed);
    stop(node).await;
    host.stop.store(false, Ordering::Relaxed);
    ended
}

/// The token a host's node is started with: the same in all its lives, as where it stands in a unit's file.
async fn token(world: &World, host: &Host) -> String {
    loop {
        let kept = lock(&host.token).clone();
        if let Some(token) = kept.or_else(|| lock(&world.token).clone()) {
            *lock(&host.token) = Some(token.clone());
            return token;
        }
        tokio::time::sleep(LOOK).await;
    }
}

async fn asked_to_stop(host: &Host) {
    while !host.stop.load(Ordering::Relaxed) {
        tokio::time::sleep(LOOK).await;
    }
}

/// The driver borrows a node only between two moments of simulated time, so by now it is ours alone.
async fn stop(node: Arc<NodeHandle>) {
    match Arc::try_unwrap(node) {
        Ok(node) => node.stop().await,
        Err(_) => tracing::error!("the node is still looked at and cannot stop gracefully"),
    }
}

async fn env(world: &Arc<World>, host: &Host, life: u64) -> std::io::Result<Env> {
    let dice = |purpose: &str| Dice::of(world.seed, &format!("{purpose} {} {life}", host.name));
    Ok(Env {
        network: Arc::new(SimNetwork::open(world.clone(), host, dice("datagrams")).await?),
        disk: Arc::new(host.platter.open()),
        files: host.files.clone(),
        clock: Arc::new(SimClock(host.skew_ms.clone())),
        entropy: Arc::new(SimEntropy::new(dice("entropy"))),
        processes: Arc::new(SimProcesses {
            seed: world.seed,
            host: host.number,
            has_all: world.files_everywhere,
            engines: host.engines.clone(),
            dice: Mutex::new(dice("processes")),
        }),
        gpus: Arc::new(host.gpus.clone()),
        data: None,
    })
}

fn config(world: &World, host: &Host, token: Option<String>) -> Config {
    let others = world.members().filter(|other| other.number != host.number);
    let join = if token.is_some() { others.map(|other| other.cluster_addr()).collect() } else { Vec::new() };
    let engines = BTreeMap::from([(ENGINE.to_owned(), engine())]);
    Config {
        name: host.name.clone(),
        zone: host.zone.clone(),
        cluster_addr: host.cluster_addr(),
        http_addr: format!("{}:{HTTP_PORT}", host.name),
        join,
        token,
        mock_provider: true,
        cpus: CPUS,
        memory_mib: MEMORY_MIB,
        version: domain::level::stamp("simulated", domain::command::VERSION),
        snapshot_every: world.snapshot_every,
        drain_ms: DRAIN_MS,
        gateway: gateway::Config {
            first_byte_timeout_ms: FIRST_BYTE_MS,
            answer_timeout_ms: FIRST_BYTE_MS,
            idle_timeout_ms: IDLE_MS,
            ..gateway::Config::default()
        },
        actors: actors::Settings {
            engines,
            drain_ms: DRAIN_MS,
            in_flight_max: IN_FLIGHT_MAX,
            ..actors::Settings::default()
        },
    }
}

/// The world's engine, described as a configuration would.
fn engine() -> Engine {
    let args = ["-m", "{model}", "--host", "{host}", "--port", "{port}", "--key", "{key}"];
    Engine {
        program: "fake-engine".to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
        gpu_args: Vec::new(),
        env: BTreeMap::new(),
        args_allow: Vec::new(),
        health_path: "/health".to_owned(),
        base_path: "/v1".to_owned(),
        ready_timeout_ms: 10_000,
        model_required: true,
        magic: Some("GGUF".to_owned()),
    }
}
