//! What operators set for the whole cluster while it runs: tenants' quotas, how much may move at once, and whether a
//! rebalance is under way. The scheduler acts by it; commands that would exceed a quota are refused by `apply`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::deployment::{Deployment, Spec};
use super::event::{self, Kind, Subject};
use super::{Context, deployment};
use crate::State;
use crate::command::{Outcome, RejectClass, Reply};
use crate::ids::{Epoch, check_name};
use crate::limits::{MOVES_MAX, QUOTAS_MAX};
use crate::table::Row;

const MOVES: &str = "moves";
const REBALANCE: &str = "rebalance";
const QUOTA: &str = "quota/";

/// What a tenant's deployments may ask for together; `None` is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Quota {
    /// Replicas.
    pub replicas: Option<u64>,
    /// Whole GPUs.
    pub gpus: Option<u64>,
    /// Main memory in MiB.
    pub memory_mib: Option<u64>,
}

/// What a tenant's running deployments ask for together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Replicas.
    pub replicas: u64,
    /// Whole GPUs.
    pub gpus: u64,
    /// Main memory in MiB.
    pub memory_mib: u64,
}

impl Usage {
    /// What so many replicas of a spec ask for.
    pub fn of(spec: &Spec, replicas: u32) -> Self {
        let count = u64::from(replicas);
        Self {
            replicas: count,
            gpus: count.saturating_mul(spec.resources.gpus.into()),
            memory_mib: count.saturating_mul(spec.resources.memory_mib),
        }
    }

    fn add(&mut self, other: Self) {
        self.replicas = self.replicas.saturating_add(other.replicas);
        self.gpus = self.gpus.saturating_add(other.gpus);
        self.memory_mib = self.memory_mib.saturating_add(other.memory_mib);
    }
}

/// How much may move at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moves {
    /// Replicas under way at once for a drain, a rebalance or another's priority. Nothing is broken when these wait, so few.
    pub planned_max: u32,
    /// Replicas that are given a node in one round of the scheduler because they have none: new ones, and those of lost
    /// nodes. A wrong belief about the cluster must not turn it over at once, but what is down must not wait.
    pub urgent_max: u32,
}

impl Default for Moves {
    fn default() -> Self {
        Self { planned_max: 4, urgent_max: 64 }
    }
}

/// A setting: its name and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// What it is found by.
    pub name: String,
    /// What it says.
    pub value: Value,
}

/// What a setting says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Value {
    /// A tenant's quota.
    Quota(Quota),
    /// How much may move at once.
    Moves(Moves),
    /// A rebalance is under way, since this command.
    Rebalance(Epoch),
}

impl Row for Setting {
    const TABLE: u8 = 13;
    type Key = String;
}

/// Changes of the settings table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Sets a tenant's quota.
    SetQuota {
        /// The tenant.
        tenant: String,
        /// What it may ask for.
        quota: Quota,
    },
    /// Takes a tenant's quota away: nothing limits it any more.
    RemoveQuota(String),
    /// Sets how much may move at once.
    SetMoves(Moves),
    /// A user wants replicas spread better; one that is under way goes on.
    Rebalance,
    /// The scheduler has nothing left to rebalance, or a user wants it to end.
    EndRebalance {
        /// Which one ends; `None` is any.
        since: Option<Epoch>,
    },
}

/// Why a command about settings was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Reject {
    /// The name cannot be a tenant's.
    #[error("`{tenant}` cannot be a tenant's name: {hint}")]
    BadTenant {
        /// The name.
        tenant: String,
        /// How it should look.
        hint: String,
    },
    /// There is no quota to take away.
    #[error("tenant `{0}` has no quota: list them with GET /api/quotas")]
    NoQuota(String),
    /// There are too many.
    #[error("there are {0} quotas already, as many as a cluster takes: remove some first")]
    TooMany(usize),
    /// A limit makes no sense.
    #[error("{field} is wrong: set 1 to {max}")]
    BadMoves {
        /// Which.
        field: String,
        /// The largest value.
        max: u32,
    },
}

impl Reject {
    pub(crate) fn class(&self) -> RejectClass {
        match self {
            Reject::BadTenant { .. } | Reject::BadMoves { .. } => RejectClass::Invalid,
            Reject::NoQuota(_) => RejectClass::NotFound,
            Reject::TooMany(_) => RejectClass::Conflict,
        }
    }
}

pub(crate) fn apply(state: &mut State, command: &Command, ctx: &mut Context<'_>) -> Outcome {
    match command {
        Command::SetQuota { tenant, quota } => {
            check_name(tenant)
                .map_err(|hint| Reject::BadTenant { tenant: tenant.clone(), hint: hint.to_owned() })?;
            if state.quota(tenant).is_none() && quotas(state).count() >= QUOTAS_MAX {
                return Err(Reject::TooMany(QUOTAS_MAX).into());
            }
            put(state, format!("{QUOTA}{tenant}"), Value::Quota(*quota), ctx);
            event::record(state, ctx, Kind::QuotaChanged, Subject::default(), |_| {
                format!("the quota of tenant {tenant} is {quota}")
            });
        }
        Command::RemoveQuota(tenant) => {
            if !state.settings.remove(ctx.out, &format!("{QUOTA}{tenant}")) {
                return Err(Reject::NoQuota(tenant.clone()).into());
            }
            event::record(state, ctx, Kind::QuotaChanged, Subject::default(), |_| {
                format!("tenant {tenant} has no quota any more")
            });
        }
        Command::SetMoves(moves) => {
            for (field, value) in [("planned_max", moves.planned_max), ("urgent_max", moves.urgent_max)] {
                if value == 0 || value > MOVES_MAX {
                    return Err(Reject::BadMoves { field: field.to_owned(), max: MOVES_MAX }.into());
                }
            }
            put(state, MOVES.to_owned(), Value::Moves(*moves), ctx);
            let Moves { planned_max, urgent_max } = moves;
            event::record(state, ctx, Kind::MovesChanged, Subject::default(), |_| {
                format!("at most {planned_max} planned and {urgent_max} urgent moves at once")
            });
        }
        Command::Rebalance => {
            if let Some(since) = state.rebalance() {
                return Ok(Reply::Epoch(since));
            }
            put(state, REBALANCE.to_owned(), Value::Rebalance(ctx.index), ctx);
            event::record(state, ctx, Kind::RebalanceStarted, Subject::default(), |_| {
                "replicas are being spread better".to_owned()
            });
            return Ok(Reply::Epoch(ctx.index));
        }
        Command::EndRebalance { since } => {
            let Some(present) = state.rebalance() else { return Ok(Reply::Done) };
            if since.is_none_or(|since| since == present) {
                state.settings.remove(ctx.out, &REBALANCE.to_owned());
                event::record(state, ctx, Kind::RebalanceEnded, Subject::default(), |_| match since {
                    Some(_) => "no replica can be spread better any more".to_owned(),
                    None => "it was stopped: what is under way stays where it was".to_owned(),
                });
            }
        }
    }
    Ok(Reply::Done)
}

fn put(state: &mut State, name: String, value: Value, ctx: &mut Context<'_>) {
    state.settings.put(ctx.out, name.clone(), Setting { name, value });
}

impl std::fmt::Display for Quota {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts = [(self.replicas, "replicas"), (self.gpus, "GPUs"), (self.memory_mib, "MiB of memory")];
        let told: Vec<String> =
            parts.iter().filter_map(|(limit, what)| limit.map(|n| format!("{n} {what}"))).collect();
        write!(f, "{}", if told.is_empty() { "without limits".to_owned() } else { told.join(", ") })
    }
}

impl State {
    /// A tenant's quota, if it has one.
    pub fn quota(&self, tenant: &str) -> Option<Quota> {
        match self.settings.get(&format!("{QUOTA}{tenant}"))?.value {
            Value::Quota(quota) => Some(quota),
            _ => None,
        }
    }

    /// How much may move at once.
    pub fn moves(&self) -> Moves {
        match self.settings.get(&MOVES.to_owned()).map(|row| &row.value) {
            Some(Value::Moves(moves)) => *moves,
            _ => Moves::default(),
        }
    }

    /// Since which command a rebalance is under way, if one is.
    pub fn rebalance(&self) -> Option<Epoch> {
        match self.settings.get(&REBALANCE.to_owned())?.value {
            Value::Rebalance(since) => Some(since),
            _ => None,
        }
    }
}

/// Every quota, by tenant.
pub fn quotas(state: &State) -> impl Iterator<Item = (&str, Quota)> {
    state.settings.rows().filter_map(|row| match row.value {
        Value::Quota(quota) => Some((row.name.strip_prefix(QUOTA)?, quota)),
        _ => None,
    })
}

/// What each tenant's running deployments ask for.
pub fn usages(state: &State) -> BTreeMap<&str, Usage> {
    let mut usages: BTreeMap<&str, Usage> = BTreeMap::new();
    for row in state.deployments.rows() {
        let usage = Usage::of(&row.spec, row.wanted());
        usages.entry(row.spec.policy.tenant.as_str()).or_default().add(usage);
    }
    usages
}

/// Whether a deployment may ask for so many replicas; `row` is what there is of it now. What is over a quota already may
/// shrink, and never grow.
pub(super) fn check_quota(
    state: &State,
    spec: &Spec,
    row: Option<&Deployment>,
    replicas: u32,
) -> Result<(), deployment::Reject> {
    let tenant = spec.policy.tenant.as_str();
    let Some(quota) = state.quota(tenant) else { return Ok(()) };
    let now = row.map(|row| Usage::of(&row.spec, row.wanted())).unwrap_or_default();
    let (asked, used) = (Usage::of(spec, replicas), usages(state).get(tenant).copied().unwrap_or_default());
    let resources = [
        ("replicas", quota.replicas, used.replicas, now.replicas, asked.replicas),
        ("GPUs", quota.gpus, used.gpus, now.gpus, asked.gpus),
        ("MiB of memory", quota.memory_mib, used.memory_mib, now.memory_mib, asked.memory_mib),
    ];
    for (what, allowed, used, now, asked) in resources {
        let others = used.saturating_sub(now);
        if let Some(allowed) =
            allowed.filter(|allowed| asked > now && others.saturating_add(asked) > *allowed)
        {
            let (tenant, what) = (tenant.to_owned(), what.to_owned());
            return Err(deployment::Reject::OverQuota { tenant, what, used: others, asked, allowed });
        }
    }
    Ok(())
}

/// Whether a backup keeps it: what is under way is the old cluster's alone.
pub(super) fn is_kept(row: &Setting) -> bool {
    !matches!(row.value, Value::Rebalance(_))
}

/// Takes a backup's setting in.
pub(super) fn restore(
    state: &mut State,
    (key, row): (String, Setting),
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    let fits = match &row.value {
        Value::Quota(_) => key.strip_prefix(QUOTA).is_some_and(|tenant| check_name(tenant).is_ok()),
        Value::Moves(Moves { planned_max, urgent_max }) => {
            key == MOVES && [planned_max, urgent_max].into_iter().all(|n| (1..=MOVES_MAX).contains(n))
        }
        Value::Rebalance(_) => false,
    };
    if key != row.name || !fits {
        return Err("it is not a setting of its name".to_owned());
    }
    match state.settings.get(&key) {
        Some(old) if **old == row => Ok(()),
        Some(_) => Err("it was changed here meanwhile".to_owned()),
        None => {
            put(state, key, row.value, ctx);
            Ok(())
        }
    }
}
