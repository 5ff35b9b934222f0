//! Start order: who the node is (read, bootstrap or join), then consensus, then what stands on it. A node that belongs to
//! a cluster starts without a quorum too: it serves what it knows and tells the cluster about itself once it can.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actors::ports::{Proposer, ViewCell};
use actors::{Ports, Tree};
use consensus::Consensus;
use domain::provider::{self, Provider};
use domain::rotation::Kind;
use domain::{Command, NodeId, ProviderName, View, node, secret};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use wire::door::Door;
use wire::gossip::{Gossip, GossipConfig};
use wire::http_client::HttpClient;
use wire::raft::RaftClient;
use wire::relay::RelayClient;
use wire::streams::Streams;

use crate::authority::{Authority, fingerprint};
use crate::config::Config;
use crate::contacts::Heard;
use crate::env::Env;
use crate::error::Error;
use crate::follow::{self, Followers, GossipCell};
use crate::handle::NodeHandle;
use crate::identity;
use crate::join::Doorman;
use crate::keeper::{self, Badge, Keeper};
use crate::ledger::Ledger;
use crate::register::{Refusal, register};
use crate::settle::{Origin, Settled, own_row, settle};
use crate::token::{self, Mint};
use crate::vault::{Safe, first_secrets};
use crate::{gossip_keys, publish, reset, seal, serve};

/// How long a node that bootstraps waits to lead itself, and one that joins to see itself in the tables.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a node that returns waits to hear what it missed before it serves clients; without a quorum it then serves
/// what it knew.
const CATCH_UP_TIMEOUT: Duration = Duration::from_secs(5);

/// The cluster's name in requests that name one; a name of its own comes with several clusters.
const CLUSTER: &str = "default";

/// What everything else stands on: consensus and what speaks for it.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) view: ViewCell,
    streams: Arc<Streams>,
    raft: Arc<RaftClient>,
    consensus: Consensus,
    pub(crate) ledger: Arc<Ledger>,
    safe: Arc<Safe>,
}

/// How a node came in: what it has to show of it.
struct Entry {
    /// The first admin key's text, after a bootstrap.
    admin_key: Option<String>,
    /// Why the cluster will not have it, once it says so.
    refusal: watch::Receiver<Option<Refusal>>,
}

/// The ways to the other nodes.
struct Ways {
    door: Arc<Door>,
    relay: Arc<RelayClient>,
    gossip: GossipCell,
}

/// Starts a node.
pub(crate) async fn start(config: Config, env: Env) -> Result<NodeHandle, Error> {
    let settled = settle(&config, &env).await?;
    let me = settled.stored.id;
    env.network.assume(keeper::identity(me, &settled.certificates, &settled.stored.key));
    let badge = Badge::new(settled.certificates.clone());
    let stop = CancellationToken::new();
    let (ground, rest) = lay_ground(&config, &env, &settled, &stop).await?;
    let Entry { admin_key, refusal } = enter(&config, &env, &settled, &ground, &stop).await?;
    let ways = connect(&config, &env, &settled, &ground, &stop).await?;
    // Connections belong to whoever made them: what probes use is not what clients' calls use.
    let http = || Arc::new(HttpClient::new(env.network.clone()));
    let tree = grow_tree(&config, &env, &settled, &ground, &ways, http()).await?;
    let gateway = open_gateway(&config, &env, &settled, &ground, &ways, &tree, (http(), &badge));
    let Ground { view, ledger, safe, .. } = &ground;
    let doorman = Doorman::new(me, view.clone(), ledger.clone(), safe.clone(), env.clock.clone());
    keep_keys(&env, &settled, &ground, &ways, badge.clone(), &stop);
    let data = env.data();
    serve::rest(rest, &ways.door, gateway.clone(), doorman, &data, &stop);
    serve::clients(env.network.clone(), gateway.clone(), &data, &stop);
    let resetting = reset::carry_out(env.files.clone(), ground.ledger.clone());
    tokio::spawn(stop.clone().run_until_cancelled_owned(resetting));
    Ok(NodeHandle {
        me,
        incarnation: settled.incarnation,
        shut_out: ground.raft.shut_out(),
        refusal,
        admin_key,
        view: ground.view,
        ledger: ground.ledger,
        consensus: ground.consensus,
        tree,
        gateway,
        gossip: ways.gossip,
        safe: ground.safe,
        badge,
        door: ways.door,
        stop,
        drain_ms: config.drain_ms,
    })
}

/// Consensus, served to its peers from the first moment.
async fn lay_ground(
    config: &Config,
    env: &Env,
    settled: &Settled,
    stop: &CancellationToken,
) -> Result<(Ground, serve::Rest), Error> {
    let me = settled.stored.id;
    let view = ViewCell::new(View { me, ..View::default() });
    let streams = Streams::new(env.network.clone(), not_gone(&view));
    let raft = Arc::new(RaftClient::new(streams.clone()));
    let consensus = start_consensus(config, env, me, &raft, &view).await?;
    if matches!(settled.origin, Origin::Returned) && !consensus.is_initialized().await? {
        consensus.shutdown().await;
        return Err(Error::DatabaseLost(me));
    }
    let (arrivals, _) = wire::dispatch::start(streams.clone(), stop.clone());
    let rest = serve::raft(arrivals, &streams, &consensus, stop);
    let ledger = Ledger::new(consensus.clone(), view.clone(), env.entropy.clone());
    let safe = Safe::new(me, view.clone(), settled.stored.key.seal_secret(), env.entropy.clone());
    Ok((Ground { view, streams, raft, consensus, ledger, safe }, rest))
}

/// Takes the node's place in its cluster.
async fn enter(
    config: &Config,
    env: &Env,
    settled: &Settled,
    ground: &Ground,
    stop: &CancellationToken,
) -> Result<Entry, Error> {
    let me = settled.stored.id;
    let mut entry = Entry { admin_key: None, refusal: watch::channel(None).1 };
    match &settled.origin {
        Origin::Bootstrap { authority } => {
            entry.admin_key = Some(bootstrap(config, env, settled, authority, ground).await?);
        }
        Origin::Joined { .. } => appear(&ground.view, me).await?,
        Origin::Returned => {
            entry.refusal = register(config, env, settled, ground, stop);
            // Its own tables may still say that replicas which were moved meanwhile run here.
            let caught_up = tokio::time::timeout(CATCH_UP_TIMEOUT, ground.ledger.barrier()).await;
            if !matches!(caught_up, Ok(Ok(()))) {
                tracing::warn!(
                    "the cluster has no quorum that answers: serving what this node knew when it stopped"
                );
            }
        }
    }
    if !settled.stored.complete {
        let sealed = gossip_keys::to_file(&settled.gossip_keys, &settled.stored.key, &*env.entropy)?;
        identity::complete(&*env.files, me, &config.name, &settled.certificates, &sealed).await?;
    }
    Ok(entry)
}

/// Opens the doorway, starts gossip, and keeps both and all clients told of who the peers are.
async fn connect(
    config: &Config,
    env: &Env,
    settled: &Settled,
    ground: &Ground,
    stop: &CancellationToken,
) -> Result<Ways, Error> {
    let me = settled.stored.id;
    let door = Door::start(me, ground.streams.clone(), env.entropy.clone(), BTreeMap::new()).await;
    let door = Arc::new(door.map_err(|e| Error::Actors(e.to_string()))?);
    ground.safe.connect(door.clone());
    let sealing = ground.view.peek().state.rotation(Kind::Gossip).and_then(|row| row.current.clone());
    let gossip = Gossip::start(
        GossipConfig {
            node: me,
            incarnation: settled.incarnation,
            addr: config.cluster_addr.clone(),
            seeds: seeds(&settled.origin, &ground.view, me),
        },
        env.network.clone(),
        env.entropy.clone(),
        gossip_keys::ring(&settled.gossip_keys, sealing.as_deref())?,
        publish::liveness(ground.view.clone()),
    );
    let gossip = GossipCell::new(tokio::sync::Mutex::new(Some(gossip)));
    let relay = Arc::new(RelayClient::new(ground.streams.clone()));
    let followers = Followers {
        door: door.clone(),
        raft: ground.raft.clone(),
        relay: relay.clone(),
        streams: ground.streams.clone(),
    };
    let following = follow::run(ground.view.clone(), followers, gossip.clone());
    tokio::spawn(stop.clone().run_until_cancelled_owned(following));
    Ok(Ways { door, relay, gossip })
}

/// Keeps the node's part of the cluster's keys up to date from here on.
fn keep_keys(
    env: &Env,
    settled: &Settled,
    ground: &Ground,
    ways: &Ways,
    badge: Badge,
    stop: &CancellationToken,
) {
    let keeper = Keeper {
        me: settled.stored.id,
        key: settled.stored.key.clone(),
        badge,
        view: ground.view.clone(),
        ledger: ground.ledger.clone(),
        safe: ground.safe.clone(),
        gossip: ways.gossip.clone(),
        files: env.files.clone(),
        clock: env.clock.clone(),
        entropy: env.entropy.clone(),
        network: env.network.clone(),
    };
    tokio::spawn(stop.clone().run_until_cancelled_owned(keeper.run()));
}

/// Starts the actors and opens their services, and the vault's, at the doorway.
async fn grow_tree(
    config: &Config,
    env: &Env,
    settled: &Settled,
    ground: &Ground,
    ways: &Ways,
    http: Arc<HttpClient>,
) -> Result<Tree, Error> {
    let ports = Ports {
        view: ground.view.clone(),
        proposer: ground.ledger.clone(),
        peers: ways.door.clone(),
        electorate: ground.ledger.clone(),
        custodian: ground.safe.clone(),
        vault: ground.safe.clone(),
        http,
        processes: env.processes.clone(),
        gpus: env.gpus.clone(),
        clock: env.clock.clone(),
        entropy: env.entropy.clone(),
    };
    let me = settled.stored.id;
    let settings = config.actors.clone();
    let actors_config = actors::Config { me, incarnation: settled.incarnation, settings };
    let tree = Tree::start(actors_config, ports).await.map_err(|e| Error::Actors(e.to_string()))?;
    for (topic, service) in tree.services().into_iter().chain(ground.safe.services()) {
        ways.door.register(topic, service);
    }
    Ok(tree)
}

fn open_gateway(
    config: &Config,
    env: &Env,
    settled: &Settled,
    ground: &Ground,
    ways: &Ways,
    tree: &Tree,
    (http, badge): (Arc<HttpClient>, &Badge),
) -> gateway::Gateway {
    let deps = gateway::Deps {
        view: ground.view.clone(),
        proposer: ground.ledger.clone(),
        limiter: tree.limiter(),
        directory: tree.directory(),
        http,
        relay: Arc::new(follow::Addressed::new(ways.relay.clone(), ground.view.clone())),
        vault: ground.safe.clone(),
        peers: ways.door.clone(),
        clock: env.clock.clone(),
        entropy: env.entropy.clone(),
        tokens: Arc::new(Mint { badge: badge.clone(), entropy: env.entropy.clone() }),
        contacts: Arc::new(Heard {
            membership: tree.directory().membership().clone(),
            consensus: ground.consensus.clone(),
        }),
        me: settled.stored.id,
        version: config.version.clone(),
        cluster: CLUSTER.to_owned(),
    };
    gateway::Gateway::new(config.gateway.clone(), deps)
}

async fn start_consensus(
    config: &Config,
    env: &Env,
    me: NodeId,
    link: &Arc<RaftClient>,
    view: &ViewCell,
) -> Result<Consensus, Error> {
    let clock = env.clock.clone();
    let mut settings = consensus::Config::new(me, config.cluster_addr.clone(), env.entropy.draw());
    settings.level = settings.level.min(domain::level::of(&config.version));
    if let Some(every) = config.snapshot_every {
        (settings.snapshot_every, settings.keep_log) = (every, every / 2);
    }
    Ok(Consensus::start(
        settings,
        env.disk.clone(),
        link.clone(),
        publish::metadata(view.clone()),
        Arc::new(move || clock.now()),
    )
    .await?)
}

/// Whoever holds a certificate of the cluster is a member until it is known to be gone: a node that was away may not know
/// newer members yet, and must not turn its leader away.
fn not_gone(view: &ViewCell) -> wire::streams::IsMember {
    let view = view.clone();
    Arc::new(move |id| !view.peek().state.gone.contains(&id))
}

/// Makes the cluster: one voter, its row, its sealed secrets, the first key. Returns that key's text.
async fn bootstrap(
    config: &Config,
    env: &Env,
    settled: &Settled,
    authority: &Authority,
    ground: &Ground,
) -> Result<String, Error> {
    let Ground { consensus, ledger, .. } = ground;
    if consensus.is_initialized().await? {
        return Err(Error::HalfStarted);
    }
    consensus.initialize().await?;
    let leads = async {
        while !consensus.is_leader() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(SETTLE_TIMEOUT, leads)
        .await
        .map_err(|_| Error::JoinFailed("this node did not become its own leader".to_owned()))?;
    let row = own_row(config, env, &settled.stored, settled.incarnation).await;
    let row = node::Node { cert_fingerprint: fingerprint(&settled.certificates.node).to_vec(), ..row };
    ledger.propose(Command::Node(node::Command::Join(row))).await?;
    let data_key = seal::draw_key(&*env.entropy);
    let damaged = |e: actors::ports::VaultError| Error::Certificate(e.to_string());
    let wrap = seal::wrap(&data_key, settled.stored.id, &settled.stored.key.seal_public(), &*env.entropy);
    ledger.propose(Command::Secret(secret::Command::Grant(wrap.map_err(damaged)?))).await?;
    for row in first_secrets(&data_key, authority, &settled.gossip_keys, &*env.entropy)? {
        ledger.propose(Command::Secret(secret::Command::Put(row))).await?;
    }
    if config.mock_provider {
        ledger.propose(Command::Provider(provider::Command::Put(mock_provider()))).await?;
    }
    let text = token::draw_api_key(&*env.entropy);
    ledger.propose(reset::admin_key("admin", &token::api_key_hash(&text), &text)).await?;
    Ok(text)
}

fn mock_provider() -> Provider {
    Provider {
        name: ProviderName::from("mock"),
        kind: provider::Kind::Mock,
        models: vec!["mock".to_owned(), "mock-embedding".to_owned()],
        revision: 0,
        created_at: 0,
    }
}

/// Waits until the tables, this node's own row among them, have arrived here.
async fn appear(view: &ViewCell, me: NodeId) -> Result<(), Error> {
    let mut changes = view.watch();
    let seen = async {
        while !view.peek().state.nodes.contains(&me) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(SETTLE_TIMEOUT, seen).await.map_err(|_| {
        Error::JoinFailed("the cluster let this node in but did not send its metadata: is the address given by --advertise reachable from the other nodes?".to_owned())
    })
}

/// Addresses gossip starts from.
fn seeds(origin: &Origin, view: &ViewCell, me: NodeId) -> Vec<String> {
    let view = view.load();
    let known = view.state.nodes.rows().filter(|n| n.id != me).map(|n| n.cluster_addr.clone());
    match origin {
        Origin::Joined { peers } => peers.iter().map(|(_, addr)| addr.clone()).chain(known).collect(),
        _ => known.collect(),
    }
}
