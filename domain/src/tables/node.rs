//! Nodes: who belongs to the cluster, where it is reached, what it can carry. Rows are written when a node joins, at
//! every start of it, and when the leader decides that it is lost; what is alive this second is gossip's to say.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::event::{Kind, Subject, node_name, record};
use super::{Context, level, rotation, token};
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{Incarnation, Millis, NodeId, TokenId, check_name};
use crate::table::Row;

/// A GPU as the scheduler sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gpu {
    /// The device's number on its node.
    pub index: u32,
    /// The vendor's name of it.
    pub name: String,
    /// Its memory in MiB.
    pub memory_mib: u64,
}

/// What a node can carry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Capacity {
    /// Logical CPUs.
    pub cpus: u32,
    /// Main memory in MiB.
    pub memory_mib: u64,
    /// GPUs; a node without any is normal.
    pub gpus: Vec<Gpu>,
    /// Names of the engines its configuration offers.
    pub engines: Vec<String>,
}

/// Whether work may be on a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// Its lease is good as far as the leader knows.
    Active,
    /// Its lease ran out; its work goes elsewhere until it returns.
    Lost,
    /// It is leaving for good: its work goes elsewhere first.
    Leaving,
    /// It was stopped in order and is expected back: nothing is routed to it and nothing new is placed on it, and what it
    /// has waits for it until its lease runs out.
    Stopped,
}

impl Standing {
    /// Whether it takes part, or is expected to do so again in a moment.
    pub fn counts(self) -> bool {
        matches!(self, Standing::Active | Standing::Stopped)
    }
}

/// An operator's word that a node gets nothing new. It is no part of its standing: a cordoned node serves what it has, and
/// stays cordoned over restarts and losses, also when a new node takes the name of a lost one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cordon {
    /// Whether what it has is to go elsewhere.
    pub drain: bool,
    /// Since when.
    pub since: Millis,
}

/// A node of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id, also Raft's.
    pub id: NodeId,
    /// Its name, unique among nodes that are not lost.
    pub name: String,
    /// Its zone.
    pub zone: String,
    /// `host:port` of its cluster port, as others reach it.
    pub cluster_addr: String,
    /// `host:port` of its HTTP port, as clients reach it.
    pub http_addr: String,
    /// Public key (X25519) that secrets are wrapped for.
    #[serde(with = "serde_bytes")]
    pub seal_public: Vec<u8>,
    /// SHA-256 of its certificate.
    #[serde(with = "serde_bytes")]
    pub cert_fingerprint: Vec<u8>,
    /// Its present start.
    pub incarnation: Incarnation,
    /// What it can carry.
    pub capacity: Capacity,
    /// Whether work may be on it.
    pub standing: Standing,
    /// Since when its standing is what it is.
    pub since: Millis,
    /// The program's version.
    pub version: String,
    /// When it joined.
    pub joined_at: Millis,
    /// Whether an operator keeps work off it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cordon: Option<Cordon>,
}

impl Node {
    /// Whether what it has is to go elsewhere, while it goes on.
    pub fn is_draining(&self) -> bool {
        self.cordon.is_some_and(|cordon| cordon.drain)
    }
}

impl Row for Node {
    const TABLE: u8 = 1;
    type Key = NodeId;
}

/// A node that was removed or replaced. Its certificate still verifies, so its id is remembered and refused for ever.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// Its id.
    pub id: NodeId,
    /// When it went.
    pub at: Millis,
}

impl Row for Gone {
    const TABLE: u8 = 11;
    type Key = NodeId;
}

/// Changes of the nodes table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// The first node makes the cluster. `joined_at`, `since` and `standing` of the row are set by `apply`.
    Join(Node),
    /// A newcomer comes in by a token, which that uses once. One that was let in before and asks again, with the same keys,
    /// uses nothing.
    Admit {
        /// Its row, as for `Join`.
        node: Node,
        /// The token's id.
        token: TokenId,
        /// SHA-256 of the secret part that was shown.
        #[serde(with = "serde_bytes")]
        hash: Vec<u8>,
    },
    /// A known node started again, or learnt something new about itself.
    Register {
        /// Which node.
        id: NodeId,
        /// Its new life.
        incarnation: Incarnation,
        /// Its zone, which may have changed.
        zone: String,
        /// Where its cluster port is now.
        cluster_addr: String,
        /// Where its HTTP port is now.
        http_addr: String,
        /// What it can carry now.
        capacity: Capacity,
        /// The program's version.
        version: String,
    },
    /// Its process stops in order and means to come back.
    Stop {
        /// Which node.
        id: NodeId,
        /// The life that ends; a newer one does not.
        incarnation: Incarnation,
    },
    /// The leader saw its lease run out.
    Lose {
        /// Which node.
        id: NodeId,
        /// The life that was lost; a newer one is not.
        incarnation: Incarnation,
    },
    /// Its lease is renewed again.
    Return {
        /// Which node.
        id: NodeId,
    },
    /// It is to leave for good.
    Leave {
        /// Which node.
        id: NodeId,
    },
    /// It is gone for good; its certificate is no longer accepted.
    Remove {
        /// Which node.
        id: NodeId,
    },
    /// A majority was lost for good and this node goes on alone: all others are gone for good. Written into the log of a
    /// stopped node on its operator's word, never proposed; of the first level, so that a cluster of any level takes it.
    Survive {
        /// Which node.
        id: NodeId,
        /// Others that Raft knew, with a row or without one.
        others: Vec<NodeId>,
    },
    /// It is to get nothing new.
    Cordon {
        /// Which node.
        id: NodeId,
        /// Whether what it has is to go elsewhere.
        drain: bool,
    },
    /// It may get work again.
    Uncordon {
        /// Which node.
        id: NodeId,
    },
}

impl Command {
    /// The feature level that all nodes must have for it.
    pub(crate) fn level(&self) -> u16 {
        match self {
            Command::Cordon { .. } | Command::Uncordon { .. } => 2,
            _ => 1,
        }
    }
}

/// Why a node's command was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// Another live node has the name.
    #[error(
        "a node named `{name}` is in the cluster already ({id}): choose another --name, or remove that node first"
    )]
    NameTaken {
        /// The name.
        name: String,
        /// Who has it.
        id: NodeId,
    },
    /// The name cannot be one.
    #[error("`{name}` cannot be a node's name: {hint}")]
    BadName {
        /// The name.
        name: String,
        /// How it should look.
        hint: String,
    },
    /// Another node has the id.
    #[error(
        "node {0} is in the cluster already, with other keys: wipe the data directory to join as a new node"
    )]
    IdTaken(NodeId),
    /// It cannot be removed while it takes part in keeping the cluster's secrets.
    #[error("node {0} is there and votes: let it go with `llmhub node leave`, or stop it first")]
    InUse(NodeId),
    /// Nobody else could open the cluster's secrets.
    #[error(
        "node {0} is the only one that can open the cluster's secrets: without it no node could join any more"
    )]
    LastKeeper(NodeId),
    /// No such node.
    #[error("there is no node {0} in this cluster: it was removed, or never joined")]
    Unknown(NodeId),
    /// It runs a program that does not know what the cluster already uses.
    #[error(
        "version {version} is too old for this cluster, which is at feature level {level}: start the version the other nodes run"
    )]
    TooOld {
        /// What it runs.
        version: String,
        /// The cluster's level.
        level: u16,
    },
    /// It lives a newer life than the command speaks of.
    #[error("node {0} has started again since: nothing to do")]
    Stale(NodeId),
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::NameTaken { .. }
            | Reject::IdTaken(_)
            | Reject::InUse(_)
            | Reject::LastKeeper(_)
            | Reject::TooOld { .. }
            | Reject::Stale(_) => RejectClass::Conflict,
            Reject::BadName { .. } => RejectClass::Invalid,
            Reject::Unknown(_) => RejectClass::NotFound,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Join(node) => {
            let namesake = may_join(state, node)?;
            if state.nodes.is_empty() {
                // A new cluster has nobody to wait for.
                state.raise(level::of(&node.version), ctx);
            }
            join(state, node, namesake, ctx)
        }
        Command::Admit { node, token, hash } => admit(state, node, *token, hash, ctx),
        Command::Register { id, incarnation, zone, cluster_addr, http_addr, capacity, version } => {
            let mut node = find(state, *id)?;
            check_level(state, version)?;
            if *incarnation < node.incarnation {
                return Err(Reject::Stale(*id).into());
            }
            let reborn = node.incarnation != *incarnation;
            node.incarnation = *incarnation;
            node.zone.clone_from(zone);
            node.cluster_addr.clone_from(cluster_addr);
            node.http_addr.clone_from(http_addr);
            node.capacity.clone_from(capacity);
            node.version.clone_from(version);
            if reborn {
                start_anew(state, node, ctx);
            } else {
                state.nodes.put(ctx.out, *id, node);
            }
            Ok(Reply::Done)
        }
        Command::Stop { id, incarnation } => {
            in_life(state, *id, *incarnation)?;
            stand(state, *id, Standing::Stopped, ctx)
        }
        Command::Lose { id, incarnation } => {
            in_life(state, *id, *incarnation)?;
            stand(state, *id, Standing::Lost, ctx)
        }
        Command::Return { id } => stand(state, *id, Standing::Active, ctx),
        Command::Leave { id } => stand(state, *id, Standing::Leaving, ctx),
        Command::Remove { id } => {
            let standing = find(state, *id)?.standing;
            if state.wraps.contains(id) {
                if state.wraps.len() == 1 {
                    return Err(Reject::LastKeeper(*id).into());
                }
                if standing == Standing::Active {
                    return Err(Reject::InUse(*id).into());
                }
            }
            bury(state, *id, "it was taken out", ctx);
            Ok(Reply::Done)
        }
        Command::Survive { id, others } => survive(state, *id, others, ctx),
        Command::Cordon { id, drain } => {
            cordon(state, *id, Some(Cordon { drain: *drain, since: ctx.now }), ctx)
        }
        Command::Uncordon { id } => cordon(state, *id, None, ctx),
    }
}

fn admit(state: &mut State, node: &Node, token: TokenId, hash: &[u8], ctx: &mut Context<'_>) -> Outcome {
    let namesake = may_join(state, node)?;
    if let Some(old) = state.nodes.get(&node.id).cloned() {
        token::check(state, token, hash)?;
        if node.incarnation > old.incarnation {
            // It was started again before it had heard that it is in.
            let Node { standing, since, joined_at, cordon, .. } = *old;
            start_anew(state, Node { standing, since, joined_at, cordon, ..node.clone() }, ctx);
        }
        return Ok(Reply::Done);
    }
    token::spend(state, token, hash, ctx)?;
    join(state, node, namesake, ctx)
}

fn survive(state: &mut State, id: NodeId, others: &[NodeId], ctx: &mut Context<'_>) -> Outcome {
    let survivor = find(state, id)?;
    let rows: Vec<NodeId> = state.nodes.iter().map(|(id, _)| *id).collect();
    for other in rows.into_iter().chain(others.iter().copied()).filter(|other| *other != id) {
        bury(state, other, "the cluster was recovered without it", ctx);
    }
    // Whatever it was about to do, it is the cluster now.
    state.nodes.put(ctx.out, id, Node { standing: Standing::Active, since: ctx.now, ..survivor });
    Ok(Reply::Done)
}

fn cordon(state: &mut State, id: NodeId, new: Option<Cordon>, ctx: &mut Context<'_>) -> Outcome {
    let node = find(state, id)?;
    let (kind, what) = match new {
        Some(Cordon { drain: true, .. }) => (Kind::NodeDraining, "is drained: what it runs goes elsewhere"),
        Some(_) => (Kind::NodeCordoned, "is cordoned: it gets nothing new"),
        None => (Kind::NodeUncordoned, "may get work again"),
    };
    // Asked for again, it stays as it is, with the time it is so since.
    if node.cordon.map(|cordon| cordon.drain) != new.map(|cordon| cordon.drain) {
        tell(state, id, kind, what, ctx);
        state.nodes.put(ctx.out, id, Node { cordon: new, ..node });
    }
    Ok(Reply::Done)
}

fn tell(state: &mut State, id: NodeId, kind: Kind, what: &str, ctx: &mut Context<'_>) {
    record(state, ctx, kind, Subject::node(id), |state| format!("node {} {what}", node_name(state, id)));
}

fn find(state: &State, id: NodeId) -> Result<Node, Reject> {
    state.nodes.get(&id).map(|n| (**n).clone()).ok_or(Reject::Unknown(id))
}

fn in_life(state: &State, id: NodeId, incarnation: Incarnation) -> Result<(), Reject> {
    if find(state, id)?.incarnation == incarnation { Ok(()) } else { Err(Reject::Stale(id)) }
}

fn check_level(state: &State, version: &str) -> Result<(), Reject> {
    let level = state.level();
    if level::of(version) < level {
        Err(Reject::TooOld { version: version.to_owned(), level })
    } else {
        Ok(())
    }
}

/// Whether a node may come in, and whom it replaces.
fn may_join(state: &State, node: &Node) -> Result<Option<NodeId>, Reject> {
    check_name(&node.name)
        .map_err(|hint| Reject::BadName { name: node.name.clone(), hint: hint.to_owned() })?;
    if state.gone.contains(&node.id) {
        return Err(Reject::Unknown(node.id));
    }
    check_level(state, &node.version)?;
    let same =
        |old: &Node| old.seal_public == node.seal_public && old.cert_fingerprint == node.cert_fingerprint;
    if state.nodes.get(&node.id).is_some_and(|old| !same(old)) {
        return Err(Reject::IdTaken(node.id));
    }
    let namesake = state.nodes.rows().find(|n| n.name == node.name && n.id != node.id);
    match namesake {
        Some(other) if other.standing != Standing::Lost => {
            Err(Reject::NameTaken { name: node.name.clone(), id: other.id })
        }
        other => Ok(other.map(|n| n.id)),
    }
}

fn join(state: &mut State, node: &Node, namesake: Option<NodeId>, ctx: &mut Context<'_>) -> Outcome {
    let mut cordon = None;
    if let Some(other) = namesake {
        // A lost node of this name was replaced: its disk is gone or given up, so its old id never comes back. What kept
        // work off it is about the machine, and stays.
        cordon = state.nodes.get(&other).and_then(|old| old.cordon);
        bury(state, other, "another node came in under its name", ctx);
    }
    let row = Node { standing: Standing::Active, since: ctx.now, joined_at: ctx.now, cordon, ..node.clone() };
    state.nodes.put(ctx.out, node.id, row);
    tell(state, node.id, Kind::NodeJoined, &format!("came in, in zone {}", node.zone), ctx);
    Ok(Reply::Done)
}

/// Writes the row of a node's next life, which ends a stop and in which nothing runs yet.
fn start_anew(state: &mut State, mut node: Node, ctx: &mut Context<'_>) {
    let id = node.id;
    if node.standing == Standing::Stopped {
        (node.standing, node.since) = (Standing::Active, ctx.now);
    }
    state.nodes.put(ctx.out, id, node);
    super::deployment::node_reborn(state, id, ctx);
    tell(state, id, Kind::NodeStarted, "has started anew", ctx);
}

fn bury(state: &mut State, id: NodeId, why: &str, ctx: &mut Context<'_>) {
    tell(state, id, Kind::NodeRemoved, &format!("is removed: {why}"), ctx);
    state.nodes.remove(ctx.out, &id);
    let kept = state.wraps.remove(ctx.out, &id);
    state.gone.put(ctx.out, id, Gone { id, at: ctx.now });
    rotation::node_gone(state, id, kept, ctx);
}

fn stand(state: &mut State, id: NodeId, standing: Standing, ctx: &mut Context<'_>) -> Outcome {
    let node = find(state, id)?;
    let keeps = match node.standing {
        Standing::Leaving => matches!(standing, Standing::Active | Standing::Stopped),
        // Only a new life ends a stop.
        Standing::Stopped => standing == Standing::Active,
        Standing::Lost => standing == Standing::Stopped,
        Standing::Active => false,
    };
    if node.standing != standing && !keeps {
        state.nodes.put(ctx.out, id, Node { standing, since: ctx.now, ..node });
        let (kind, what) = match standing {
            Standing::Lost => (Kind::NodeLost, "is lost: its lease ran out"),
            Standing::Stopped => (Kind::NodeStopped, "was stopped in order"),
            Standing::Leaving => (Kind::NodeLeaving, "is to leave for good"),
            Standing::Active => (Kind::NodeReturned, "is back"),
        };
        tell(state, id, kind, what, ctx);
    }
    Ok(Reply::Done)
}

/// How many nodes of each zone count.
pub fn zones(state: &State) -> BTreeMap<&str, usize> {
    let mut zones = BTreeMap::new();
    for node in state.nodes.rows().filter(|n| n.standing.counts()) {
        *zones.entry(node.zone.as_str()).or_insert(0) += 1;
    }
    zones
}
