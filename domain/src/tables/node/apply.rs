//! How commands change nodes, and which events tell of it.

use super::{Command, Cordon, Gone, Node, Reject, Standing};
use crate::State;
use crate::command::{Outcome, Reply};
use crate::ids::{Incarnation, NodeId, TokenId, check_name};
use crate::tables::event::{Kind, Subject, node_name, record};
use crate::tables::{Context, deployment, level, rotation, token};

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
    deployment::node_reborn(state, id, ctx);
    tell(state, id, Kind::NodeStarted, "has started anew", ctx);
}

fn bury(state: &mut State, id: NodeId, why: &str, ctx: &mut Context<'_>) {
    tell(state, id, Kind::NodeRemoved, &format!("is removed: {why}"), ctx);
    state.nodes.remove(ctx.out, &id);
    state.gone.put(ctx.out, id, Gone { id, at: ctx.now });
    rotation::node_gone(state, id, ctx);
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
