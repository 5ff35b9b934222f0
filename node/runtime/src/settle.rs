//! Who a node is when it starts: read back, made for a new cluster, or let in by an old one just now. Nothing of the
//! cluster runs yet here.

use domain::node::{Capacity, Gpu, Standing};
use domain::{Incarnation, NodeId, node};

use crate::authority::{self, Authority, Term};
use crate::config::Config;
use crate::env::Env;
use crate::error::Error;
use crate::identity::{self, Certificates, Stored};
use crate::token::JoinToken;
use crate::{gossip_keys, join, seal};

/// The file that counts the node's starts.
const STARTS_FILE: &str = "starts";

/// How a node came to be in its cluster this time.
pub(crate) enum Origin {
    /// It made the cluster.
    Bootstrap { authority: Authority },
    /// It was let in just now.
    Joined { peers: Vec<(NodeId, String)> },
    /// It was here before.
    Returned,
}

/// A node that knows who it is.
pub(crate) struct Settled {
    pub(crate) stored: Stored,
    pub(crate) certificates: Certificates,
    pub(crate) gossip_keys: zeroize::Zeroizing<Vec<u8>>,
    pub(crate) incarnation: Incarnation,
    pub(crate) origin: Origin,
}

/// Reads, makes or asks for the node's identity.
pub(crate) async fn settle(config: &Config, env: &Env) -> Result<Settled, Error> {
    let stored = identity::load(&*env.files).await?;
    let incarnation = next_incarnation(env, stored.is_some()).await?;
    match stored {
        Some(stored) if stored.complete => {
            let certificates = stored.certificates.clone().ok_or(Error::Files {
                file: "node.crt",
                reason: "it is missing; restore it, or wipe the directory to join anew".to_owned(),
            })?;
            if let Some(token) = config.token.as_deref().and_then(|text| JoinToken::parse(text).ok())
                && !certificates.knows(&token.ca_sha256)
            {
                return Err(Error::OtherCluster);
            }
            if stored.name != config.name {
                let (kept, given) = (&stored.name, &config.name);
                tracing::warn!(%kept, %given, "a node keeps the name it joined under");
            }
            let file = identity::gossip_keys(&*env.files).await?;
            let gossip_keys = gossip_keys::from_file(&file, &stored.key)?;
            Ok(Settled { stored, certificates, gossip_keys, incarnation, origin: Origin::Returned })
        }
        Some(_) if config.join.is_empty() => Err(Error::HalfStarted),
        None if config.join.is_empty() => {
            let stored = identity::create(&*env.files, &*env.entropy, &config.name).await?;
            let authority = Authority::create(&seal::draw_key(&*env.entropy))?;
            let request = authority::request(stored.id, &stored.key.certificate_key())?;
            let node = authority.sign(stored.id, &request, &Term::first(env.clock.now()))?;
            let certificates = Certificates::first(node, vec![authority.certificate().to_vec()]);
            let gossip_keys = gossip_keys::draw(&*env.entropy);
            Ok(Settled {
                stored,
                certificates,
                gossip_keys,
                incarnation,
                origin: Origin::Bootstrap { authority },
            })
        }
        unfinished => {
            let token = JoinToken::parse(config.token.as_deref().ok_or(Error::NoToken)?)?;
            let stored = match unfinished {
                Some(stored) => stored,
                None => identity::create(&*env.files, &*env.entropy, &config.name).await?,
            };
            let request = authority::request(stored.id, &stored.key.certificate_key())?;
            let row = own_row(config, env, &stored, incarnation).await;
            let welcome = join::ask(&*env.network, &config.join, &token, &row, request).await?;
            Ok(Settled {
                stored,
                certificates: welcome.certificates,
                gossip_keys: welcome.gossip_keys,
                incarnation,
                origin: Origin::Joined { peers: welcome.peers },
            })
        }
    }
}

/// Counts this start: gossip tells lives apart by it, so it must grow whatever the clock does.
async fn next_incarnation(env: &Env, was_here: bool) -> Result<Incarnation, Error> {
    let bad = |e: std::io::Error| Error::Files { file: STARTS_FILE, reason: e.to_string() };
    let last: u64 = match env.files.read(STARTS_FILE).await.map_err(bad)? {
        None if !was_here => 0,
        text => text.and_then(|t| std::str::from_utf8(&t).ok()?.trim().parse().ok()).ok_or_else(|| {
            let reason = "it should hold the number of this node's starts: restore it, or wipe the directory to join anew";
            Error::Files { file: STARTS_FILE, reason: reason.to_owned() }
        })?,
    };
    env.files.write(STARTS_FILE, (last + 1).to_string().as_bytes()).await.map_err(bad)?;
    Ok(Incarnation(last + 1))
}

pub(crate) async fn own_row(
    config: &Config,
    env: &Env,
    stored: &Stored,
    incarnation: Incarnation,
) -> node::Node {
    node::Node {
        id: stored.id,
        name: config.name.clone(),
        zone: config.zone.clone(),
        cluster_addr: config.cluster_addr.clone(),
        http_addr: config.http_addr.clone(),
        seal_public: stored.key.seal_public(),
        cert_fingerprint: Vec::new(),
        incarnation,
        capacity: capacity(config, env, Vec::new).await,
        standing: Standing::Active,
        since: 0,
        version: config.version.clone(),
        joined_at: 0,
        cordon: None,
    }
}

/// What the node can carry; the GPUs of `known` where they do not answer.
pub(crate) async fn capacity(config: &Config, env: &Env, known: impl FnOnce() -> Vec<Gpu>) -> Capacity {
    Capacity {
        cpus: config.cpus,
        memory_mib: config.memory_mib,
        gpus: env.gpus.list().await.unwrap_or_else(|error| {
            tracing::warn!(%error, "the GPUs do not answer: those known before are told to the cluster");
            known()
        }),
        engines: config.actors.engine_names(),
    }
}
