//! Whether a route makes sense: by itself, and beside the routes its names lead to.

use std::collections::{BTreeMap, BTreeSet};

use super::{Caller, Fusion, Preferred, Queue, Reject, Route, Step, Times};
use crate::State;
use crate::ids::{NAME_LEN_MAX, check_name};
use crate::limits::{
    ROUTE_ANSWER_LEN_MAX, ROUTE_ATTEMPTS_MAX, ROUTE_CALLERS_MAX, ROUTE_DEPTH_MAX, ROUTE_FUSED_MAX,
    ROUTE_IN_FLIGHT_MAX, ROUTE_PREFERRED_MAX, ROUTE_STEPS_MAX, ROUTE_TARGETS_MAX, ROUTE_TIME_MAX_MS,
    ROUTE_WAITING_MAX, ROUTE_WEIGHT_MAX,
};

/// What is wrong: a part of the row, and what to do.
type Wrong = (String, String);

/// Checks a route by itself.
pub(super) fn check(row: &Route) -> Result<(), Reject> {
    parts(row).map_err(|(field, hint)| {
        // A name that is none may be of any length.
        let name = row.name.chars().take(NAME_LEN_MAX).collect();
        Reject::Bad { name, field, hint }
    })
}

fn parts(row: &Route) -> Result<(), Wrong> {
    check_name(&row.name).map_err(|hint| wrong("the name", hint))?;
    if row.chain.len() > ROUTE_STEPS_MAX {
        return Err(wrong("chain", format!("it may have {ROUTE_STEPS_MAX} steps")));
    }
    for (place, step) in row.chain.iter().enumerate() {
        check_step(place, step)?;
    }
    check_preferred(&row.preferred)?;
    row.fusion.as_ref().map_or(Ok(()), check_fusion)?;
    for (field, name) in row.names() {
        check_name(name).map_err(|hint| wrong(field, format!("a model's name is wanted: {hint}")))?;
    }
    if let Some(answer) = &row.fallback_answer
        && (answer.trim().is_empty() || answer.len() > ROUTE_ANSWER_LEN_MAX)
    {
        return Err(wrong(
            "fallback_answer",
            format!("write 1 to {ROUTE_ANSWER_LEN_MAX} bytes, or leave it out"),
        ));
    }
    check_times(&row.times)?;
    if let Some(hedge) = &row.hedge {
        within("hedge.after_ms", hedge.after_ms, ROUTE_TIME_MAX_MS)?;
    }
    within("attempts_max", row.attempts_max.map(u64::from), ROUTE_ATTEMPTS_MAX.into())?;
    row.queue.as_ref().map_or(Ok(()), check_queue)
}

fn wrong(field: impl Into<String>, hint: impl Into<String>) -> Wrong {
    (field.into(), hint.into())
}

/// A number that is left out, or 1 to `max`.
fn within(field: &str, value: Option<u64>, max: u64) -> Result<(), Wrong> {
    match value {
        Some(value) if value == 0 || value > max => Err(wrong(field, format!("set 1 to {max}"))),
        _ => Ok(()),
    }
}

fn check_step(place: usize, step: &Step) -> Result<(), Wrong> {
    let field = |part: &str| format!("chain[{place}].{part}");
    if step.targets.is_empty() || step.targets.len() > ROUTE_TARGETS_MAX {
        return Err(wrong(field("targets"), format!("name 1 to {ROUTE_TARGETS_MAX} models")));
    }
    let mut named = BTreeSet::new();
    for (target, share) in step.targets.iter().enumerate() {
        let field = |part: &str| field(&format!("targets[{target}].{part}"));
        if share.weight > ROUTE_WEIGHT_MAX {
            return Err(wrong(field("weight"), format!("set 0 to {ROUTE_WEIGHT_MAX}")));
        }
        if !named.insert(&share.model) {
            let hint = format!("`{}` is in this step already: add the weights up", share.model);
            return Err(wrong(field("model"), hint));
        }
    }
    if step.targets.iter().all(|share| share.weight == 0) {
        return Err(wrong(field("targets"), "give one of them a weight above 0"));
    }
    Ok(())
}

fn check_preferred(preferred: &[Preferred]) -> Result<(), Wrong> {
    if preferred.len() > ROUTE_CALLERS_MAX {
        return Err(wrong("preferred", format!("it may have {ROUTE_CALLERS_MAX} entries")));
    }
    for (place, first) in preferred.iter().enumerate() {
        let field = |part: &str| format!("preferred[{place}].{part}");
        if first.models.is_empty() || first.models.len() > ROUTE_PREFERRED_MAX {
            return Err(wrong(field("models"), format!("name 1 to {ROUTE_PREFERRED_MAX} models")));
        }
        if let Caller::Label(label) = &first.caller {
            check_name(label).map_err(|hint| wrong(field("caller"), format!("a label is wanted: {hint}")))?;
        }
        if preferred[..place].iter().any(|other| other.caller == first.caller) {
            return Err(wrong(field("caller"), "it has an entry already: put the models into one"));
        }
    }
    Ok(())
}

fn check_fusion(fusion: &Fusion) -> Result<(), Wrong> {
    if fusion.models.len() < 2 || fusion.models.len() > ROUTE_FUSED_MAX {
        return Err(wrong("fusion.models", format!("name 2 to {ROUTE_FUSED_MAX} models")));
    }
    Ok(())
}

fn check_times(times: &Times) -> Result<(), Wrong> {
    let all = [
        ("times.connect_ms", times.connect_ms),
        ("times.first_token_ms", times.first_token_ms),
        ("times.between_tokens_ms", times.between_tokens_ms),
        ("times.total_ms", times.total_ms),
    ];
    all.into_iter().try_for_each(|(field, value)| within(field, value, ROUTE_TIME_MAX_MS))?;
    let Some(total) = times.total_ms else { return Ok(()) };
    match all.into_iter().find(|(_, value)| value.is_some_and(|value| value > total)) {
        Some((field, _)) => Err(wrong(field, format!("it may be as long as the whole call, {total}"))),
        None => Ok(()),
    }
}

fn check_queue(queue: &Queue) -> Result<(), Wrong> {
    within("queue.in_flight_max", Some(queue.in_flight_max.into()), ROUTE_IN_FLIGHT_MAX.into())?;
    if queue.waiting_max > ROUTE_WAITING_MAX {
        return Err(wrong("queue.waiting_max", format!("set 0 to {ROUTE_WAITING_MAX}")));
    }
    within("queue.wait_ms", Some(queue.wait_ms), ROUTE_TIME_MAX_MS)
}

/// Checks that no route leads back to itself, nor through too many others, once this one is there.
pub(super) fn check_names(state: &State, row: &Route) -> Result<(), Reject> {
    let mut walk = Walk { state, new: row, path: Vec::new(), known: BTreeMap::new() };
    let others = state.routes.rows().map(|other| other.name.as_str());
    for name in std::iter::once(row.name.as_str()).chain(others) {
        let deepest = walk.from(name)?;
        if deepest.len() > ROUTE_DEPTH_MAX {
            let (depth, path) = (deepest.len(), deepest.join(" > "));
            return Err(Reject::TooDeep { name: row.name.clone(), depth, path });
        }
    }
    Ok(())
}

struct Walk<'a> {
    state: &'a State,
    new: &'a Route,
    path: Vec<&'a str>,
    /// The longest way from a route through others, itself included.
    known: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Walk<'a> {
    fn row(&self, name: &str) -> Option<&'a Route> {
        if name == self.new.name { Some(self.new) } else { self.state.route(name) }
    }

    /// The routes that were there make a path no longer than they may, so that this ends soon.
    fn from(&mut self, name: &'a str) -> Result<Vec<&'a str>, Reject> {
        if let Some(known) = self.known.get(name) {
            return Ok(known.clone());
        }
        if let Some(place) = self.path.iter().position(|passed| *passed == name) {
            let mut path = self.path[place..].to_vec();
            path.push(name);
            return Err(Reject::Loop { name: self.new.name.clone(), path: path.join(" > ") });
        }
        let Some(row) = self.row(name) else { return Ok(Vec::new()) };
        self.path.push(&row.name);
        let mut longest = Vec::new();
        for (_, next) in row.names().filter(|(_, next)| *next != row.name) {
            let below = self.from(next)?;
            if below.len() > longest.len() {
                longest = below;
            }
        }
        self.path.pop();
        longest.insert(0, &row.name);
        self.known.insert(&row.name, longest.clone());
        Ok(longest)
    }
}
