//! How each command changes the tables, and what is refused.

use super::{
    AGAIN_LEVEL, Command, Holding, Kind, LEVEL, Place, Reject, Resealed, Rotation, Stage, check_sealed,
    pending,
};
use crate::State;
use crate::command::{Outcome, Reply};
use crate::decide::rotation;
use crate::ids::{Epoch, NodeId};
use crate::tables::event::{self, Subject, node_name, record};
use crate::tables::secret::{CA, GOSSIP, NEXT_CA, Secret, Wrap, data_key_name, is_data_key};
use crate::tables::{Context, restore};

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::Ask { kind, forget } => {
            if let Some(node) = forget.iter().find(|node| !state.nodes.contains(node)) {
                return Err(Reject::NoNode(*node).into());
            }
            ask(state, *kind, forget, "an operator asked for it", ctx);
        }
        Command::Begin { kind, version, from, next, secrets, wraps } => {
            let row = at(state, *kind, Stage::Asked, *version)?;
            let names = Names { from: from.clone(), next: next.clone() };
            match kind {
                Kind::Data => begin_data(state, row, names, (secrets, wraps), ctx)?,
                Kind::Gossip | Kind::Authority => begin(state, row, names, secrets, ctx)?,
            }
        }
        Command::Switch { kind, version, secrets } => {
            let row = taken_in(state, at(state, *kind, Stage::Spread, *version)?)?;
            switch(state, row, secrets, ctx)?;
        }
        Command::Reseal { version, values } => {
            at(state, Kind::Data, Stage::Switched, *version)?;
            values.iter().try_for_each(|value| check_sealed(state, &value.sealed))?;
            values.iter().for_each(|value| reseal(state, value, ctx));
        }
        Command::End { kind, version, secrets } => {
            let row = taken_in(state, at(state, *kind, Stage::Switched, *version)?)?;
            end(state, row, secrets, ctx)?;
        }
        Command::Hold(holding) => hold(state, holding, ctx)?,
        Command::Renew(node) => {
            if !state.nodes.contains(node) {
                return Err(Reject::NoNode(*node).into());
            }
            let holding = holding(state, *node);
            state.holdings.put(ctx.out, *node, Holding { renew: ctx.index, ..holding });
        }
    }
    Ok(Reply::Done)
}

/// What two keys are called.
struct Names {
    from: String,
    next: String,
}

fn at(state: &State, kind: Kind, stage: Stage, version: Epoch) -> Result<Rotation, Reject> {
    let row = state.rotation(kind).filter(|row| row.stage == stage && row.version == version);
    row.cloned().ok_or(Reject::Stale(kind))
}

/// Who came in since the leader looked has to take in the last step too.
fn taken_in(state: &State, row: Rotation) -> Result<Rotation, Reject> {
    if rotation::behind(state, &row).is_empty() { Ok(row) } else { Err(Reject::Stale(row.kind)) }
}

fn put(state: &mut State, row: Rotation, ctx: &mut Context<'_>) {
    let row = Rotation { version: ctx.index, since: ctx.now, ..row };
    state.rotations.put(ctx.out, row.kind.as_str().to_owned(), row);
}

fn tell(state: &mut State, what: event::Kind, text: String, ctx: &mut Context<'_>) {
    record(state, ctx, what, Subject::default(), |_| text);
}

fn ask(state: &mut State, kind: Kind, forget: &[NodeId], why: &str, ctx: &mut Context<'_>) {
    let mut row = state.rotation_or_new(kind);
    row.forgotten.retain(|node| !forget.contains(node) && state.nodes.contains(node));
    row.forgotten.extend_from_slice(forget);
    if row.stage == Stage::Idle {
        begin_anew(state, row, why, ctx);
    } else {
        // Its version stays: what nodes have taken in is as good as before.
        state.rotations.put(ctx.out, kind.as_str().to_owned(), row);
    }
}

fn begin_anew(state: &mut State, row: Rotation, why: &str, ctx: &mut Context<'_>) {
    let text = format!("the {} is to be replaced: {why}", row.kind.noun());
    put(state, Rotation { stage: Stage::Asked, due: None, again: None, ..row }, ctx);
    tell(state, event::Kind::RotationAsked, text, ctx);
}

fn begin_data(
    state: &mut State,
    row: Rotation,
    names: Names,
    (secrets, wraps): (&[Secret], &[Wrap]),
    ctx: &mut Context<'_>,
) -> Result<(), Reject> {
    let Names { from, next } = names;
    // A holder that was left out could open nothing from here on, and the old key has to be found through the new one.
    let everyone = wraps.iter().map(|wrap| wrap.node).eq(state.wraps.iter().map(|(node, _)| *node));
    let fresh = wraps.iter().all(|wrap| wrap.key.as_ref() == Some(&next));
    let [kept] = secrets else { return Err(Reject::Stale(Kind::Data)) };
    let kept_right = kept.name == data_key_name(&from) && kept.sealed.key.as_ref() == Some(&next);
    let follows = row.current.as_ref().is_none_or(|current| *current == from) && from != next;
    if !(everyone && fresh && kept_right && follows) {
        return Err(Reject::Stale(Kind::Data));
    }
    for wrap in wraps {
        state.wraps.put(ctx.out, wrap.node, wrap.clone());
    }
    state.secrets.put(ctx.out, kept.name.clone(), kept.clone());
    let first = row.first.clone().or_else(|| Some(from.clone()));
    let (current, old) = (Some(next), Some(from));
    put(state, Rotation { stage: Stage::Switched, current, old, first, kept: Vec::new(), ..row }, ctx);
    let text = "a new data key is used; what was sealed under the old one is sealed anew".to_owned();
    tell(state, event::Kind::RotationSwitched, text, ctx);
    Ok(())
}

fn begin(
    state: &mut State,
    row: Rotation,
    names: Names,
    secrets: &[Secret],
    ctx: &mut Context<'_>,
) -> Result<(), crate::Reject> {
    let kind = row.kind;
    let Names { from, next } = names;
    let place = if kind == Kind::Gossip { GOSSIP } else { NEXT_CA };
    put_secret(state, kind, place, secrets, ctx)?;
    put(state, Rotation { stage: Stage::Spread, current: Some(from), next: Some(next), ..row }, ctx);
    let text = format!("a new {} is there: nodes take it in beside the old one", kind.noun());
    tell(state, event::Kind::RotationBegun, text, ctx);
    Ok(())
}

fn switch(
    state: &mut State,
    row: Rotation,
    secrets: &[Secret],
    ctx: &mut Context<'_>,
) -> Result<(), crate::Reject> {
    let kind = row.kind;
    let mut old = row.current.clone();
    if kind == Kind::Authority {
        old = state.secrets.get(&CA.to_owned()).map(|row| row.public.clone());
        put_secret(state, kind, CA, secrets, ctx)?;
        state.secrets.remove(ctx.out, &NEXT_CA.to_owned());
    }
    let next = Rotation { stage: Stage::Switched, current: row.next.clone(), next: None, old, ..row };
    put(state, next, ctx);
    tell(state, event::Kind::RotationSwitched, format!("the new {} is used", kind.noun()), ctx);
    Ok(())
}

fn end(
    state: &mut State,
    row: Rotation,
    secrets: &[Secret],
    ctx: &mut Context<'_>,
) -> Result<(), crate::Reject> {
    let kind = row.kind;
    match kind {
        Kind::Data => {
            if pending(state).next().is_some() || restore::under_way(state).is_some() {
                return Err(Reject::Stale(kind).into());
            }
            let kept = state.secrets.iter().map(|(name, _)| name).filter(|name| is_data_key(name));
            for name in kept.cloned().collect::<Vec<_>>() {
                state.secrets.remove(ctx.out, &name);
            }
        }
        Kind::Gossip => put_secret(state, kind, GOSSIP, secrets, ctx)?,
        Kind::Authority => {}
    }
    let again = row.again.clone();
    let over = Rotation { stage: Stage::Idle, old: None, again: None, forgotten: Vec::new(), ..row };
    put(state, over.clone(), ctx);
    tell(state, event::Kind::RotationEnded, format!("the old {} is gone", kind.noun()), ctx);
    if let Some(why) = again {
        begin_anew(state, over, &why, ctx);
    }
    Ok(())
}

/// Puts the one secret that a step brings.
fn put_secret(
    state: &mut State,
    kind: Kind,
    name: &str,
    secrets: &[Secret],
    ctx: &mut Context<'_>,
) -> Result<(), crate::Reject> {
    let [secret] = secrets else { return Err(Reject::Stale(kind).into()) };
    if secret.name != name {
        return Err(Reject::Stale(kind).into());
    }
    check_sealed(state, &secret.sealed)?;
    state.secrets.put(ctx.out, secret.name.clone(), secret.clone());
    Ok(())
}

fn reseal(state: &mut State, value: &Resealed, ctx: &mut Context<'_>) {
    let Resealed { place, was, sealed } = value;
    match place {
        Place::Secret(name) => {
            if let Some(row) = state.secrets.get(name).filter(|row| row.sealed.nonce == *was).cloned() {
                state.secrets.put(ctx.out, name.clone(), Secret { sealed: sealed.clone(), ..(*row).clone() });
            }
        }
        // Its revision stays: the key is the same, and connections go on.
        Place::Provider(name) => {
            let Some(mut row) = state.providers.get(name).map(|row| (**row).clone()) else { return };
            if let Some(there) = row.sealed_mut().filter(|there| there.nonce == *was) {
                *there = sealed.clone();
                state.providers.put(ctx.out, name.clone(), row);
            }
        }
    }
}

fn holding(state: &State, node: NodeId) -> Holding {
    state.holdings.get(&node).map(|row| (**row).clone()).unwrap_or(Holding {
        node,
        gossip: 0,
        authority: 0,
        certificate: None,
        renew: 0,
        renewed: 0,
    })
}

fn hold(state: &mut State, new: &Holding, ctx: &mut Context<'_>) -> Result<(), Reject> {
    let node = new.node;
    if !state.nodes.contains(&node) {
        return Err(Reject::NoNode(node));
    }
    let old = holding(state, node);
    let renewed = old.certificate.is_some() && old.certificate != new.certificate;
    state.holdings.put(ctx.out, node, Holding { renew: old.renew, ..new.clone() });
    if renewed {
        record(state, ctx, event::Kind::CertificateRenewed, Subject::node(node), |state| {
            format!("node {} has a new certificate", node_name(state, node))
        });
    }
    Ok(())
}

/// A node is gone for good: it knows the gossip key, and the data key if it had a wrap of it, which is taken away, or had
/// one before it gave its vote away to go.
pub(in crate::tables) fn node_gone(state: &mut State, node: NodeId, ctx: &mut Context<'_>) {
    let gave_back = state.rotation(Kind::Data).is_some_and(|row| row.kept.contains(&node));
    let knows = state.wraps.remove(ctx.out, &node) || gave_back;
    state.holdings.remove(ctx.out, &node);
    if state.level() < LEVEL {
        return;
    }
    let why = format!("node {node} was removed and knew it");
    known_outside(state, Kind::Gossip, &why, ctx);
    if knows {
        known_outside(state, Kind::Data, &why, ctx);
    }
}

/// Somebody outside knows a key, and where it is being replaced its successor too, unless that is still to be made.
fn known_outside(state: &mut State, kind: Kind, why: &str, ctx: &mut Context<'_>) {
    let row = state.rotation_or_new(kind);
    let made = matches!(row.stage, Stage::Spread | Stage::Switched);
    if made && state.level() >= AGAIN_LEVEL {
        let again = Some(why.to_owned());
        state.rotations.put(ctx.out, kind.as_str().to_owned(), Rotation { again, ..row });
    } else {
        ask(state, kind, &[], why, ctx);
    }
}

/// A node votes no more, and may have kept the data key.
pub(in crate::tables) fn kept_by(state: &mut State, node: NodeId, ctx: &mut Context<'_>) {
    let mut row = state.rotation_or_new(Kind::Data);
    // A key that is still to be made is none it knows.
    if state.level() >= AGAIN_LEVEL && row.stage != Stage::Asked && !row.kept.contains(&node) {
        row.kept.push(node);
        state.rotations.put(ctx.out, Kind::Data.as_str().to_owned(), row);
    }
    due(state, format!("node {node} votes no more and may have kept it"), ctx);
}

/// What came with a backup is sealed under the keys that came with it.
pub(in crate::tables) fn restored(state: &mut State, ctx: &mut Context<'_>) {
    due(state, "what was restored is sealed under the keys that came with the backup".to_owned(), ctx);
}

fn due(state: &mut State, why: String, ctx: &mut Context<'_>) {
    let row = state.rotation_or_new(Kind::Data);
    // One that is only asked for takes care of it.
    if state.level() >= LEVEL && row.stage != Stage::Asked {
        state.rotations.put(ctx.out, Kind::Data.as_str().to_owned(), Rotation { due: Some(why), ..row });
    }
}
